"""What ``tlm-edge bench`` and its relatives show: progress, tables, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tlm_edge.bench.record import Record
    from tlm_edge.bench.session import Progress


@contextmanager
def shown_progress(console: Console, folder: Path | None) -> Iterator[Progress]:
    """A progress bar; when interrupted it tells how to go on with the benchmark in ``folder``, if one is given."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("starting", total=None)

    def step(what: str, done: int, steps: int) -> None:
        bar.start()  # not before: ssh may have to ask for a password first
        bar.update(task, description=what, completed=done, total=steps)

    try:
        try:
            yield step
        finally:
            bar.stop()
    except KeyboardInterrupt:
        how = "" if folder is None else f" Go on with: tlm-edge bench --resume --out {folder}"
        console.print(f"Interrupted.{how}", soft_wrap=True)
        raise


def print_records(console: Console, records: Sequence[Record], columns: Sequence[str] = ()) -> None:
    """One table a device and number of threads, what it shows, and what speaks against it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tlm_edge.bench.figures import FIGURE_KINDS
    from tlm_edge.report.comparison import groups, headline_pair
    from tlm_edge.report.layouts import layout_findings
    from tlm_edge.report.tables import group_title, main_table
    from tlm_edge.report.words import finding, model_name

    shown = columns or ("accuracy", "agreement", "latency_p50", "latency_p90", "model_p50", "peak_rss", "size")
    for group in groups(records):
        content = main_table(group, shown)
        machine = group.records[0].device.machine
        title = f"{group_title(group)}\n{machine.system}"
        # On a narrow screen names are folded between words, figures never are.
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        words = [word for row in content.rows for word in row[0].split()]
        table.add_column("model", overflow="fold", min_width=min(20, max(len(word) for word in words)))
        for place, name in enumerate(shown, start=1):
            kind = FIGURE_KINDS[name]
            heading = kind.short + ("" if kind.unit == "1" else f"\n{kind.unit}")
            width = max(len(text) for text in (*heading.splitlines(), *(row[place] for row in content.rows)))
            table.add_column(heading, justify="right", min_width=width)
        for row in content.rows:
            table.add_row(*row)
        console.print(table)
        pair = headline_pair(group)
        if pair is not None:
            console.print(finding(pair), highlight=False, soft_wrap=True)
        for told in layout_findings(group, records):
            console.print(told, highlight=False, soft_wrap=True)
        for record in group.records:
            if not record.validity.valid:
                reasons = "; ".join(record.validity.reasons)
                console.print(f"[yellow]† {model_name(record)}: {reasons}", highlight=False, soft_wrap=True)
        labelling = group.records[0].labelling
        if labelling is not None and labelling.smoke_test:
            console.print(
                f"Accuracy on {len(labelling.expected)} shipped texts is a smoke test: use --data for a test set.",
                highlight=False,
                soft_wrap=True,
            )


def print_json(records: Sequence[Record], files: Sequence[Path]) -> None:
    """One object: every record's figures and verdict, and the comparison to lead with, by device and threads."""
    from dataclasses import asdict
    from json import dumps

    from tlm_edge.report.comparison import groups, headline_pair

    listed = [
        {
            "id": record.id,
            "file": str(file),
            "valid": record.validity.valid,
            "reasons": record.validity.reasons,
            "figures": {name: asdict(figure) for name, figure in record.figures.items()},
        }
        for record, file in zip(records, files, strict=True)
    ]
    comparisons = [
        {
            "device": group.device,
            "threads": group.threads,
            "slow": pair.slow.id,
            "fast": pair.fast.id,
            "latency_ratio": asdict(pair.latency),
            "model_ratio": asdict(pair.model),
            "accuracy_difference": None if pair.accuracy is None else asdict(pair.accuracy),
        }
        for group in groups(records)
        if (pair := headline_pair(group)) is not None
    ]
    print(dumps({"records": listed, "comparisons": comparisons}, indent=2, ensure_ascii=False))


def require_all(faults: dict[str, str]) -> None:
    """Raise ``UserError`` if a bundle failed on the device: the records of the others are there already."""
    if faults:
        from tlm_edge.runtime.errors import UserError

        raise UserError("; ".join(f"{entry} could not be measured: {message}" for entry, message in faults.items()))
