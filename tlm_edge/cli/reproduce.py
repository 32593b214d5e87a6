"""``tlm-edge reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    plan: Annotated[
        str, typer.Argument(metavar="[PLAN]", help="smoke, laptop or paper, or a TOML file of your own.")
    ] = "smoke",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The folder to fill; tlm-edge-out/reproduce-PLAN if not given."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", envvar="TLM_EDGE_DATA", help="The folder that the plan's files lie in."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Runs at once, each in its own process.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Threads of each run.")] = 1,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="PATTERN", help="Only runs named like '*bert-1-*', and what they need."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the classifiers, not only their answers.")] = False,
) -> None:
    """Carry out the experiments of the paper as a plan of many runs, and report what they found.

    What is done stays done: stopped at any time, the same command goes on. A run that fails is told, and the others
    go on without it. DIR gets an outcome a run, the encoders, and the report.
    """
    from tlm_edge.cli import training_options as training

    training.begin(None)
    from tlm_edge.reproduce.progress import shown
    from tlm_edge.reproduce.reproduce import Request, carry_on, opened

    name = Path(plan).stem
    request = Request(plan, out or Path(f"tlm-edge-out/reproduce-{name}"), data, only, jobs, threads, keep)
    with opened(request) as reproduction:
        with shown(reproduction) as show:
            finished = carry_on(reproduction, request, show)
        print(finished, reproduction.state.failed)
