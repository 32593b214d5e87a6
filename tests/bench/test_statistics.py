from __future__ import annotations

import numpy as np
import pytest

from tlm_edge.bench.statistics import (
    accuracy_difference,
    accuracy_interval,
    ratio_interval,
    relative_spread,
    summarize,
)


def test_summary_of_known_samples():
    summary = summarize(np.arange(1.0, 101.0))
    assert (summary.n, summary.mean, summary.p50) == (100, 50.5, 50.5)
    assert summary.p90 == pytest.approx(90.1)
    assert summary.p99 == pytest.approx(99.01)
    assert summarize(np.array([1.0] * 9 + [1000.0])).trimmed_mean == 1.0


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        summarize(np.array([]))


def test_ratio_of_exact_multiples_is_exact():
    interval = ratio_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert interval is not None
    assert (interval.low, interval.value, interval.high) == pytest.approx((2.0, 2.0, 2.0))


def test_drift_common_to_both_cancels():
    drift = np.linspace(1.0, 3.0, 8)
    noise = np.random.default_rng(0).lognormal(0, 0.01, size=(2, 8))
    interval = ratio_interval((10 * drift * noise[0]).tolist(), (drift * noise[1]).tolist())
    assert interval is not None
    assert 9.7 < interval.low < interval.value < interval.high < 10.3


def test_too_few_blocks_give_no_interval_and_unpaired_ones_are_refused():
    assert ratio_interval([1.0, 2.0], [1.0, 2.0]) is None
    with pytest.raises(ValueError, match="paired"):
        ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize("blocks", [3, 5, 7, 8, 16])
def test_ratio_interval_holds_its_confidence(blocks):
    generator = np.random.default_rng(1)
    hits = 0
    for trial in range(400):
        slow = 5.0 * generator.lognormal(0, 0.05, blocks)
        fast = generator.lognormal(0, 0.05, blocks)
        interval = ratio_interval(slow.tolist(), fast.tolist(), resamples=1000, seed=trial)
        assert interval is not None
        hits += interval.low <= 5.0 <= interval.high
    assert 0.92 <= hits / 400 <= 0.99


def test_ratio_interval_is_seeded():
    slow, fast = [5.0, 5.2, 4.9, 5.1] * 3, [1.0, 1.1, 0.9, 1.0] * 3
    assert ratio_interval(slow, fast, seed=3) == ratio_interval(slow, fast, seed=3)


def test_intervals_of_few_blocks_are_students():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra 'train'")
    slow, fast = np.array([5.0, 5.2, 4.9, 5.1, 5.3, 5.0, 5.2]), np.array([1.0, 1.1, 0.9, 1.0, 1.0, 1.1, 0.9])
    for blocks in range(3, 8):
        interval = ratio_interval(slow[:blocks].tolist(), fast[:blocks].tolist())
        theirs = stats.ttest_1samp(np.log(slow[:blocks] / fast[:blocks]), 0.0).confidence_interval()
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx(tuple(np.exp(theirs)), rel=1e-4)


def test_accuracy_interval_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra 'train'")
    for correct, n in ((0, 20), (180, 200), (7, 7), (6900, 7600)):
        ours = accuracy_interval(correct, n)
        theirs = stats.binomtest(correct, n).proportion_ci(method="wilson")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_accuracy_difference_is_paired():
    expected = np.zeros(200, dtype=np.int64)
    first, second = expected.copy(), expected.copy()
    second[:10] = 1
    difference = accuracy_difference(first, second, expected)
    assert difference.value == pytest.approx(0.05)
    assert 0 < difference.low < 0.05 < difference.high


def test_models_that_never_disagree_still_have_an_interval():
    expected = np.zeros(200, dtype=np.int64)
    difference = accuracy_difference(expected, expected, expected)
    assert difference.value == 0.0
    assert -0.02 < difference.low < 0 < difference.high < 0.02


def test_accuracy_difference_holds_its_confidence():
    generator = np.random.default_rng(2)
    expected = np.zeros(200, dtype=np.int64)
    hits = 0
    for _ in range(500):
        first = (generator.random(200) > 0.92).astype(np.int64)
        second = (generator.random(200) > 0.88).astype(np.int64)
        difference = accuracy_difference(first, second, expected)
        hits += difference.low <= 0.04 <= difference.high
    assert 0.92 <= hits / 500 <= 0.99


def test_relative_spread():
    assert relative_spread([5.0]) == 0.0
    assert relative_spread([1.0, 1.0, 1.0]) == 0.0
    assert relative_spread([1.0, 2.0, 3.0]) == pytest.approx(0.5)
