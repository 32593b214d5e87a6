"""``tlm-edge report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlm_edge.cli.options import ForceOption, OutOption

RecordsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="RECORDS…", help="Records of `tlm-edge bench`: files, or folders that hold some."),
]


def report(records: RecordsArgument, out: OutOption, force: ForceOption = False) -> None:
    """Turn benchmark records into one page (HTML), Markdown, CSV and a plot (PNG)."""
    from tlm_edge.bench.record import read_records
    from tlm_edge.report.write import write_report

    written = write_report(read_records(records), out, force=force)
    for path in (written.page, written.markdown, written.table, *written.plots):
        print(path)
    print(f"\nNext: open {written.page} in a browser")
