"""Everyone's times: a text by itself on one thread, and texts a second on one thread and on all cores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from contenders.contender import Contender
from contenders.process import Process, process_of

#: Texts before those that are timed in each turn, and texts of a batched pass.
WARM_UP, BATCHED = 5, 256
#: Least seconds of a turn in which texts a second are counted.
SPEED_SECONDS = 0.25


@dataclass
class Measured:
    """What was measured of one contender: ``turns`` as ``Worker.turn`` gave them, a round each, and the rest."""

    turns: list[dict[str, Any]] = field(default_factory=list)
    load_ms: float = 0.0
    memory_mb: dict[str, float] = field(default_factory=dict)
    texts_per_second: dict[str, list[float]] = field(default_factory=dict)


def measure(
    contenders: Sequence[Contender],
    labels: Sequence[str],
    timed: Sequence[str],
    batched: Sequence[str],
    others: Sequence[str],
    *,
    cores: int,
    rounds: int,
    speed_rounds: int,
) -> dict[str, Measured]:
    """Load everyone, each in a process of its own, and have them take turns; by name.

    On all cores runs one process with a thread a core where the contender uses them by itself, otherwise a process of
    one thread a core. Whoever remembers words has read ``others``, and none of the ``timed`` texts before.
    """
    measured = {contender.name: Measured() for contender in contenders}
    with ExitStack() as stack:
        alone, together = {}, {}
        for contender in contenders:
            name = contender.name
            alone[name] = [stack.enter_context(process_of(contender, labels, 1))]
            if contender.parallel:
                together[name] = [stack.enter_context(process_of(contender, labels, cores))]
            else:
                more = [stack.enter_context(process_of(contender, labels, 1)) for _ in range(cores - 1)]
                together[name] = alone[name] + more
        print("timing begins", flush=True)
        _take_turns(alone, timed, others, rounds, measured)
        for name, (process,) in alone.items():
            told = process.ask("memory")
            measured[name].load_ms = process.loaded["load_ms"]
            measured[name].memory_mb = {
                "before_loading": process.loaded["bare_mb"],
                "loaded": process.loaded["loaded_mb"],
                "peak": told["peak_mb"],
            }
        for way, teams in (("one thread", alone), ("all cores", together)):
            _race(teams, batched, speed_rounds, way, measured)
    return measured


def _take_turns(
    alone: dict[str, list[Process]],
    timed: Sequence[str],
    others: Sequence[str],
    rounds: int,
    measured: dict[str, Measured],
) -> None:
    from tlm_edge.bench.protocol import order_of_round

    names = list(alone)
    for (process,) in alone.values():
        process.ask("hold", timed, others)
    for number in range(-1, rounds):  # one to warm up
        for index in order_of_round(len(names), max(number, 0)):
            (process,) = alone[names[index]]
            told = process.ask("turn", WARM_UP)
            if number >= 0:
                measured[names[index]].turns.append(told)
        print(f"round {number + 1} of {rounds}", flush=True)


def _race(
    teams: dict[str, list[Process]], batched: Sequence[str], rounds: int, way: str, measured: dict[str, Measured]
) -> None:
    from tlm_edge.bench.protocol import order_of_round

    names = list(teams)
    for team in teams.values():
        for process in team:
            process.ask("hold", batched, [])
    for number in range(-1, rounds):  # one to warm up
        for index in order_of_round(len(names), max(number, 0)):
            team = teams[names[index]]
            for process in team:
                process.send("speed", SPEED_SECONDS if number >= 0 else 0)
            speed = sum(process.receive() for process in team)
            if number >= 0:
                measured[names[index]].texts_per_second.setdefault(way, []).append(round(speed, 1))
        print(f"texts a second, {way}: round {number + 1} of {rounds}", flush=True)
