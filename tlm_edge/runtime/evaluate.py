"""Accuracy of a classifier on labelled texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlm_edge.runtime.classifier import Classifier
from tlm_edge.runtime.metrics import accuracy, macro_f1

#: Texts given to the classifier at once: enough to sort by length, little enough for any memory.
CHUNK = 4096


@dataclass(frozen=True)
class Evaluation:
    """Accuracy and macro-F1 (0 … 1) on ``n`` texts, the seconds it took, and accuracy by label where it occurs."""

    accuracy: float
    macro_f1: float
    n: int
    seconds: float
    label_accuracy: dict[str, float]


def evaluate(classifier: Classifier, texts: Sequence[str], expected: np.ndarray) -> Evaluation:
    """Classify ``texts`` and compare with ``expected``, int64 (n,), indices into the classifier's labels.

    ``seconds`` is wall time of tokenization and model together. Raises ``ValueError`` if there are no texts.
    """
    if not len(texts):
        raise ValueError("no texts to evaluate on")
    start = time.perf_counter()
    chunks = [classifier.probabilities(texts[first : first + CHUNK]) for first in range(0, len(texts), CHUNK)]
    predicted = np.concatenate(chunks).argmax(axis=1)
    seconds = time.perf_counter() - start
    by_label = {
        label: accuracy(expected[expected == index], predicted[expected == index])
        for index, label in enumerate(classifier.labels)
        if np.any(expected == index)
    }
    return Evaluation(accuracy(expected, predicted), macro_f1(expected, predicted), len(texts), seconds, by_label)
