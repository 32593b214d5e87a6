from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tlm_edge.reproduce.findings import Comparison, decide, find, judge
from tlm_edge.reproduce.results import read_results
from tlm_edge.reproduce.statistics import Difference


@pytest.fixture(scope="module")
def results(reproduction):
    return read_results(reproduction)


@pytest.fixture(scope="module")
def found(results):
    return find(results)


def compared(*decisions: str, whole: bool = True, votes: bool = True) -> list[Comparison]:
    return [Comparison("task", "first", "second", decision=each, whole=whole, votes=votes) for each in decisions]


def test_pretraining_is_tested_by_pairs_of_seeds(results, found) -> None:
    (one,) = found.findings[0].comparisons
    assert (one.task, one.first, one.second) == ("agnews", "bert-1, texts", "bert-1, from scratch")
    right = {
        name: [results.right(f"finetune-agnews-bert-1-{name}-seed{seed}", "agnews") for seed in (0, 1)]
        for name in ("texts", "scratch")
    }
    accuracies = [[each.mean() for each in side] for side in right.values()]
    reference = stats.ttest_rel(*accuracies)
    assert one.difference.p == pytest.approx(reference.pvalue)
    assert one.difference.low == pytest.approx(reference.confidence_interval().low)
    assert one.rows[1].only_first == int((right["texts"][1] & ~right["scratch"][1]).sum())
    assert one.whole


def test_what_has_not_run_is_told_so(found) -> None:
    pretraining, size, overlap, committee = found.findings
    assert (size.verdict, size.whole, size.comparisons[0].first) == ("not run", False, "bert-1, texts")
    assert (overlap.verdict, overlap.comparisons) == ("not run", ())
    assert committee.comparisons[0].first == "2 × bert-1"
    assert committee.comparisons[0].difference.seeds == 1
    assert found.family == 2
    assert all(
        p >= one.difference.p for one in (pretraining.comparisons[0], committee.comparisons[0]) if (p := one.p_holm)
    )


def test_a_committee_is_compared_by_rows(results, found) -> None:
    (one,) = found.findings[3].comparisons
    vote = results.right("committee-agnews-bert-1-texts-seeds0.1", "agnews")
    deep = results.right("finetune-agnews-bert-3-texts-seed0", "agnews")
    assert one.difference.value == pytest.approx(vote.mean() - deep.mean(), abs=1e-6)
    assert one.difference.low <= one.difference.value <= one.difference.high
    assert one.rows[0].only_second == int((deep & ~vote).sum())


def test_noise_is_that_of_seeds(results, found) -> None:
    noise = found.noise["agnews"]
    pairs = [
        [results.right(f"finetune-agnews-bert-1-{name}-seed{seed}", "agnews").mean() for seed in (0, 1)]
        for name in ("texts", "scratch")
    ]
    assert noise.deviation == pytest.approx(np.sqrt(np.mean([np.var(pair, ddof=1) for pair in pairs])))
    assert noise.freedom == 2


def test_the_rules_of_a_comparison() -> None:
    difference = Difference(0.01, 0.002, 0.018, 0.03, 3)
    assert decide(difference) == "for"
    assert decide(replace(difference, low=-0.002)) == "open"
    assert decide(replace(difference, low=-0.02, high=-0.001)) == "against"
    assert decide(replace(difference, low=None, high=None)) == "open"
    behind = Difference(-0.003, -0.0045, -0.001, 0.01, 3)
    assert (decide(behind), decide(behind, 0.005), decide(replace(behind, low=-0.006), 0.005)) == (
        "against",
        "for",
        "open",
    )
    assert decide(replace(behind, low=-0.02, high=-0.006), 0.005) == "against"


@pytest.mark.parametrize(
    ("decisions", "verdict"),
    [
        (["for", "for", "open"], "reproduced"),
        (["for", "for", "not run"], "reproduced"),
        (["for", "open", "open"], "partly"),
        (["for", "for", "against"], "partly"),
        (["for", "open"], "partly"),
        (["open", "against"], "not at this scale"),
        (["not run", "not run"], "not run"),
        ([], "not run"),
    ],
)
def test_the_rules_of_a_verdict(decisions, verdict) -> None:
    assert judge(compared(*decisions))[0] == verdict


def test_no_verdict_before_all_has_run_and_none_by_controls() -> None:
    assert judge(compared("open", "open", whole=False))[0] == "open"
    assert judge([*compared("open"), *compared("for", votes=False)])[0] == "not at this scale"
