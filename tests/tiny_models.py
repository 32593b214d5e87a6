"""Small classifiers, really trained: on the shipped evaluation texts, in seconds, for tests that need a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from tlm_edge.data.tokenizer import load_tokenizer, train_tokenizer
from tlm_edge.modeling.checkpoint import save_checkpoint
from tlm_edge.modeling.committee import build_committee
from tlm_edge.modeling.config import Convolution, EncoderConfig
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.runtime.tokenize import pad
from tlm_edge.shipped import evaluation_texts

LABELS = ("World", "Sports", "Business", "Sci/Tech")
MAX_LENGTH = 48
MARKERS = ("[E1]", "[E2]")


def labelled_texts() -> tuple[list[str], list[int]]:
    """The 200 shipped evaluation texts and the indices of their labels."""
    rows = [json.loads(line) for line in evaluation_texts("agnews").read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows]


def lists(token_ids: Sequence[np.ndarray]) -> list[list[int]]:
    """Token ids as the library gives them."""
    return [ids.tolist() for ids in token_ids]


def make_tokenizer(folder: Path, *, markers: bool = False) -> Path:
    """A WordPiece tokenizer of 800 tokens, with the markers if wanted, in ``folder``."""
    corpus = folder.parent / f"{folder.name}.txt"
    corpus.write_text("\n\n".join(labelled_texts()[0]), encoding="utf-8")
    tokenizer = train_tokenizer([str(corpus)], 800, folder, max_length=MAX_LENGTH)
    if markers:
        tokenizer.add_special_tokens(list(MARKERS))
        tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def train_checkpoint(
    folder: Path,
    tokenizer_folder: Path,
    *,
    seed: int = 0,
    layers: int = 1,
    convolution: Convolution | None = None,
    marked: bool = False,
    bigram_buckets: int = 0,
    labels: tuple[str, ...] = LABELS,
    epochs: int = 12,
) -> Path:
    """Train a classifier of hidden size 32 on the evaluation texts and save its checkpoint as ``folder``."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(tokenizer_folder)
    config = EncoderConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_attention_heads=4,
        num_hidden_layers=layers,
        bigram_buckets=bigram_buckets,
        intermediate_size=64,
        max_position_embeddings=MAX_LENGTH,
        convolution=convolution,
        markers=tuple(tokenizer.token_to_id(marker) for marker in MARKERS) if marked else (),
        labels=labels,
    )
    model = SequenceClassifier(config)
    _fit(model, tokenizer, epochs, marked=marked)
    folder.mkdir(parents=True)
    save_checkpoint(folder, model, tokenizer_folder, recipe={"seed": seed}, card="# A small model for tests\n")
    return folder


def train_committee(folder: Path, tokenizer_folder: Path, members: int = 2) -> Path:
    """Train members with different seeds and build their committee as ``folder``."""
    trained = [
        train_checkpoint(folder.parent / f"{folder.name}-{seed}", tokenizer_folder, seed=seed)
        for seed in range(members)
    ]
    build_committee(trained, folder)
    return folder


def mark(text: str) -> str:
    """``text`` with the markers around its first word."""
    first, _, rest = text.partition(" ")
    return f"{MARKERS[0]} {first} {MARKERS[1]} {rest}"


def _fit(model: SequenceClassifier, tokenizer: Tokenizer, epochs: int, *, marked: bool) -> None:
    texts, labels = labelled_texts()
    tokenizer.enable_truncation(MAX_LENGTH)
    ids = [tokenizer.encode(mark(text) if marked else text).ids for text in texts]
    expected = torch.tensor(labels) % len(model.config.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(ids)).split(20):
            arrays = pad([ids[index] for index in batch.tolist()], 0)
            logits = model(*map(torch.from_numpy, arrays))
            loss = torch.nn.functional.cross_entropy(logits, expected[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
