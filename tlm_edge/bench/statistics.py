"""Summaries of latency samples, and intervals for ratios and accuracies, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

#: Two-sided confidence of every interval here.
CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2)
#: Student's t of that confidence for a mean of so many values.
_T = {3: 4.3027, 4: 3.1824, 5: 2.7764, 6: 2.5706, 7: 2.4469}


@dataclass(frozen=True)
class Summary:
    """What ``summarize`` gives, in the unit of the samples."""

    n: int
    mean: float
    trimmed_mean: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def summarize(samples: np.ndarray) -> Summary:
    """Percentiles (linear interpolation), mean, and mean without the lowest and highest tenth; samples of shape (n,).

    Raises ``ValueError`` if there are none.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    if ordered.size == 0:
        raise ValueError("no samples")
    tenth = ordered.size // 10
    p50, p90, p99 = (float(value) for value in np.percentile(ordered, [50, 90, 99]))
    trimmed = ordered[tenth : ordered.size - tenth]
    return Summary(ordered.size, float(ordered.mean()), float(trimmed.mean()), p50, p90, p99)


def ratio_interval(
    slow: Sequence[float], fast: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Interval | None:
    """How many times larger ``slow`` is than ``fast``, from paired blocks of an interleaved run.

    The estimate is the geometric mean of the block ratios: what disturbs both halves of a pair cancels. The interval
    is a studentized bootstrap over the blocks' log ratios (Efron & Tibshirani, *An Introduction to the Bootstrap*,
    1993, section 12.5), which holds its confidence with few blocks where the plain percentile bootstrap is too narrow.
    Of fewer than eight there are too few different resamples for it: theirs is Student's. ``None`` with fewer than
    three blocks. Raises ``ValueError`` if the blocks aren't paired.
    """
    if len(slow) != len(fast):
        raise ValueError(f"{len(slow)} blocks can't be paired with {len(fast)}")
    if len(slow) < 3:
        return None
    logs = np.log(np.asarray(slow, dtype=np.float64)) - np.log(np.asarray(fast, dtype=np.float64))
    mean, error = float(logs.mean()), _standard_error(logs)
    if error == 0.0:
        return Interval(float(np.exp(mean)), float(np.exp(mean)), float(np.exp(mean)))
    if logs.size in _T:
        half = _T[logs.size] * error
        return Interval(float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half)))
    drawn = logs[np.random.default_rng(seed).integers(0, logs.size, size=(resamples, logs.size))]
    errors = drawn.std(axis=1, ddof=1) / np.sqrt(logs.size)
    # A resample of one block repeated has no spread and says nothing of it.
    spread = errors > 1e-3 * error
    studentized = (drawn.mean(axis=1)[spread] - mean) / errors[spread]
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.percentile(studentized, [100 * tail, 100 * (1 - tail)])
    return Interval(float(np.exp(mean)), float(np.exp(mean - upper * error)), float(np.exp(mean - lower * error)))


def accuracy_interval(correct: int, n: int) -> Interval:
    """Accuracy with Wilson's score interval (E. B. Wilson, *JASA* 22, 1927). Raises ``ValueError`` if ``n`` is 0."""
    if n < 1:
        raise ValueError("no texts")
    share = correct / n
    centre = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * np.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return Interval(share, float(max(0.0, centre - half)), float(min(1.0, centre + half)))


def accuracy_difference(first: np.ndarray, second: np.ndarray, expected: np.ndarray) -> Interval:
    """Accuracy of ``first`` minus that of ``second`` on the same texts, with the interval for matched proportions.

    Integer labels of shape (n,). The interval is Agresti and Min's (*Statistics in Medicine* 24, 2005): Wald's with
    half a text added to each cell, which doesn't collapse where the two never disagree.
    Raises ``ValueError`` if the shapes differ or are empty.
    """
    if not (first.shape == second.shape == expected.shape) or expected.size == 0:
        raise ValueError("predictions and labels of the same texts expected")
    better = int(np.sum((first == expected) & (second != expected)))
    worse = int(np.sum((first != expected) & (second == expected)))
    n = expected.size + 2
    centre = (better - worse) / n
    half = _Z * np.sqrt((better + worse + 1) - (better - worse) ** 2 / n) / n
    difference = (better - worse) / expected.size
    return Interval(difference, float(max(-1.0, centre - half)), float(min(1.0, centre + half)))


def relative_spread(values: Sequence[float]) -> float:
    """Interquartile range over the median, for positive values; 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    low, middle, high = np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75])
    return float((high - low) / middle)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size))
