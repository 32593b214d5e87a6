"""The report as one self-contained page: style and plots inline, nothing fetched, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.bench.figures import FIGURE_KINDS
from tlm_edge.bench.record import Block, Record
from tlm_edge.report.comparison import Comparison, Group, groups, headline_pair, role, total_samples
from tlm_edge.report.layouts import layout_findings
from tlm_edge.report.plots import MARKERS, OTHER_MARKER, PAGE, SIGNS, as_svg, distribution, pareto, series_of
from tlm_edge.report.tables import group_note, group_title, main_table, ratio_table
from tlm_edge.report.words import (
    MISSING,
    accuracy_finding,
    form,
    model_name,
    number,
    provenance_lines,
    provenance_mark,
    shown,
    speed_finding,
    times,
    told,
)

TEMPLATE = Path(__file__).with_name("page.html.j2")
#: Plot sizes in inches, for narrow screens and for wide ones: text keeps its size in both.
NARROW, WIDE = (3.75, 3.9), (10.4, 4.6)


@dataclass(frozen=True)
class _Detail:
    """One record as the page shows it."""

    record: Record
    name: str
    role: str
    series: int
    samples: int
    seconds: float | None
    plot: str
    figures: list[dict[str, str]]
    facts: list[tuple[str, str]]


def page(records: Sequence[Record]) -> str:
    """The page as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    sections = [_section(group, records, index) for index, group in enumerate(groups(records))]
    html: str = template.render(
        title=_title(records),
        sections=sections,
        provenances=[tuple(line.split(": ", 1)) for line in provenance_lines(records)],
        smoke_test=any(record.labelling is not None and record.labelling.smoke_test for record in records),
        commands=list(dict.fromkeys(record.session.command for record in records)),
        emulated_sessions={record.session.id for record in records if record.emulation is not None},
        sessions=list({record.session.id: record.session for record in records}.values()),
        texts=records[0].texts,
        version=records[0].tlm_edge_version,
    )
    return html


def _title(records: Sequence[Record]) -> str:
    sources = list(dict.fromkeys(record.bundle.source for record in records))
    return " against ".join(sources) if len(sources) == 2 else "Text classifiers, measured"


def _section(group: Group, records: Sequence[Record], index: int) -> dict[str, Any]:
    pair = headline_pair(group)
    plots = [
        (name, as_svg(figure, f"Accuracy over latency on {group.device}", f"pareto-{name}-{index}"))
        for name, size in (("narrow", NARROW), ("wide", WIDE))
        if (figure := pareto(group.records, PAGE, size)) is not None
    ]
    return {
        "title": group_title(group),
        "hero": None if pair is None else _hero(pair, series_of(group.records)),
        "machine": group.records[0].device.machine,
        "environment": _environment(group),
        "plots": plots,
        "table": main_table(group),
        "series": series_of(group.records),
        "ratios": ratio_table(group) if len(group.records) > 1 else None,
        "layouts": layout_findings(group, records),
        "invalid": _invalid(group),
        "details": [_detail(record, group, index) for record in group.records],
        "marks": [
            (precision, SIGNS[MARKERS.get(precision, OTHER_MARKER)])
            for precision in dict.fromkeys(record.bundle.precision for record in group.records)
        ],
        "interval": _accuracy_halfwidth(group),
        "note": group_note(group),
        "emulated": group.transport == "emulated",
    }


def _hero(pair: Comparison, series: dict[str, int]) -> dict[str, Any]:
    """The large figures at the top: the ratio and both sides' latency as bars on one scale."""
    longest = pair.slow.figures["latency_p50"].value or 1.0
    sides = [
        {
            "name": model_name(record),
            "latency": told(record, "latency_p50"),
            "accuracy": shown(record, "accuracy"),
            "share": max(0.6, 100 * (record.figures["latency_p50"].value or 0.0) / longest),
            "series": series[record.bundle.source],
        }
        for record in (pair.slow, pair.fast)
    ]
    return {
        "times": ("~" if pair.latency.estimated else "") + times(pair.latency.value),
        "speed": speed_finding(pair),
        "accuracy": accuracy_finding(pair),
        "valid": pair.slow.validity.valid and pair.fast.validity.valid,
        "sides": sides,
    }


def _invalid(group: Group) -> dict[str, Any] | None:
    """What speaks against the group's records: the kinds of reasons, and each record's own."""
    records = [record for record in group.records if not record.validity.valid]
    kinds = dict.fromkeys(reason.split(":")[0] for record in records for reason in record.validity.reasons)
    reasons = [(model_name(record), "; ".join(record.validity.reasons)) for record in records]
    share = "all records" if len(records) == len(group.records) else f"{len(records)} of {len(group.records)} records"
    return {"kinds": ", ".join(kinds), "share": share, "reasons": reasons} if records else None


def _accuracy_halfwidth(group: Group) -> str | None:
    """Half the widest 95 % interval of an accuracy in the group, in points."""
    widths = [
        50 * (figure.high - figure.low)
        for record in group.records
        if (figure := record.figures["accuracy"]).high is not None and figure.low is not None
    ]
    return f"{max(widths):.1f}" if widths else None


def _environment(group: Group) -> list[tuple[str, str]]:
    record = group.records[0]
    machine, blocks = record.device.machine, [block for one in group.records for block in one.blocks]
    memory = MISSING if machine.memory_mb is None else f"{machine.memory_mb / 1e3:.1f} GB"
    return [
        ("processor", machine.cpu),
        ("cores usable", f"{machine.usable_cores} of {machine.cores}" + (", virtual" if machine.virtual else "")),
        ("instruction sets", ", ".join(machine.features) or MISSING),
        ("memory", memory),
        ("system", f"{machine.system}, {machine.kernel}, {machine.architecture}"),
        ("python", machine.python),
        *(_conditions(blocks) if blocks else []),
    ]


def _conditions(blocks: Sequence[Block]) -> list[tuple[str, str]]:
    return [
        ("governor", blocks[0].before.governor or "not told"),
        ("clock", _range([block.after.clock_mhz for block in blocks], "MHz")),
        ("temperature", _range([block.after.temperature_c for block in blocks], "°C")),
        ("load average", _range([block.before.load_average for block in blocks], "", digits=2)),
        ("busy with other work", _range([block.others_busy_cores for block in blocks], "cores", digits=2)),
    ]


def _range(values: Sequence[float | None], unit: str, digits: int = 0) -> str:
    told = [value for value in values if value is not None]
    if not told:
        return "not told"
    low, high = f"{min(told):.{digits}f}", f"{max(told):.{digits}f}"
    return (low if low == high else f"{low} to {high}") + (f" {unit}" if unit else "")


def _detail(record: Record, group: Group, index: int) -> _Detail:
    samples = total_samples(record)
    plot = as_svg(
        distribution(record, group.records, PAGE, (4.3, 2.4)),
        f"Distribution of the latency of {model_name(record)}",
        f"distribution-{index}-{record.id}",
    )
    figures = [
        {
            "title": kind.title,
            "value": shown(record, name) + ("" if kind.unit == "1" or figure.value is None else f" {kind.unit}"),
            "bounds": "" if figure.low is None or figure.high is None else f"{figure.low:.3f}–{figure.high:.3f}",
            "provenance": figure.provenance or MISSING,
            "mark": provenance_mark(figure),
            "meaning": figure.note or kind.meaning,
        }
        for name, kind in FIGURE_KINDS.items()
        if (figure := record.figures.get(name)) is not None
    ]
    bundle, texts = record.bundle, record.texts
    members = f"{bundle.members} members, " if bundle.members > 1 else ""
    facts = [
        ("model", f"{bundle.source}: {bundle.architecture}, {members}{bundle.parameters / 1e6:.1f} M parameters"),
        ("bundle", f"{bundle.name}, {form(record)}, rewrite: {bundle.rewrite}"),
        ("bundle sha256", bundle.sha256),
        ("runtime", f"{record.runtime.name} {record.runtime.version}, {record.runtime.provider}"),
        ("threads", str(record.runtime.threads)),
        ("texts", f"{texts.timed} of {texts.data}, tokens: median {texts.tokens_p50:g}, longest {texts.tokens_max}"),
        ("rounds", f"{len(record.blocks)}, round medians {_round_range(record)} ms")
        if record.emulation is None
        else (
            "emulated",
            f"{record.emulation.processor} by {record.emulation.emulator}, at {record.emulation.mhz} MHz",
        ),
    ]
    return _Detail(
        record=record,
        name=model_name(record),
        role=role(record),
        series=series_of(group.records)[record.bundle.source],
        samples=samples.size,
        seconds=None if record.emulation is not None else sum(block.wall_seconds for block in record.blocks),
        plot=plot,
        figures=figures,
        facts=facts,
    )


def _round_range(record: Record) -> str:
    medians = [float(np.median(np.add(block.tokenize_us, block.model_us))) / 1e3 for block in record.blocks]
    return f"{number(min(medians))} to {number(max(medians))}"
