"""Runs as tasks of a Ray cluster; the folder of the reproduction is on a file system that all its machines share."""

from __future__ import annotations

import contextlib
import platform

from tlm_edge.cluster import Cluster
from tlm_edge.reproduce.execute import execute
from tlm_edge.reproduce.folder import PLAN, log_file
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.runs import Run
from tlm_edge.runtime.errors import UserError


class RayTasks:
    """As many runs at once as the cluster at ``address`` has room for, each with so many ``threads``."""

    def __init__(self, place: Place, address: str, *, threads: int, keep: bool) -> None:
        self._place, self._threads, self._keep = place, threads, keep
        self._cluster = Cluster(address, threads=threads)

    def free(self) -> int:
        """How many more can be started."""
        return max(0, self._cluster.free())

    def start(self, run: Run) -> None:
        """Start ``run``."""
        self._cluster.start(run.name, _work, self._place, run, self._threads, self._keep)

    def ended(self) -> list[tuple[str, str | None]]:
        """The runs that ended, each with why it failed, None if it did not."""
        return self._cluster.ended()

    def stop(self) -> None:
        """Ask all to save their state and stop, and wait."""
        self._cluster.stop()


def _work(place: Place, run: Run, threads: int, keep: bool) -> None:
    """What a process of the cluster does; what it prints goes into the folder's logs."""
    if not (place.folder / PLAN).is_file():
        raise UserError(f"{platform.node()} doesn't see {place.folder}: give an --out that all machines share")
    log = log_file(place.folder, run.name)
    log.parent.mkdir(exist_ok=True)
    with log.open("a", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
        execute(place, run, threads=threads, keep=keep)
