"""The cascade: the next member of a committee is asked only while the vote of those before it is undecided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tlm_edge.runtime.vote import softmax

#: Gives the logits (rows, labels) of the member with that number for the rows, int64 indices, that are still asked.
Ask = Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Cascade:
    """Which member is asked when, and how clear a vote has to be for no other to be asked.

    ``order`` numbers every member once. After member ``order[k]`` a text is decided if its best label leads the second
    best by at least ``margins[k]`` in the (weighted) mean of the softmax outputs so far; there is no margin after the
    last.
    """

    order: tuple[int, ...]
    margins: tuple[float, ...]

    def fault(self) -> str | None:
        """What is wrong with it, a clause, or ``None``."""
        if sorted(self.order) != list(range(len(self.order))) or len(self.order) < 2:
            return f"{list(self.order)} is no order of two or more members"
        if len(self.margins) != len(self.order) - 1:
            return f"{len(self.order)} members have {len(self.order) - 1} margins, not {len(self.margins)}"
        if not all(margin >= 0 for margin in self.margins):
            return "a margin is negative or not a number"
        return None


@dataclass(frozen=True)
class Votes:
    """Probabilities (rows, labels), float32, and how many members each row asked, int64 (rows,), null where all are."""

    probabilities: np.ndarray
    members_used: np.ndarray | None = None


def lead(vote: np.ndarray) -> np.ndarray:
    """How far the best label leads the second best: (rows, labels) to (rows,); 1 where there is one label."""
    if vote.shape[1] < 2:
        return np.ones(len(vote))
    second, best = np.partition(vote, -2, axis=1)[:, -2:].T
    difference: np.ndarray = best - second
    return difference


def vote_in_turn(cascade: Cascade, rows: int, ask: Ask, weights: Sequence[float] = ()) -> Votes:
    """Ask the members in turn, each for the ``rows`` that are undecided so far.

    ``weights`` are those of ``soft_vote``, by the members' numbers.
    """
    undecided = np.arange(rows)
    used = np.zeros(rows, dtype=np.int64)
    total = np.zeros((0, 0))
    shares = weights or (1.0,) * len(cascade.order)
    # What the members asked so far weigh, by turn.
    weighed = np.cumsum([shares[member] for member in cascade.order])
    for turn, member in enumerate(cascade.order):
        answer = softmax(ask(member, undecided))
        if turn == 0:
            total = np.zeros((rows, answer.shape[1]), dtype=answer.dtype)
        total[undecided] += answer * total.dtype.type(shares[member])
        used[undecided] += 1
        if turn < len(cascade.margins):
            clear = lead(total[undecided] / total.dtype.type(weighed[turn])) >= cascade.margins[turn]
            undecided = undecided[~clear]
            if not len(undecided):
                break
    return Votes(total / weighed[used - 1, None].astype(total.dtype), used)
