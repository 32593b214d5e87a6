from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tlm_edge.bench.figures import Figure
from tlm_edge.report.comparison import (
    against_slowest,
    block_medians,
    compare,
    groups,
    headline_pair,
    layers,
    pareto_front,
    role,
    total_samples,
)
from tlm_edge.report.words import accuracy_finding, finding, number, short_names, speed_finding


def scaled(record, factor, **changes):
    """The record as if everything had taken ``factor`` times as long."""
    blocks = tuple(
        replace(
            block,
            model_us=tuple(factor * value for value in block.model_us),
            tokenize_us=tuple(factor * value for value in block.tokenize_us),
        )
        for block in record.blocks
    )
    total = np.concatenate([np.add(block.tokenize_us, block.model_us) for block in blocks]) / 1e3
    figures = record.figures | {"latency_p50": Figure(float(np.median(total)), "ms", "measured")}
    return replace(record, blocks=blocks, figures=figures, **changes)


def named(record, source, precision="fp32", members=1, architecture="bert, layers 1, hidden 32, heads 4"):
    bundle = replace(
        record.bundle,
        source=source,
        source_sha256=source.encode().hex().ljust(64, "0"),
        precision=precision,
        members=members,
        architecture=architecture,
    )
    return replace(record, id=f"{source}-{precision}", bundle=bundle)


def test_roles_and_layers(measured):
    deep, committee = measured[0].records
    assert (role(deep), layers(deep)) == ("deep", 3)
    assert (role(committee), layers(committee)) == ("committee", 1)
    assert role(named(deep, "one")) == "shallow"
    assert role(named(deep, "other", architecture="distilled")) == "deep"


def test_a_known_ratio_is_found_whichever_way_it_is_asked(measured):
    deep = measured[0].records[0]
    fast = scaled(deep, 0.25, id="fast")
    for pair in (compare(deep, fast), compare(fast, deep)):
        assert pair.slow is deep
        assert (pair.latency.low, pair.latency.value, pair.latency.high) == pytest.approx((4.0, 4.0, 4.0))
        assert pair.model.value == pytest.approx(4.0)


def test_records_of_different_runs_have_no_interval(measured):
    deep = measured[0].records[0]
    other = scaled(deep, 0.5, session=replace(deep.session, id="another run"))
    pair = compare(deep, other)
    assert pair.latency.value == pytest.approx(2.0)
    assert pair.latency.low is None
    assert "not interleaved" in speed_finding(pair)


def test_measured_ratio_is_that_of_the_paired_medians(measured):
    pair = compare(*measured[0].records)
    slow, fast = block_medians(pair.slow, "latency"), block_medians(pair.fast, "latency")
    expected = np.exp(np.mean([np.log(slow[number] / fast[number]) for number in slow]))
    assert pair.latency.value == pytest.approx(float(expected))
    assert pair.latency.low <= pair.latency.value <= pair.latency.high


def test_accuracy_is_compared_on_the_same_texts_only(measured):
    deep, committee = measured[0].records
    pair = compare(deep, committee)
    assert pair.texts == 200
    given = {record.id: np.array(record.labelling.given) for record in (deep, committee)}
    expected = np.array(deep.labelling.expected)
    difference = np.mean(given[pair.fast.id] == expected) - np.mean(given[pair.slow.id] == expected)
    assert pair.accuracy.value == pytest.approx(difference)
    other = replace(committee, labelling=replace(committee.labelling, sha256="0" * 64))
    assert compare(deep, other).accuracy is None
    assert "wasn't compared" in accuracy_finding(compare(deep, other))
    assert compare(deep, replace(committee, labelling=None)).accuracy is None


def test_the_headline_takes_each_side_in_its_fastest_form(measured):
    base = measured[0].records[0]
    deep = named(base, "deep", "fp32", architecture="bert, layers 6")
    deep_fast = scaled(named(base, "deep", "int8", architecture="bert, layers 6"), 0.5)
    one = scaled(named(base, "one"), 0.01)
    committee = scaled(named(base, "four", members=4), 0.1)
    (group,) = groups([committee, one, deep, deep_fast])
    assert [record.bundle.source for record in group.records] == ["deep", "deep", "one", "four"]
    pair = headline_pair(group)
    assert (pair.slow.id, pair.fast.id) == (deep_fast.id, committee.id)
    assert pair.latency.value == pytest.approx(5.0)
    assert [one.latency.value for one in against_slowest(group)] == pytest.approx([2.0, 100.0, 10.0])


def test_without_a_committee_the_headline_is_slowest_against_fastest(measured):
    base = measured[0].records[0]
    two = [named(base, "slow"), scaled(named(base, "fast"), 0.5)]
    assert headline_pair(groups(two)[0]).fast.bundle.source == "fast"
    assert headline_pair(groups(two[:1])[0]) is None


def test_devices_and_threads_are_kept_apart(measured):
    deep, committee = measured[0].records
    four = replace(deep, runtime=replace(deep.runtime, threads=4))
    board = replace(committee, device=replace(committee.device, name="board", transport="ssh"))
    found = [(group.device, group.threads, len(group.records)) for group in groups([deep, four, board, committee])]
    assert found == [("board", 1, 1), ("local", 1, 2), ("local", 4, 1)]


def test_pareto_front(measured):
    base = measured[0].records[0]

    def at(latency, accuracy):
        figures = base.figures | {
            "latency_p50": Figure(latency, "ms", "measured"),
            "accuracy": Figure(accuracy, "1", None if accuracy is None else "measured"),
        }
        return replace(base, figures=figures)

    best, quick, beaten, unknown = at(5.0, 0.95), at(1.0, 0.9), at(2.0, 0.85), at(0.5, None)
    assert pareto_front([best, beaten, unknown, quick]) == [quick, best]


def test_samples_of_all_rounds_are_pooled(measured):
    record = measured[0].records[0]
    assert total_samples(record).size == sum(len(block.model_us) for block in record.blocks)


def test_findings_claim_no_more_than_the_intervals(measured):
    base = measured[0].records[0]
    noise = np.random.default_rng(0).lognormal(0, 0.3, len(base.blocks))
    same = replace(
        named(base, "same"),
        blocks=tuple(
            replace(block, model_us=tuple(factor * value for value in block.model_us))
            for block, factor in zip(base.blocks, noise, strict=True)
        ),
    )
    assert "can't be told apart" in speed_finding(compare(base, same))
    assert "as fast as" in speed_finding(compare(base, scaled(named(base, "fast"), 0.1)))
    expected = base.labelling.expected
    wrong = tuple((label + 1) % 4 if index % 4 == 0 else label for index, label in enumerate(expected))
    right = replace(base, labelling=replace(base.labelling, given=expected))
    worse = scaled(named(replace(base, labelling=replace(base.labelling, given=wrong)), "worse"), 0.1)
    assert "It is less accurate" in accuracy_finding(compare(right, worse))
    assert "No difference in accuracy is shown" in accuracy_finding(compare(right, scaled(right, 0.1)))
    assert finding(compare(right, worse)).count("smoke test") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0812, "0.0812"), (0.25, "0.250"), (1.3, "1.30"), (24.12, "24.1"), (1030.4, "1030"), (0, "0")],
)
def test_three_digits(value, text):
    assert number(value) == text


def test_short_names_drop_what_all_share(measured):
    base = measured[0].records[0]
    assert short_names([named(base, "agnews-bert-6"), named(base, "agnews-committee")]) == {
        "agnews-bert-6": "bert-6",
        "agnews-committee": "committee",
    }
    assert short_names([named(base, "agnews-bert-6")]) == {"agnews-bert-6": "agnews-bert-6"}
    assert short_names([named(base, "a-b"), named(base, "a-b-c")]) == {"a-b": "b", "a-b-c": "b-c"}
