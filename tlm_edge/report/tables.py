"""Records as rows: for Markdown, for CSV, and for whoever else draws a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from tlm_edge.bench.figures import FIGURE_KINDS
from tlm_edge.bench.record import Record
from tlm_edge.report.comparison import Group, against_slowest, groups, headline_pair, total_samples
from tlm_edge.report.layouts import layout_findings
from tlm_edge.report.words import (
    MISSING,
    column_title,
    finding,
    model_name,
    provenance_lines,
    provenance_mark,
    short_bounds,
    short_points,
    shown,
)

#: The figures of the main table, in order.
COLUMNS = (
    "accuracy",
    "agreement",
    "latency_p50",
    "latency_p90",
    "model_p50",
    "throughput",
    "peak_rss",
    "rise_rss",
    "size",
    "instructions",
)
#: Shown only where a device was emulated.
EMULATED_COLUMNS = ("instructions",)


@dataclass(frozen=True)
class Table:
    """A heading row and rows of text; the first column names, the others are numbers."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def main_table(group: Group, columns: Sequence[str] = COLUMNS) -> Table:
    """One row a record, one column a figure; figures that weren't measured carry a mark, dubious records a dagger."""
    rows = []
    columns = [column for column in columns if column not in EMULATED_COLUMNS or _occurs(group, column)]
    for record in group.records:
        name = model_name(record) + ("" if record.validity.valid else "\N{NO-BREAK SPACE}†")
        rows.append((name, *(shown(record, column) + _mark(record, column) for column in columns)))
    return Table(("model", *(column_title(column) for column in columns)), tuple(rows))


def ratio_table(group: Group) -> Table:
    """Every record against the slowest: how much faster, with tokenization and without, and at what accuracy."""
    rows = []
    slowest = MISSING
    for one in against_slowest(group):
        slowest = model_name(one.slow)
        rows.append((model_name(one.fast), short_bounds(one.latency), short_bounds(one.model), short_points(one)))
    bounds = "estimated, band" if any(one.latency.estimated for one in against_slowest(group)) else "95 % CI"
    heading = (f"against {slowest}", f"speed ({bounds})", f"model alone ({bounds})", "accuracy, points (95 % CI)")
    return Table(heading, tuple(rows))


def group_title(group: Group) -> str:
    """``local: AMD EPYC, 1 thread, onnxruntime 1.31.1``."""
    threads = f"{group.threads} thread" + ("s" if group.threads != 1 else "")
    runtimes = dict.fromkeys(f"{record.runtime.name} {record.runtime.version}" for record in group.records)
    words = [group.records[0].device.machine.cpu, threads, *runtimes]
    words += [] if group.length == "own" else [f"texts of {group.length} tokens"]
    return f"{group.device}: {', '.join(words)}"


def group_note(group: Group) -> str:
    """What has to be known of an emulated group's figures, in a sentence without its full stop; else empty."""
    emulations = [record.emulation for record in group.records if record.emulation is not None]
    if not emulations:
        return ""
    (low, high), (ratio_low, ratio_high) = emulations[0].band, emulations[0].ratio_band
    return (
        f"Emulated, not measured: the device's latency lies within {low:.2f} to {high:.2f} times the estimate (~)"
        f", a ratio of two models in one runtime within {ratio_low:.2f} to {ratio_high:.2f} times"
    )


def as_markdown(records: Sequence[Record]) -> str:
    """The whole report as Markdown."""
    lines = ["# Benchmark report", ""]
    for group in groups(records):
        machine = group.records[0].device.machine
        cores = f"{machine.usable_cores} core" + ("s" if machine.usable_cores != 1 else "")
        lines += [
            f"## {group_title(group)}",
            "",
            f"{cores}, {machine.architecture}, {machine.system}",
            "",
        ]
        pair = headline_pair(group)
        if pair is not None:
            lines += [f"**{finding(pair)}**", ""]
        lines += [_markdown_table(main_table(group)), ""]
        if len(group.records) > 1:
            lines += [_markdown_table(ratio_table(group)), ""]
        lines += [line for told in layout_findings(group, records) for line in (told, "")]
        for record in group.records:
            lines += (
                [] if record.validity.valid else [f"- † {model_name(record)}: {'; '.join(record.validity.reasons)}"]
            )
        lines += [""] if any(not record.validity.valid for record in group.records) else []
        lines += [f"{note}.", ""] if (note := group_note(group)) else []
    lines += ["## Provenance", ""]
    lines += [f"- {line}" for line in provenance_lines(records)]
    lines += ["", "## Reproduce", "", "```", *dict.fromkeys(record.session.command for record in records), "```", ""]
    return "\n".join(lines)


def as_csv(records: Sequence[Record]) -> str:
    """One row a record with every figure, its provenance and its bounds; empty cells where there is none."""
    stream = io.StringIO()
    facts = ["record", "device", "transport", "cpu", "runtime", "runtime_version", "threads", "source", "target"]
    facts += [
        "precision",
        "layout",
        "members",
        "parameters",
        "texts",
        "length",
        "profile",
        "inferences",
        "valid",
        "reasons",
    ]
    parts = ("", "_unit", "_provenance", "_low", "_high")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*facts, *(name + part for name in FIGURE_KINDS for part in parts)])
    for record in records:
        row: list[object] = [record.id, record.device.name, record.device.transport, record.device.machine.cpu]
        row += [record.runtime.name, record.runtime.version, record.runtime.threads, record.bundle.source]
        row += [record.bundle.target, record.bundle.precision, record.bundle.layout, record.bundle.members]
        row += [record.bundle.parameters]
        row += [record.texts.data, record.texts.length, record.session.profile, total_samples(record).size]
        row += [record.validity.valid, "; ".join(record.validity.reasons)]
        for name in FIGURE_KINDS:
            figure = record.figures.get(name)
            row += [None] * 5 if figure is None else [figure.value, figure.unit, figure.provenance]
            row += [] if figure is None else [figure.low, figure.high]
        writer.writerow(row)
    return stream.getvalue()


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    alignment = "|---|" + "---:|" * (len(table.heading) - 1)
    return "\n".join([line(table.heading), alignment, *(line(row) for row in table.rows)])


def _occurs(group: Group, column: str) -> bool:
    return any((figure := record.figures.get(column)) and figure.value is not None for record in group.records)


def _mark(record: Record, column: str) -> str:
    figure = record.figures.get(column)
    return "" if figure is None or figure.value is None else provenance_mark(figure)
