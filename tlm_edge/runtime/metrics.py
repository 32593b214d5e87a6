"""Accuracy and macro-F1 in numpy alone, for devices that have nothing else."""

from __future__ import annotations

import numpy as np


def accuracy(expected: np.ndarray, predicted: np.ndarray) -> float:
    """Share of rows, 0 … 1, where two integer arrays of shape (n,) are equal."""
    return float(np.mean(expected == predicted))


def macro_f1(expected: np.ndarray, predicted: np.ndarray) -> float:
    """Unweighted mean of the F1 scores of every label that occurs in either array; a label never hit counts 0.

    The definition of scikit-learn's ``f1_score(average="macro", zero_division=0)``.
    """
    scores = []
    for label in np.union1d(expected, predicted):
        hits = int(np.sum((expected == label) & (predicted == label)))
        scores.append(2 * hits / int(np.sum(expected == label) + np.sum(predicted == label)))
    return float(np.mean(scores))
