"""What every classifier gives, whether it runs from a bundle or in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """The label of one text, its probability, and the probabilities of the best labels, best first."""

    text: str
    label: str
    score: float
    scores: dict[str, float]


class Classifier(Protocol):
    """Texts in, labels out."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the columns of ``probabilities``."""

    @property
    def max_length(self) -> int:
        """Tokens a text is cut to, [CLS] and [SEP] included."""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (texts, labels), float32, rows in the order of the texts."""

    def predict(self, texts: Sequence[str], top_k: int | None = None) -> list[Prediction]:
        """One prediction a text, in their order; ``scores`` holds the ``top_k`` best labels, all if ``None``."""


def to_predictions(
    texts: Sequence[str], labels: tuple[str, ...], probabilities: np.ndarray, top_k: int | None = None
) -> list[Prediction]:
    """Predictions from probabilities (texts, labels); ties go to the earlier label."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    predictions = []
    for text, row, best in zip(texts, probabilities.tolist(), order.tolist(), strict=True):
        scores = {labels[index]: row[index] for index in best}
        predictions.append(Prediction(text, labels[best[0]], row[best[0]], scores))
    return predictions


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group the indices of sequences so that each batch holds similar lengths and, padded, at most ``max_tokens``.

    A sequence longer than ``max_tokens`` has a batch of its own.
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and (len(batch) + 1) * lengths[index] > max_tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    if batch:
        batches.append(batch)
    return batches
