"""Margins of a cascade, found on labelled texts so that a bound on the lost accuracy holds with stated confidence.

Half of the texts propose: a sequence of cascades, from one that asks every member of every text to ever bolder ones.
The other half certifies them in that order and stops at the first that fails, so that however many are tried, one that
loses more than allowed is kept with probability 1 − confidence at most: fixed-sequence testing, as in Angelopoulos et
al., *Learn then Test*, arXiv 2110.01052.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tlm_edge.runtime.cascade import Cascade, Votes, lead, vote_in_turn
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.vote import soft_vote, softmax

#: Cascades proposed up to the one that loses nothing on the proposing half, and from there to twice the allowed loss.
_CAREFUL_STEPS, _STEPS = 8, 32
#: Of more members than this not every order is tried: they are asked from the most accurate on.
_MOST_ORDERED = 5
#: A margin that no vote reaches.
NEVER = 2.0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A cascade and what it did on the certifying ``rows``.

    ``accuracy`` and ``full_accuracy`` are those of the cascade and of all members, ``mean_members`` how many were
    asked on average, ``p_value`` that of losing ``max_drop`` (a fraction) or more; 1 where nothing was certified and
    the cascade asks every member.
    """

    cascade: Cascade
    rows: int
    accuracy: float
    full_accuracy: float
    mean_members: float
    max_drop: float
    confidence: float
    p_value: float


@dataclass(frozen=True)
class _Answers:
    """Logits (rows, members, labels) with the labels (rows,) that are right, and the weights of the members' votes."""

    logits: Array
    expected: NDArray[np.int64]
    weights: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.expected)

    def select(self, rows: NDArray[np.int64]) -> _Answers:
        return _Answers(self.logits[rows], self.expected[rows], self.weights)

    def full(self) -> NDArray[np.int64]:
        """The labels that all members together choose."""
        chosen: NDArray[np.int64] = soft_vote(self.logits, self.weights).argmax(axis=1)
        return chosen

    def replay(self, cascade: Cascade) -> Votes:
        return vote_in_turn(cascade, len(self), lambda member, rows: self.logits[rows, member], self.weights)

    def lost(self, cascade: Cascade) -> int:
        """How many rows the cascade makes wrong that all members together get right."""
        own = self.replay(cascade).probabilities.argmax(axis=1) == self.expected
        return int(np.sum((self.full() == self.expected) & ~own))


def calibrate(
    logits: Array,
    expected: NDArray[np.int64],
    *,
    max_drop: float = 0.002,
    confidence: float = 0.95,
    costs: Sequence[float] | None = None,
    weights: tuple[float, ...] = (),
    seed: int = 0,
) -> Calibration:
    """Find the cascade that costs least and loses less than ``max_drop`` of the accuracy of all members.

    ``logits`` (rows, members, labels) of texts that no member was trained on, ``expected`` (rows,) their labels;
    ``costs`` what asking each member takes, equal if ``None``; ``weights`` those of ``soft_vote``.
    Raises ``UserError`` if there are too few rows to show such a bound.
    """
    needed = 2 * rows_needed(max_drop, confidence)
    if len(logits) < needed:
        raise UserError(
            f"{len(logits)} rows can't show that less than {max_drop:.2%} is lost with {confidence:.0%} confidence: "
            f"give at least {needed} rows, or allow more with --max-drop"
        )
    every = _Answers(logits, expected, weights)
    order = np.random.default_rng(seed).permutation(len(every))
    proposing, certifying = every.select(order[: len(order) // 2]), every.select(order[len(order) // 2 :])
    asked = _best_order(proposing, max_drop, np.asarray(costs if costs is not None else [1.0] * logits.shape[1]))
    kept, p_kept = Cascade(asked, (NEVER,) * (len(asked) - 1)), 1.0
    for proposed in _proposals(proposing, asked, max_drop):
        p_value = loss_p_value(certifying.lost(proposed), len(certifying), max_drop)
        if p_value > 1 - confidence:
            break
        kept, p_kept = proposed, p_value
    votes = certifying.replay(kept)
    return Calibration(
        cascade=kept,
        rows=len(certifying),
        accuracy=float(np.mean(votes.probabilities.argmax(axis=1) == certifying.expected)),
        full_accuracy=float(np.mean(certifying.full() == certifying.expected)),
        mean_members=_price(votes, np.ones(logits.shape[1])),
        max_drop=max_drop,
        confidence=confidence,
        p_value=p_kept,
    )


def rows_needed(max_drop: float, confidence: float) -> int:
    """Rows on which no loss at all shows that less than ``max_drop`` is lost, with ``confidence``."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - max_drop))


def loss_p_value(lost: int, rows: int, drop: float) -> float:
    """The p-value of "at least ``drop`` of all texts become wrong", if ``lost`` of ``rows`` did: exact, binomial.

    Texts that become right are not set off against them: accuracy falls by less still.
    """
    from scipy.stats import binom

    return float(binom.cdf(lost, rows, drop))


def _best_order(answers: _Answers, allowed: float, costs: Array) -> tuple[int, ...]:
    members = answers.logits.shape[1]
    if members > _MOST_ORDERED:
        right = (answers.logits.argmax(axis=2) == answers.expected[:, None]).mean(axis=0)
        return tuple(np.argsort(-right / costs, kind="stable").tolist())

    def price(order: tuple[int, ...]) -> float:
        return _price(answers.replay(_propose(answers, order, allowed)), costs[list(order)])

    return min(permutations(range(members)), key=price)


def _proposals(answers: _Answers, order: tuple[int, ...], max_drop: float) -> Iterator[Cascade]:
    """Cascades from the most careful to the boldest."""
    lossless = _propose(answers, order, 0.0)
    for step in range(1, _CAREFUL_STEPS + 1):
        share = step / _CAREFUL_STEPS
        yield Cascade(order, tuple(min(NEVER, 1 - share * (1 - margin)) for margin in lossless.margins))
    for step in range(1, _STEPS + 1):
        yield _propose(answers, order, 2 * max_drop * step / _STEPS)


def _propose(answers: _Answers, order: tuple[int, ...], allowed: float) -> Cascade:
    """The smallest margins with which each stage makes at most its part of ``allowed`` of the rows wrong."""
    full = answers.full()
    votes = softmax(answers.logits[:, list(order)])
    shares = np.asarray([answers.weights[member] for member in order] if answers.weights else [1.0] * len(order))
    budget = allowed * len(answers) / (len(order) - 1)
    undecided = np.arange(len(answers))
    margins = []
    for stage in range(1, len(order)):
        vote = np.average(votes[undecided, :stage], axis=1, weights=shares[:stage])
        leads = lead(vote)
        expected = answers.expected[undecided]
        harmed = (full[undecided] == expected) & (vote.argmax(axis=1) != expected)
        margins.append(_smallest_margin(leads, harmed, budget))
        undecided = undecided[leads < margins[-1]]
    return Cascade(order, tuple(margins))


def _smallest_margin(leads: Array, harmed: NDArray[np.bool_], budget: float) -> float:
    """The smallest lead such that of the rows that lead by as much at most ``budget`` are ``harmed``."""
    if not len(leads):
        return NEVER
    order = np.argsort(-leads, kind="stable")
    over = np.cumsum(harmed[order]) > budget
    if not over.any():
        return 0.0
    # Just above the lead of the first row that is one too many, which rows of the same lead share.
    return float(np.nextafter(leads[order][over.argmax()], NEVER))


def _price(votes: Votes, costs: Array) -> float:
    """What a text takes on average if the members cost ``costs`` in the order in which they are asked."""
    used = np.zeros(0, dtype=np.int64) if votes.members_used is None else votes.members_used
    return float(np.cumsum(costs)[used - 1].mean())
