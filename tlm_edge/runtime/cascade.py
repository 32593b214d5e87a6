"""The cascade: the next member of a committee is asked only while the vote of those before it is undecided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, starmap

import numpy as np

from tlm_edge.runtime.vote import softmax

#: Gives the logits (rows, labels) of the member with that number for the rows, int64 indices, that are still asked.
Ask = Callable[[int, np.ndarray], np.ndarray]

_FIRST_ROW = np.zeros(1, dtype=np.int64)


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
    turns = _turns(cascade, tuple(weights))
    if rows == 1:
        return _vote_of_one(turns, ask)
    undecided = np.arange(rows)
    used = np.zeros(rows, dtype=np.int64)
    total = np.zeros((0, 0))
    for turn in turns:
        answer = softmax(ask(turn.member, undecided))
        if not used.any():
            total = np.zeros((rows, answer.shape[1]), dtype=answer.dtype)
        total[undecided] += answer * turn.share
        used[undecided] += 1
        undecided = undecided[~(lead(total[undecided] / turn.so_far) >= turn.margin)]
        if not len(undecided):
            break
    weighed = np.array([turn.so_far for turn in turns], dtype=total.dtype)
    return Votes(total / weighed[used - 1, None], used)


@dataclass(frozen=True)
class _Turn:
    """A member's turn: what it weighs, what all have weighed by then, and the lead that decides."""

    member: int
    share: float
    so_far: float
    margin: float


@lru_cache(maxsize=64)
def _turns(cascade: Cascade, weights: tuple[float, ...]) -> tuple[_Turn, ...]:
    shares = [float(weights[member]) if weights else 1.0 for member in cascade.order]
    margins = (*cascade.margins, 0.0)
    return tuple(starmap(_Turn, zip(cascade.order, shares, accumulate(shares), margins, strict=True)))


def _vote_of_one(turns: Sequence[_Turn], ask: Ask) -> Votes:
    """The same numbers with half the steps: for a shallow member's text, NumPy's calls are most of the time."""
    total = vote = np.zeros(0)
    used = 0
    for used, turn in enumerate(turns, start=1):
        logits = ask(turn.member, _FIRST_ROW)[0]
        answer = np.exp(logits - np.maximum.reduce(logits))
        answer = answer / np.add.reduce(answer) * turn.share
        total = answer if used == 1 else total + answer
        vote = total / turn.so_far
        if used == len(turns) or _lead_of_one(vote) >= turn.margin:
            break
    return Votes(vote[None], np.array([used]))


def _lead_of_one(vote: np.ndarray) -> np.floating | float:
    """``lead`` of a vote (labels,): Python sorts a few numbers before NumPy has begun."""
    if len(vote) < 2:
        return 1.0
    number = vote.dtype.type
    *_, second, best = sorted(vote.tolist())
    difference: np.floating = number(best) - number(second)
    return difference
