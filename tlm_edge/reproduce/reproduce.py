"""A reproduction from its plan to its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tlm_edge.reproduce.folder import open_folder
from tlm_edge.reproduce.jobs import Place, check_data
from tlm_edge.reproduce.plan import plan_file
from tlm_edge.reproduce.runs import Run, only, plan_runs
from tlm_edge.reproduce.schedule import LocalProcesses, State, Workers, carry_out, start_state
from tlm_edge.runtime.errors import UserError


@dataclass(frozen=True)
class Request:
    """What a user asks for: the plan by its scale's name or file, and how it is to be carried out.

    ``data`` is the folder that the plan's files lie in. ``pattern`` leaves only the runs whose names it matches, and
    what they need. ``jobs`` runs go on at once, with so many ``threads`` each; with ``ray``, the address of a cluster,
    as many as it has room for. ``keep`` keeps the classifiers' checkpoints.
    """

    plan: str
    out: Path
    data: Path | None = None
    pattern: str | None = None
    jobs: int = 1
    threads: int = 1
    keep: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A reproduction at work: where it lies, and where it stands."""

    place: Place
    state: State


@contextmanager
def opened(request: Request) -> Iterator[Reproduction]:
    """The reproduction that ``request`` begins or goes on with, alone in its folder.

    Raises ``UserError`` for a plan that isn't one, data that isn't there, a pattern that matches nothing, and as
    ``open_folder`` and ``start_state`` do.
    """
    with open_folder(request.out, plan_file(request.plan)) as plan:
        place = Place(plan, request.out.absolute(), None if request.data is None else request.data.absolute())
        check_data(place)
        yield Reproduction(place, start_state(place, _chosen(plan_runs(plan), request.pattern)))


def carry_on(reproduction: Reproduction, request: Request, show: Callable[[State], None]) -> bool:
    """Do what is left; False if a signal stopped it."""
    workers: Workers = LocalProcesses(reproduction.place, jobs=request.jobs, threads=request.threads, keep=request.keep)
    return carry_out(reproduction.state, workers, show)


def _chosen(runs: tuple[Run, ...], pattern: str | None) -> tuple[Run, ...]:
    if pattern is None:
        return runs
    chosen = {run.name for run in runs if fnmatchcase(run.name, pattern)}
    if not chosen:
        raise UserError(f"--only {pattern}: no run of the plan matches; --dry-run lists them all")
    return only(runs, chosen)
