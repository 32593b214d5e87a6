"""A small plan, and outcomes of it that are the answers of really trained models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.tiny_models import LABELS, labelled_texts
from tlm_edge.reproduce.outcome import Outcome

PLAN = """
name = "small"
about = "Classifiers of the test suite, tested on the shipped evaluation texts."
vocab_size = 800

[pretraining]
max_tokens = 1000
[finetuning]
epochs = 12

[architectures.bert-1]
arch = "bert-1"
[architectures.bert-3]
arch = "bert-6"
layers = 3

[corpora.texts]
files = ["corpus.txt"]
[corpora.few]
files = ["corpus.txt"]
articles = 10

[tasks.agnews]
train = "agnews/train.jsonl"
test = "agnews/test.jsonl"

[[experiments]]
architectures = ["bert-1"]
corpora = ["texts", "scratch", "few"]
tasks = ["agnews"]
seeds = [0, 1]

[[experiments]]
architectures = ["bert-3"]
corpora = ["texts"]
tasks = ["agnews"]
seeds = [0]
"""


def outcome(architecture: str, corpus: str | None, seed: int) -> Outcome:
    run = f"finetune-agnews-{architecture}-{corpus or 'scratch'}-seed{seed}"
    return Outcome(
        run=run,
        kind="finetune",
        architecture=architecture,
        corpus=corpus,
        corpus_tokens=0 if corpus is None else 5000,
        tokens_seen=0,
        task="agnews",
        rows_per_label=None,
        seed=seed,
        command=f"tlm-edge finetune … --seed {seed}",
        seconds=3.0,
        wall_seconds=3.0,
        loss=None,
        labels=LABELS,
        expected="agnews.expected.npy",
        probabilities=f"{run}.npy",
        accuracy=None,
        macro_f1=None,
        machine={"processor": "the one the tests run on"},
    )


def probabilities(checkpoint: Path) -> np.ndarray:
    """A checkpoint's answers to the evaluation texts, (200, 4)."""
    from tlm_edge.data.tokenizer import load_tokenizer
    from tlm_edge.modeling.checkpoint import load_classifier
    from tlm_edge.training.examples import encode_examples
    from tlm_edge.training.scoring import example_probabilities

    texts, labels = labelled_texts()
    model = load_classifier(checkpoint)
    rows = encode_examples(load_tokenizer(checkpoint), texts, np.array(labels), model.config.max_position_embeddings)
    return example_probabilities(model, rows, model.config.pad_token_id)
