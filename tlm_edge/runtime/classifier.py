"""What every classifier gives, whether it runs from a bundle or in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from tlm_edge.runtime.cascade import Votes

#: The token ids of the texts of a batch, int64.
TokenIds = Sequence[np.ndarray]
Text = TypeVar("Text")

_TEXTS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Prediction:
    """The label of one text, its probability, and the probabilities of the best labels, best first.

    ``members_used`` is how many members of a cascade were asked, null where there is none.
    """

    text: str
    label: str
    score: float
    scores: dict[str, float]
    members_used: int | None = None


class Classifier(Protocol):
    """Texts in, labels out."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the columns of ``probabilities``."""

    @property
    def max_length(self) -> int:
        """Tokens a text is cut to, [CLS] and [SEP] included."""

    def votes(self, texts: Sequence[str]) -> Votes:
        """Probabilities (texts, labels), float32, rows in the order of the texts, and the members asked for each."""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probabilities of ``votes``."""

    def predict(self, texts: Sequence[str], top_k: int | None = None) -> list[Prediction]:
        """One prediction a text, in their order; ``scores`` holds the ``top_k`` best labels, all if ``None``."""


def to_predictions(
    texts: Sequence[str], labels: tuple[str, ...], votes: Votes, top_k: int | None = None
) -> list[Prediction]:
    """Predictions from votes on ``texts``; ties go to the earlier label."""
    order = np.argsort(-votes.probabilities, axis=1, kind="stable")[:, :top_k]
    used = [None] * len(texts) if votes.members_used is None else votes.members_used.tolist()
    predictions = []
    for text, row, best, asked in zip(texts, votes.probabilities.tolist(), order.tolist(), used, strict=True):
        scores = {labels[index]: row[index] for index in best}
        predictions.append(Prediction(text, labels[best[0]], row[best[0]], scores, asked))
    return predictions


def votes_in_batches(
    texts: Sequence[Text],
    token_ids: Callable[[Sequence[Text]], TokenIds],
    labels: int,
    max_tokens: int,
    run_all: Callable[[Iterator[TokenIds]], Iterable[Votes]],
) -> Votes:
    """Have ``run_all`` vote on batches of at most ``max_tokens`` tokens each; votes in the order of ``texts``.

    Texts are given to ``token_ids`` a thousand at a time, when ``run_all`` asks for more, so that models can work on
    the first while others still become tokens.
    """
    probabilities = np.empty((len(texts), labels), dtype=np.float32)
    used = None
    places: list[list[int]] = []

    def batches() -> Iterator[TokenIds]:
        for start in range(0, len(texts), _TEXTS_AT_A_TIME):
            tokens = token_ids(texts[start : start + _TEXTS_AT_A_TIME])
            for batch in batches_by_length([len(ids) for ids in tokens], max_tokens):
                places.append([start + index for index in batch])
                yield [tokens[index] for index in batch]

    for place, votes in enumerate(run_all(batches())):
        probabilities[places[place]] = votes.probabilities
        if votes.members_used is not None:
            used = np.zeros(len(texts), dtype=np.int64) if used is None else used
            used[places[place]] = votes.members_used
    return Votes(probabilities, used)


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
