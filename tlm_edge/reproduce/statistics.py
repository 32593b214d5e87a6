"""Tests and intervals for few seeds and many rows: what a difference of two accuracies is worth.

Two kinds of chance are told apart: that of training (another seed gives another model), by intervals over the
differences of paired seeds; and that of the test set, by tests on the rows that only one of two models has right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Two-sided confidence of every interval here.
CONFIDENCE = 0.95
Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval and two-sided p-value.

    ``low``, ``high`` and ``p`` are None where seeds tell nothing of the spread: a single one, or all to the last row
    alike, which on a small test set is coincidence.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    #: The seeds, or pairs of seeds, that it rests on.
    seeds: int


@dataclass(frozen=True)
class RowTest:
    """McNemar's test: the rows that only the first has right, those that only the second has, and its p-value."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class Noise:
    """How far accuracies scatter that differ in the seed alone."""

    #: Standard deviation over seeds, pooled over conditions; None if no condition has two seeds.
    deviation: float | None
    #: Degrees of freedom behind it.
    freedom: int
    #: Median standard error of one accuracy from the size of its test set.
    sampling: float | None


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Mean of ``first`` minus ``second``, paired by seed, with Student's t interval over the pairs.

    With two or three seeds the interval is wide (t is 12.7 and 4.3), which is how little they tell.
    Raises ``ValueError`` for none, or lists of different length.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} values can't be paired with {len(second)}")
    return mean_interval(np.subtract(first, second))


def mean_interval(values: Sequence[float] | NDArray[np.float64]) -> Difference:
    """The mean of ``values``, one a seed, with Student's t interval and the p-value of its being 0."""
    from scipy.stats import t

    array = np.asarray(values, dtype=np.float64)
    mean, n = float(array.mean()), len(array)
    error = float(array.std(ddof=1)) / np.sqrt(n) if n > 1 else 0.0
    if error < 1e-12:
        return Difference(mean, None, None, None, n)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Difference(mean, mean - half, mean + half, float(2 * t.sf(abs(mean) / error, n - 1)), n)


def mcnemar(first: Right, second: Right) -> RowTest:
    """The exact test of whether two models differ on the rows (n,) that they have right (Q. McNemar, 1947)."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    p = 1.0 if not discordant else float(binomtest(only_first, discordant).pvalue)
    return RowTest(only_first, only_second, p)


def bootstrap_difference(
    first: Sequence[Right], second: Sequence[Right], *, resamples: int = 5000, seed: int = 0
) -> Difference:
    """Mean accuracy of the models ``first`` minus that of ``second``, each a row of right answers (n,) to one test set.

    A bootstrap over both kinds of chance (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993): in each
    resample rows are drawn with replacement, the same ones for all, and models are drawn on each side where there are
    several. Percentile interval; p is twice the smaller share of resamples beyond 0. ``seeds`` counts the fewer models
    of both sides: resampling two or three of them understates how much another one could differ.
    """
    random = np.random.default_rng(seed)
    sides = [np.asarray(side, dtype=np.float32) for side in (first, second)]
    rows = sides[0].shape[1]
    differences = np.empty(resamples)
    for index in range(resamples):
        weights = np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float32) / rows
        means = [(side @ weights)[random.integers(0, len(side), len(side))].mean() for side in sides]
        differences[index] = means[0] - means[1]
    low, high = np.percentile(differences, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    beyond = min((differences <= 0).mean(), (differences >= 0).mean())
    value = float(sides[0].mean() - sides[1].mean())
    p = min(1.0, max(2 * float(beyond), 1 / resamples))
    return Difference(value, float(low), float(high), p, min(map(len, sides)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the same order (S. Holm, *Scand. J. Statistics* 6, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def noise_floor(conditions: Sequence[Sequence[float]], test_rows: Sequence[int]) -> Noise:
    """The scatter of accuracies over seeds: ``conditions`` hold those of models that differ in nothing else.

    ``test_rows`` is the number of rows each condition was tested on.
    """
    freedom = sum(len(each) - 1 for each in conditions)
    squares = sum(float(np.var(each) * len(each)) for each in conditions if len(each) > 1)
    means = [float(np.mean(each)) for each in conditions if each]
    errors = [np.sqrt(mean * (1 - mean) / rows) for mean, rows in zip(means, test_rows, strict=True)]
    return Noise(
        deviation=float(np.sqrt(squares / freedom)) if freedom > 0 else None,
        freedom=max(freedom, 0),
        sampling=float(np.median(errors)) if errors else None,
    )
