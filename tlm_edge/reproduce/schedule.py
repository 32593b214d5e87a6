"""Who does which run when: all that can start is started, as many at once as there are workers for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tlm_edge.interruption import interruption
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.kept import kept_runs
from tlm_edge.reproduce.outcome import OUTCOMES, outcome_path, read_outcome
from tlm_edge.reproduce.prepare import prepared
from tlm_edge.reproduce.runs import Run

#: Seconds between two looks at the workers.
_LOOK = 0.5


class Workers(Protocol):
    """What does runs, several at once."""

    def free(self) -> int:
        """How many more runs can be started now."""

    def start(self, run: Run) -> None:
        """Start ``run``."""

    def ended(self) -> list[tuple[str, str | None]]:
        """The names of the runs that ended since the last time, each with why it failed, None if it did not."""

    def stop(self) -> None:
        """Stop all runs, their state saved."""


@dataclass
class State:
    """Where a reproduction stands; every run's name is in one of these, what waits for another run in ``waiting``."""

    runs: tuple[Run, ...]
    done: set[str] = field(default_factory=set)
    running: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    #: How many runs can go on at the same time.
    at_once: int = 1

    @property
    def waiting(self) -> list[Run]:
        """The runs not begun, in order, with those that wait in vain for one that failed."""
        return [run for run in self.runs if run.name not in self.done | self.failed.keys() | self.running.keys()]

    def ready(self) -> list[Run]:
        """The runs that can begin now, in order."""
        return [run for run in self.waiting if self.done.issuperset(run.needs)]


def start_state(place: Place, runs: Sequence[Run]) -> State:
    """What of ``runs`` is done: all that has an outcome, or of which one is kept.

    An encoder that is gone and that others still need is to be made again.

    Raises ``UserError`` for an outcome that can't be read.
    """
    state = State(tuple(runs))
    kept = kept_runs(place.folder)
    for run in runs:
        if run.kind == "prepare":
            done = prepared(place, run).exists()
        else:
            path = outcome_path(place.folder / OUTCOMES, run.name)
            done = run.name in kept or (path.is_file() and read_outcome(path).run == run.name)
        if done:
            state.done.add(run.name)
    for run in runs:
        needed = any(run.name in other.needs for other in state.waiting)
        if run.kind == "pretrain" and needed and not (place.out(run) / "training.json").is_file():
            state.done.discard(run.name)
    return state


def carry_out(state: State, workers: Workers, show: Callable[[State], None]) -> bool:
    """Do all that is left; False if a signal (Ctrl-C, SIGTERM) stopped it. A failed run holds up only who needs it."""
    with interruption() as asked:
        while (state.running or state.ready()) and not asked():
            state.at_once = max(1, len(state.running) + workers.free())
            for run in state.ready()[: workers.free()]:
                workers.start(run)
                state.running[run.name] = time.monotonic()
            show(state)
            time.sleep(_LOOK)
            for name, fault in workers.ended():
                del state.running[name]
                if fault is None:
                    state.done.add(name)
                else:
                    state.failed[name] = fault
        show(state)
        if asked():
            workers.stop()
            return False
    return True
