"""A linear classifier of token n-grams: a member that costs a look-up a token, and errs otherwise than a BERT does.

Single tokens have a row of scores each, pairs of neighbours share rows by a hash, as in fastText (Joulin et al., *Bag
of Tricks for Efficient Text Classification*, arXiv 1607.01759).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from tlm_edge.files import write_json
from tlm_edge.modeling.checkpoint import WEIGHTS, copy_tokenizer, load_tensors, require_labels
from tlm_edge.modeling.config import read_content, read_labels
from tlm_edge.runtime.errors import UserError

#: The ``model_type`` in ``config.json``.
NGRAMS = "tlm-ngrams"

#: What a pair's tokens are multiplied by; ids below ``LARGEST_VOCABULARY`` keep the sum below 2³¹, so that runtimes
#: with 32-bit integers find the same row.
_FIRST, _SECOND = 7919, 6007
LARGEST_VOCABULARY = 1 << 17

Ids = TypeVar("Ids", Tensor, np.ndarray)


@dataclass(frozen=True)
class NgramConfig:
    """The shape of an ``NgramClassifier``; ``buckets`` are the rows that pairs of tokens share."""

    vocab_size: int
    buckets: int
    max_position_embeddings: int
    pad_token_id: int
    labels: tuple[str, ...]
    #: Members of a committee are asked for these too; n-grams read no marker's row.
    markers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.vocab_size > LARGEST_VOCABULARY:
            raise UserError(
                f"n-grams take vocabularies of up to {LARGEST_VOCABULARY:,} tokens, not {self.vocab_size:,}"
            )

    def to_json(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        content = {"model_type": NGRAMS, "architectures": ["TlmNgramsForSequenceClassification"], **asdict(self)}
        labels = content.pop("labels")
        del content["markers"]
        content["id2label"] = {str(index): label for index, label in enumerate(labels)}
        content["label2id"] = {label: index for index, label in enumerate(labels)}
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any], where: str) -> NgramConfig:
        """Read the content of a ``config.json``; ``where`` names it in errors. Raises ``UserError``."""
        sizes = {name: content.get(name) for name in ("vocab_size", "buckets", "max_position_embeddings")}
        for name, value in (sizes | {"pad_token_id": content.get("pad_token_id")}).items():
            if not isinstance(value, int) or value < (name in sizes):
                raise UserError(f"{where}: {name} is {value!r}, not a number of the right size: save the model again")
        return cls(**sizes, pad_token_id=content["pad_token_id"], labels=read_labels(content, where))  # type: ignore[arg-type]


class NgramClassifier(nn.Module):
    """Logits are the sum of the rows of a text's tokens and pairs, over the root of their number, and a bias.

    A text's first token is paired with padding, so that there are as many pairs as tokens.
    """

    def __init__(self, config: NgramConfig) -> None:
        super().__init__()
        self.config = config
        self.unigrams = nn.Embedding(config.vocab_size, len(config.labels))
        self.bigrams = nn.Embedding(config.buckets, len(config.labels))
        self.bias = nn.Parameter(torch.zeros(len(config.labels)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits (batch, labels) of ``input_ids`` (batch, length) with ``attention_mask`` 0 at padding."""
        visible = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        before = nn.functional.pad(input_ids, (1, 0), value=self.config.pad_token_id)[:, :-1]
        rows = self.unigrams(input_ids) + self.bigrams(pair_buckets(before, input_ids, self.config.buckets))
        visible = visible.to(rows.dtype).unsqueeze(-1)
        logits: Tensor = (rows * visible).sum(dim=1) * visible.sum(dim=1).rsqrt() + self.bias
        return logits


def pair_buckets(first: Ids, second: Ids, buckets: int) -> Ids:
    """The row of each pair of token ids, integer arrays of any shape."""
    return (first * _FIRST + second * _SECOND) % buckets


def load_ngrams(folder: Path) -> NgramClassifier:
    """Load a checkpoint of n-grams in float32. Raises ``UserError`` if it is none, or damaged."""
    config = NgramConfig.from_json(read_content(folder), str(folder / "config.json"))
    tensors = load_tensors(folder)
    model = NgramClassifier(config)
    for name, target in model.state_dict().items():
        if name not in tensors or tensors[name].shape[:1] != target.shape[:1]:
            raise UserError(f"{folder / WEIGHTS}: no tensor {name} of the size in config.json: save the model again")
    require_labels(folder, config.labels, tensors["unigrams.weight"].shape[-1])
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval()


def save_ngrams(folder: Path, model: NgramClassifier, tokenizer_folder: Path, *, half: bool = False) -> None:
    """Write weights, configuration and tokenizer into the existing, empty ``folder``; in float16 with ``half``."""
    write_json(folder / "config.json", model.config.to_json() | {"torch_dtype": "float16" if half else "float32"})
    tensors = {name: tensor.half() if half else tensor.contiguous() for name, tensor in model.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
    copy_tokenizer(tokenizer_folder, folder)
