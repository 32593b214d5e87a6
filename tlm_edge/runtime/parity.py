"""Logits of a bundle against those that PyTorch gave, which travel with it in ``parity.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError

#: Sequences of a padded batch.
_BATCH = 8


@dataclass(frozen=True)
class Reference:
    """Token sequences of many lengths, and PyTorch's logits for them, float32 (sequences, members, labels)."""

    sequences: tuple[tuple[int, ...], ...]
    logits: np.ndarray


@dataclass(frozen=True)
class Logits:
    """A bundle's logits, float32 (sequences, members, labels), each sequence run alone and padded in a batch."""

    alone: np.ndarray
    padded: np.ndarray

    def difference(self, reference: np.ndarray) -> float:
        """The largest absolute difference of any logit, NaN if there is one."""
        return float(np.max([np.abs(self.alone - reference).max(), np.abs(self.padded - reference).max()]))


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference as JSON, the logits to nine decimals."""
    content = {"sequences": reference.sequences, "logits": reference.logits.astype(np.float64).round(9).tolist()}
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def read_reference(path: Path) -> Reference:
    """Read what ``write_reference`` wrote. Raises ``UserError`` if it is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sequences = tuple(tuple(int(token) for token in sequence) for sequence in content["sequences"])
        logits = np.asarray(content["logits"], dtype=np.float32)
        if logits.ndim != 3 or len(logits) != len(sequences):
            raise ValueError("the shapes disagree")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no parity reference ({error}): export the model again") from error
    return Reference(sequences, logits)


def run_sequences(classifier: BundleClassifier, sequences: Sequence[Sequence[int]]) -> Logits:
    """Run every sequence alone, and again in padded batches that mix short and long ones."""
    token_ids = [np.array(sequence, dtype=np.int64) for sequence in sequences]
    alone = np.concatenate([member_logits(classifier.outputs([ids])) for ids in token_ids])
    padded = np.empty_like(alone)
    batches = max(1, len(token_ids) // _BATCH)
    for first in range(batches):
        batch = list(range(first, len(token_ids), batches))
        padded[batch] = member_logits(classifier.outputs([token_ids[index] for index in batch]))
    return Logits(alone, padded)


def member_logits(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The logits in a model's outputs as (batch, members, labels), of one member as of a committee."""
    return outputs["member_logits"] if "member_logits" in outputs else outputs["logits"][:, None, :]
