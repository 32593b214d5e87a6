"""``tlm-edge reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlm_edge.cli.options import RayOption
from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    from tlm_edge.cli.screen import Screen
    from tlm_edge.reproduce.reproduce import Reproduction, Request


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
    ray: RayOption = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="PATTERN", help="Only runs named like '*-agnews-*', and what those need."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs, and estimate their time by trials of seconds.")
    ] = False,
    price: Annotated[
        float | None,
        typer.Option("--price", min=0.0, metavar="X", help="Price of an hour of one job, for --dry-run to add up."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the classifiers, not only their answers.")] = False,
) -> None:
    """Carry out the paper's experiments as a plan of many runs, and report what they found.

    What is done stays done: stopped at any time, the same command goes on. A run that fails is told, and the others
    go on. DIR gets an outcome a run with the answers to all test rows, the encoders, and the report.
    """
    from tlm_edge.cli.screen import Screen
    from tlm_edge.extras import require_extra

    require_extra("train", for_what="tlm-edge reproduce")
    require_extra("report", for_what="the report of tlm-edge reproduce")
    from tlm_edge.reproduce.reproduce import Request, opened, planned

    folder = out or Path(f"tlm-edge-out/reproduce-{Path(plan).stem}")
    request = Request(plan, folder, data, only, jobs, threads, keep, ray)
    console = Screen()
    if dry_run:
        _print_plan(console, planned(request), request, price)
        return
    with opened(request) as reproduction:
        _carry_on(console, reproduction, request)


def _print_plan(console: Screen, reproduction: Reproduction, request: Request, price: float | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tlm_edge.reproduce.estimate import duration, estimate, run_seconds
    from tlm_edge.reproduce.reproduce import known_rates

    place, state = reproduction.place, reproduction.state
    rates = known_rates(reproduction, request)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("run")
    table.add_column("takes", justify="right")
    for run in state.runs:
        seconds = run_seconds(place.plan, run, rates)
        left = "?" if seconds is None else "" if run.kind == "prepare" else duration(seconds)
        table.add_row(run.name, "done" if run.name in state.done else left)
    console.print(table)
    said = estimate(place.plan, state.waiting, rates).said(request.jobs, price)
    console.print(
        f"{len(state.done)} of {len(state.runs)} runs done; {said} with --jobs {request.jobs} "
        "(estimated from finished runs and from trials of seconds on this machine)",
        soft_wrap=True,
        highlight=False,
    )


def _carry_on(console: Screen, reproduction: Reproduction, request: Request) -> None:
    from tlm_edge.cli.outcome import INTERRUPTED
    from tlm_edge.reproduce.progress import shown
    from tlm_edge.reproduce.reproduce import carry_on

    place, state = reproduction.place, reproduction.state
    console.print(f"{place.plan.name}: {len(state.done)} of {len(state.runs)} runs done", highlight=False)
    with shown(place, console) as show:
        finished = carry_on(reproduction, request, show)
    if not finished:
        console.print(f"stopped; the state is in {request.out}; the same command goes on", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    console.print("writing the report", highlight=False)
    # Not before: it brings PyTorch along, which only the runs' own processes need.
    from tlm_edge.reproduce.write import write_findings

    page = write_findings(place.folder, place.plan, place.data)
    console.print(f"{request.out}: {len(state.done)} of {len(state.runs)} runs done", soft_wrap=True, highlight=False)
    console.print(f"report: {page} (open it in a browser)", soft_wrap=True, highlight=False)
    if state.failed:
        name, fault = next(iter(state.failed.items()))
        raise UserError(
            f"{len(state.failed)} of {len(state.runs)} runs failed, {name} first: {fault}; "
            "mend it, and the same command tries them again"
        )
