from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.report.test_comparison import scaled
from tlm_edge.bench.figures import Figure
from tlm_edge.report.comparison import groups
from tlm_edge.report.layouts import layout_findings
from tlm_edge.report.page import page
from tlm_edge.report.tables import as_markdown


def laid_out(record, layout, factor, threads=1, **figures):
    """The record as if it were of another layout, with ``factor`` times its time."""
    median = (record.figures["model_p50"].value or 0.0) * factor
    told = {"model_p50": Figure(median, "ms", "measured")} | figures
    changed = scaled(record, factor, id=f"{layout}-{threads}", runtime=replace(record.runtime, threads=threads))
    return replace(changed, bundle=replace(record.bundle, layout=layout), figures=changed.figures | told)


def findings(records):
    return [finding for group in groups(records) for finding in layout_findings(group, records)]


def test_one_layout_is_not_spoken_of(measured):
    assert findings(measured[0].records) == []


def test_the_fastest_layout_is_named_with_what_the_others_take_and_why(measured):
    committee = measured[0].records[1]
    asked = {"members": Figure(1.25, "1", "measured")}
    records = [laid_out(committee, "fused", 1), laid_out(committee, "apart", 2)]
    records += [laid_out(committee, "cascade", 0.5, **asked)]
    (finding,) = findings(records)
    assert "cascade is the fastest layout on 1 thread" in finding
    assert "fused takes 2.00× (95 % CI 2.00–2.00) that, apart takes 4.00× (95 % CI 4.00–4.00) that" in finding
    assert "a text asks 1.25 of 2 members" in finding
    assert "2 calls of the runtime instead of one" in finding
    assert finding in page(records)
    assert finding in as_markdown(records)


def test_what_handing_over_to_threads_costs_is_told(measured):
    committee = measured[0].records[1]
    alone = committee.figures["model_p50"].value
    records = [laid_out(committee, "apart", 1), laid_out(committee, "fused", 1)]
    records += [laid_out(committee, "apart", 0.75, threads=2), laid_out(committee, "fused", 1, threads=2)]
    _, finding = findings(records)
    assert "apart is the fastest layout on 2 threads" in finding
    assert "2 members on 2 threads wait for 1 of them" in finding
    (rest,) = re.findall(r"the other (.*) ms", finding)
    assert float(rest) == pytest.approx(alone * 0.25, rel=0.01)


def test_layouts_that_differ_less_than_the_rounds_are_not_ranked(measured):
    committee = measured[0].records[1]
    fused = laid_out(committee, "fused", 1)
    noisy = tuple(
        replace(block, model_us=tuple(value * (1.2 if block.round % 2 else 0.9) for value in block.model_us))
        for block in committee.blocks
    )
    apart = replace(laid_out(committee, "apart", 1.05), blocks=noisy)
    (finding,) = findings([fused, apart])
    assert "(no difference is shown)" in finding
