from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tlm_edge.reproduce.statistics import (
    Difference,
    bootstrap_difference,
    holm,
    mcnemar,
    mean_interval,
    noise_floor,
    paired_difference,
)


def test_the_paired_interval_is_that_of_the_t_test() -> None:
    first, second = [0.894, 0.891, 0.897], [0.880, 0.879, 0.878]
    difference = paired_difference(first, second)
    reference = stats.ttest_rel(first, second)
    interval = reference.confidence_interval(0.95)
    assert (difference.low, difference.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (difference.value, difference.p) == (
        pytest.approx(np.subtract(first, second).mean()),
        pytest.approx(reference.pvalue),
    )
    assert difference.seeds == 3


def test_seeds_without_a_spread_have_no_interval() -> None:
    assert mean_interval([0.01]) == Difference(0.01, None, None, None, 1)
    assert mean_interval([0.5, 0.5]) == Difference(0.5, None, None, None, 2)
    with pytest.raises(ValueError, match="can't be paired"):
        paired_difference([0.1], [])


def test_the_t_interval_holds_its_confidence_with_three_seeds() -> None:
    drawn = np.random.default_rng(1).normal(0.004, 0.003, size=(2000, 3))
    found = [mean_interval(each) for each in drawn]
    assert np.mean([one.low <= 0.004 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)


def test_mcnemar_counts_the_rows_that_differ() -> None:
    first = np.array([True] * 60 + [False] * 40)
    second = np.array([True] * 50 + [False] * 45 + [True] * 5)
    test = mcnemar(first, second)
    assert (test.only_first, test.only_second) == (10, 5)
    assert test.p == pytest.approx(stats.binomtest(10, 15).pvalue)
    assert mcnemar(first, first).p == 1.0


def test_the_bootstrap_agrees_with_theory_where_there_is_one() -> None:
    random = np.random.default_rng(0)
    second = random.random(4000) < 0.9
    flipped = random.random(4000) < 0.02
    first = second ^ flipped
    difference = bootstrap_difference([first], [second], resamples=2000)
    paired = first.astype(float) - second
    error = paired.std() / np.sqrt(4000)
    assert difference.value == pytest.approx(paired.mean(), abs=1e-6)
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert difference == bootstrap_difference([first], [second], resamples=2000)


def test_the_bootstrap_is_wider_where_seeds_differ() -> None:
    random = np.random.default_rng(0)
    alike = [random.random(2000) < 0.9] * 3
    unlike = [random.random(2000) < share for share in (0.85, 0.9, 0.95)]
    widths = [
        (found := bootstrap_difference([alike[0]], side, resamples=1000)).high - found.low for side in (alike, unlike)
    ]
    assert widths[1] > 2 * widths[0]


def test_holm_against_a_worked_example() -> None:
    # From Holm's step-down: 0.005·4, 0.01·3, 0.03·2, 0.04·1 made monotonous.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_noise_is_pooled_over_conditions() -> None:
    noise = noise_floor([[0.90, 0.91, 0.92], [0.70, 0.72], [0.5]], [1000, 1000, 1000])
    pooled = np.sqrt((2 * np.var([0.90, 0.91, 0.92], ddof=1) + np.var([0.70, 0.72], ddof=1)) / 3)
    assert (noise.deviation, noise.freedom) == (pytest.approx(pooled), 3)
    assert noise.sampling == pytest.approx(np.sqrt(0.71 * 0.29 / 1000))
    assert noise_floor([[0.9]], [100]).deviation is None
    assert noise_floor([], []).sampling is None
