"""Writing a report: Markdown, CSV, PNG and one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.bench.record import Record
from tlm_edge.extras import require_extra
from tlm_edge.files import new_folder
from tlm_edge.report.comparison import groups
from tlm_edge.report.page import page
from tlm_edge.report.plots import PRINT, pareto, save_png
from tlm_edge.report.tables import as_csv, as_markdown


@dataclass(frozen=True)
class Report:
    """The files of a report; there is a plot for each device and number of threads that has accuracies."""

    page: Path
    markdown: Path
    table: Path
    plots: tuple[Path, ...]


def write_report(records: Sequence[Record], out: Path, *, force: bool = False) -> Report:
    """Write ``index.html``, ``report.md``, ``report.csv`` and ``pareto….png`` into the folder ``out``.

    Raises ``MissingExtraError`` without the extra ``report``, ``UserError`` if ``out`` holds anything and ``force`` is
    false. Raises ``ValueError`` if there are no records.
    """
    if not records:
        raise ValueError("no records")
    require_extra("report", for_what="writing a report")
    plots = []
    with new_folder(out, force=force) as folder:
        for number, group in enumerate(groups(records)):
            figure = pareto(group.records, PRINT, (8.5, 4.8))
            if figure is not None:
                name = "pareto.png" if number == 0 else f"pareto-{number + 1}.png"
                save_png(figure, folder / name)
                plots.append(out / name)
        (folder / "index.html").write_text(page(records), encoding="utf-8")
        (folder / "report.md").write_text(as_markdown(records), encoding="utf-8")
        (folder / "report.csv").write_text(as_csv(records), encoding="utf-8", newline="")
    return Report(out / "index.html", out / "report.md", out / "report.csv", tuple(plots))
