"""Accuracy of a classifier on labelled texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlm_edge.runtime.cascade import Votes
from tlm_edge.runtime.classifier import Classifier
from tlm_edge.runtime.metrics import accuracy, macro_f1

#: Texts given to the classifier at once: enough to sort by length, little enough for any memory.
CHUNK = 4096


@dataclass(frozen=True)
class MembersAsked:
    """How many members of a cascade were asked: the mean, and the share of texts that asked 1, 2, … of them."""

    mean: float
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Accuracy and macro-F1 (0 … 1) on ``n`` texts, the seconds it took, and accuracy by label where it occurs.

    ``members`` is null unless a cascade decided how many to ask.
    """

    accuracy: float
    macro_f1: float
    n: int
    seconds: float
    label_accuracy: dict[str, float]
    members: MembersAsked | None = None


def evaluate(classifier: Classifier, texts: Sequence[str], expected: np.ndarray) -> Evaluation:
    """Classify ``texts`` and compare with ``expected``, int64 (n,), indices into the classifier's labels.

    ``seconds`` is wall time of tokenization and model together. Raises ``ValueError`` if there are no texts.
    """
    if not len(texts):
        raise ValueError("no texts to evaluate on")
    start = time.perf_counter()
    chunks = [classifier.votes(texts[first : first + CHUNK]) for first in range(0, len(texts), CHUNK)]
    predicted = np.concatenate([votes.probabilities for votes in chunks]).argmax(axis=1)
    seconds = time.perf_counter() - start
    by_label = {
        label: accuracy(expected[expected == index], predicted[expected == index])
        for index, label in enumerate(classifier.labels)
        if np.any(expected == index)
    }
    return Evaluation(
        accuracy=accuracy(expected, predicted),
        macro_f1=macro_f1(expected, predicted),
        n=len(texts),
        seconds=seconds,
        label_accuracy=by_label,
        members=_asked(chunks),
    )


def _asked(chunks: Sequence[Votes]) -> MembersAsked | None:
    counts = [votes.members_used for votes in chunks if votes.members_used is not None]
    if not counts:
        return None
    used = np.concatenate(counts)
    return MembersAsked(float(used.mean()), tuple((np.bincount(used)[1:] / len(used)).tolist()))
