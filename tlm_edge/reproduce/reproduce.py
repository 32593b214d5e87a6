"""A reproduction from its plan to its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tlm_edge.reproduce.estimate import Rates, measured_rates
from tlm_edge.reproduce.folder import open_folder, plan_for
from tlm_edge.reproduce.jobs import Place, check_data
from tlm_edge.reproduce.outcome import OUTCOMES, read_outcomes
from tlm_edge.reproduce.plan import plan_file
from tlm_edge.reproduce.processes import LocalProcesses
from tlm_edge.reproduce.runs import Run, only, plan_runs
from tlm_edge.reproduce.schedule import State, Workers, carry_out, start_state
from tlm_edge.runtime.errors import UserError


@dataclass(frozen=True)
class Request:
    """What a user asks for: the plan by its scale's name or file, and how it is to be carried out.

    ``data`` is the folder that the plan's files lie in. ``pattern`` leaves only the runs whose names it matches, and
    what they need. ``jobs`` runs go on at once, with so many ``threads`` each; with ``ray``, the address of a cluster,
    as many as that has room for. ``keep`` keeps the classifiers' checkpoints.
    """

    plan: str
    out: Path
    data: Path | None = None
    pattern: str | None = None
    jobs: int = 1
    threads: int = 1
    keep: bool = False
    ray: str | None = None


@dataclass(frozen=True)
class Reproduction:
    """A reproduction at work: where it lies, and where it stands."""

    place: Place
    state: State


@contextmanager
def opened(request: Request) -> Iterator[Reproduction]:
    """The reproduction that ``request`` begins or goes on with, alone in its folder.

    Raises ``UserError`` as ``planned`` does, and if the folder is somebody else's.
    """
    with open_folder(request.out, plan_file(request.plan)):
        yield planned(request)


def planned(request: Request) -> Reproduction:
    """The reproduction that ``request`` means, as it stands, with nothing written.

    Raises ``UserError`` for a plan that isn't one or not the folder's, data that isn't there, a pattern that matches
    nothing, and an outcome that can't be read.
    """
    plan = plan_for(request.out, plan_file(request.plan))
    place = Place(plan, request.out.absolute(), None if request.data is None else request.data.absolute())
    check_data(place)
    return Reproduction(place, start_state(place, _chosen(plan_runs(plan), request.pattern)))


def carry_on(reproduction: Reproduction, request: Request, show: Callable[[State], None]) -> bool:
    """Do what is left; False if a signal stopped it."""
    workers = _workers(reproduction.place, request)
    return carry_out(reproduction.state, workers, show)


def _workers(place: Place, request: Request) -> Workers:
    if request.ray is None:
        return LocalProcesses(place, jobs=request.jobs, threads=request.threads, keep=request.keep)
    from tlm_edge.reproduce.on_ray import RayTasks

    return RayTasks(place, request.ray, threads=request.threads, keep=request.keep)


def known_rates(reproduction: Reproduction, request: Request) -> Rates:
    """How long runs take here: as finished ones did, the others by trials of seconds."""
    from tlm_edge.reproduce.trial import trial_rates

    place, state = reproduction.place, reproduction.state
    measured = measured_rates(read_outcomes(place.folder / OUTCOMES))
    return measured.joined(trial_rates(place, state.waiting, measured, request.threads))


def _chosen(runs: tuple[Run, ...], pattern: str | None) -> tuple[Run, ...]:
    if pattern is None:
        return runs
    chosen = {run.name for run in runs if fnmatchcase(run.name, pattern)}
    if not chosen:
        raise UserError(f"--only {pattern}: no run of the plan matches; --dry-run lists them all")
    return only(runs, chosen)
