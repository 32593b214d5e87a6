"""What a reproduction is doing, as the terminal shows it: a live table, or a line a run where there is no terminal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tlm_edge.reproduce.estimate import Rates, duration, estimate, measured_rates, run_seconds
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.outcome import OUTCOMES, Outcome, outcome_path, read_outcome, read_outcomes
from tlm_edge.reproduce.runs import Run
from tlm_edge.reproduce.schedule import State

#: How many of the runs that ended last the live table shows.
_LATEST = 6
#: Characters at the end of a run's log that hold its last record.
_TAIL = 4096

Show = Callable[[State], None]


@contextmanager
def shown(place: Place, console: Console) -> Iterator[Show]:
    """Yield what shows where a reproduction stands, to be called again and again."""
    if not console.is_terminal:
        yield _told(place, console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        ended: list[str] = []
        rates = Rates()
        known: set[str] | None = None

        def show(state: State) -> None:
            nonlocal rates, known
            over = state.done | state.failed.keys()
            if known != over:
                ended.extend(sorted(over - (known if known is not None else over)))
                known, rates = set(over), measured_rates(read_outcomes(place.folder / OUTCOMES))
            live.update(_live(place, state, ended[-_LATEST:], rates), refresh=True)

        yield show


def _told(place: Place, console: Console) -> Show:
    """A line for each run that ends."""
    known: set[str] | None = None

    def show(state: State) -> None:
        nonlocal known
        over = state.done | state.failed.keys()
        for name in sorted(over - (known if known is not None else over)):
            left = _left(place, state, measured_rates(read_outcomes(place.folder / OUTCOMES)))
            line = f"{_counted(state)} · {_result(place, state, name)} · {left}"
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        known = set(over)

    return show


def _live(place: Place, state: State, ended: Iterable[str], rates: Rates) -> Group:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("running", "for", "done", ""):
        table.add_column(name, justify="left" if name in ("running", "") else "right")
    by_name = {run.name: run for run in state.runs}
    for name, since in state.running.items():
        share, note = _progress(place, by_name[name])
        done = "" if share is None else f"{share:.0%}"
        table.add_row(name, duration(time.monotonic() - since), done, note)
    lines = [Text(f"{_counted(state)} · {_left(place, state, rates)}")]
    lines += [Text("  " + _result(place, state, name)) for name in ended]
    return Group(*lines, table)


def _counted(state: State) -> str:
    words = f"{len(state.done)} of {len(state.runs)} runs done"
    return words + (f", {len(state.failed)} failed" if state.failed else "")


def _left(place: Place, state: State, rates: Rates) -> str:
    """What is left, the finished part of what is running taken off."""
    by_name = {run.name: run for run in state.runs}
    ahead = estimate(place.plan, [*(by_name[name] for name in state.running), *state.waiting], rates)
    passed = 0.0
    for name in state.running:
        seconds, (share, _) = run_seconds(place.plan, by_name[name], rates), _progress(place, by_name[name])
        passed += (seconds or 0.0) * (share or 0.0)
    return ahead.without(passed).said(state.at_once)


def _result(place: Place, state: State, name: str) -> str:
    """How a run that is over ended."""
    if name in state.failed:
        return f"{name}: failed: {state.failed[name]}"
    path = outcome_path(place.folder / OUTCOMES, name)
    return f"{name}: {scores(read_outcome(path))}" if path.is_file() else f"{name}: made"


def scores(outcome: Outcome) -> str:
    """What a run came to, and how long it took, in a few words."""
    if outcome.accuracy is not None:
        score = f"accuracy {outcome.accuracy:.4f}"
    else:
        score = "no held-out loss" if outcome.loss is None else f"held-out loss {outcome.loss:.3f}"
    return f"{score} in {duration(outcome.wall_seconds)}"


def _progress(place: Place, run: Run) -> tuple[float | None, str]:
    """How much of a run is done, 0 … 1, and its loss and speed; None while it has not begun to train."""
    out = place.out(run)
    record = _last_record(out.with_name(out.name + ".unfinished") / "log.jsonl")
    if run.kind == "prepare" or record is None:
        return None, ""
    if run.kind == "pretrain":
        share = record["tokens"] / place.plan.pretraining_of(run.architecture, run.corpus or "").max_tokens
    else:
        share = record["epoch"] / place.plan.finetuning_of(run.architecture, run.task or "").epochs
    return min(1.0, share), f"loss {record['loss']:.3f} · {record['tokens_per_second'] / 1000:.1f}k tokens/s"


def _last_record(log: Path) -> dict[str, float] | None:
    """The last whole record of steps in a run's log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
            lines = stream.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            record: dict[str, float] = json.loads(line)
        except ValueError:
            continue
        if "tokens_per_second" in record:
            return record
    return None
