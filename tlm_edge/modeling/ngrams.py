"""A linear classifier of token n-grams: a member that costs a look-up a token, and errs otherwise than a BERT does.

Single tokens have a row of scores each, pairs of neighbours share rows by a hash.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from tlm_edge.files import write_json
from tlm_edge.modeling.bigrams import bigram_rows, require_vocabulary
from tlm_edge.modeling.checkpoint import WEIGHTS, copy_tokenizer, load_tensors, require_labels
from tlm_edge.modeling.config import read_content, read_labels
from tlm_edge.runtime.errors import UserError

#: The ``model_type`` in ``config.json``.
NGRAMS = "tlm-ngrams"


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
        require_vocabulary(self.vocab_size)

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

    See ``bigrams.bigram_rows`` for the pairs.
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
        pairs = bigram_rows(input_ids, self.config.pad_token_id, self.config.buckets)
        rows = self.unigrams(input_ids) + self.bigrams(pairs)
        visible = visible.to(rows.dtype).unsqueeze(-1)
        logits: Tensor = (rows * visible).sum(dim=1) * visible.sum(dim=1).rsqrt() + self.bias
        return logits


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
