"""The live table of a reproduction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tlm_edge.reproduce.reproduce import Reproduction
from tlm_edge.reproduce.schedule import State


@contextmanager
def shown(reproduction: Reproduction) -> Iterator[Callable[[State], None]]:
    seen: set[str] = set(reproduction.state.done)

    def show(state: State) -> None:
        for name in [*state.done, *state.failed]:
            if name not in seen:
                seen.add(name)
                print(name, state.failed.get(name, "done"), f"{len(state.done)}/{len(state.runs)}", flush=True)

    yield show
