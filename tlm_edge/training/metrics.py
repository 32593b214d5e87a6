"""How well a classifier does: accuracy, macro-F1, scores by label, the confusion matrix and calibration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelScore:
    """Precision, recall and F1 (0 … 1) of one label, and the rows that have it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ClassificationMetrics:
    """Scores on ``n`` rows, all 0 … 1 but ``loss``, the cross-entropy in nats a row.

    ``confusion`` counts rows by true label (outer) and predicted label (inner).
    """

    n: int
    accuracy: float
    macro_f1: float
    loss: float
    calibration_error: float
    by_label: tuple[LabelScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def classification_metrics(
    probabilities: NDArray[np.float32], expected: NDArray[np.int64], labels: tuple[str, ...]
) -> ClassificationMetrics:
    """Score ``probabilities`` (n, labels) against the label numbers ``expected`` (n,).

    Macro-F1 is the mean over the labels that occur in either.
    """
    from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    numbers = np.arange(len(labels))
    scores = precision_recall_fscore_support(expected, predicted, labels=numbers, zero_division=0.0)
    matrix = confusion_matrix(expected, predicted, labels=numbers)
    chosen = probabilities[np.arange(len(expected)), expected].astype(np.float64)
    return ClassificationMetrics(
        n=len(expected),
        accuracy=float((predicted == expected).mean()),
        macro_f1=float(f1_score(expected, predicted, average="macro", zero_division=0.0)),
        loss=float(-np.log(chosen.clip(min=1e-12)).mean()),
        calibration_error=expected_calibration_error(probabilities, expected),
        by_label=tuple(
            LabelScore(label, float(precision), float(recall), float(f1), int(support))
            for label, precision, recall, f1, support in zip(labels, *scores, strict=True)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
    )


def expected_calibration_error(
    probabilities: NDArray[np.float32], expected: NDArray[np.int64], bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over ``bins`` equal bins of confidence, weighted by their rows.

    The definition of Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == expected
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(expected))
