"""Work on the machines of a Ray cluster: each piece in a process of its own, done again elsewhere if that dies.

The machines must have the same version of tlm-edge, and see the same files under the same paths.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tlm_edge.extras import require_extra
from tlm_edge.runtime.errors import UserError

#: How often a piece of work is done again after its process died.
RETRIES = 5
#: Seconds that stopped work has to save its state.
_PATIENCE = 60.0
#: Seconds that a cluster has to answer its door.
_KNOCK = 10.0


class Cluster:
    """The cluster at ``address`` (``host:6379``, ``ray://host:10001``, or ``auto`` for the one of this machine).

    Every piece of work takes ``threads`` CPUs, and a GPU where the cluster has any.
    """

    def __init__(self, address: str, *, threads: int) -> None:
        """Connect. Raises ``MissingExtraError`` without the extra ``cluster``, ``UserError`` if nothing answers."""
        require_extra("cluster", for_what="--ray")
        _reach(address)
        # Nothing of this is told to Ray's makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"--ray {address}: no cluster answers ({reason}): start one with ray start --head"
            ) from error
        self._ray: Any = ray
        self._threads = threads
        self._tasks: dict[Any, str] = {}

    def free(self) -> int:
        """How many more pieces of work the cluster has room for."""
        return self._room() - len(self._tasks)

    def start(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        """Begin ``work(*arguments)``, a function of a module, somewhere in the cluster."""
        # A process that served one piece of work serves no other: libraries keep state.
        task = self._ray.remote(num_cpus=self._threads, num_gpus=self._gpus(), max_calls=1, max_retries=RETRIES)(_done)
        self._tasks[task.remote(work, arguments, Path.cwd())] = name

    def ended(self) -> list[tuple[str, str | None]]:
        """The names of the works that ended since the last time, each with why it failed, None if it did not."""
        if not self._tasks:
            return []
        over, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        return [(self._tasks.pop(task), self._result(task)) for task in over]

    def stop(self) -> None:
        """Interrupt all work, give it a minute to save its state, and leave the cluster."""
        for task in self._tasks:
            self._ray.cancel(task)
        if self._tasks:
            self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=_PATIENCE)
        self.leave()

    def leave(self) -> None:
        """Disconnect; work that goes on is killed."""
        self._tasks.clear()
        self._ray.shutdown()

    def _result(self, task: Any) -> str | None:
        try:
            fault: str | None = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return f"its processes died {RETRIES + 1} times: {lines[0]}"
        return fault

    def _gpus(self) -> int:
        return 1 if self._ray.cluster_resources().get("GPU") else 0

    def _room(self) -> int:
        resources = self._ray.cluster_resources()
        places = [int(resources.get("CPU", 0) // self._threads)]
        if self._gpus():
            places.append(int(resources["GPU"]))
        return min(places)


def each(cluster: Cluster, work: Callable[..., None], works: Mapping[str, tuple[Any, ...]], look: float = 0.5) -> None:
    """Do ``work(*arguments)`` for the arguments of every name in ``works``, as many at once as there is room for.

    Raises ``UserError`` with the first fault; what was done is not lost. A Ctrl-C stops all.
    """
    waiting, running = list(works), set[str]()
    try:
        while waiting or running:
            for name in waiting[: cluster.free()]:
                cluster.start(name, work, *works[name])
                waiting.remove(name)
                running.add(name)
            time.sleep(look)
            for name, fault in cluster.ended():
                running.remove(name)
                if fault is not None:
                    raise UserError(f"{name}: {fault}")
    except BaseException:
        cluster.stop()
        raise
    cluster.leave()


def _reach(address: str) -> None:
    """Raise ``UserError`` if nothing listens at ``address``: Ray itself would try for minutes."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
        if host is not None and port is not None:
            socket.create_connection((host, port), timeout=_KNOCK).close()
    except (OSError, ValueError) as error:
        raise UserError(f"--ray {address}: no cluster answers ({error}); start one: ray start --head") from error


def _done(work: Callable[..., None], arguments: tuple[Any, ...], folder: Path) -> str | None:
    """Why ``work``, done in ``folder``, failed; None if it did not. Only the death of a process is left to Ray."""
    try:
        os.chdir(folder)
        work(*arguments)
    except UserError as error:
        return str(error)
    except FileNotFoundError as error:
        return f"{platform.node()} doesn't see {error.filename}: all machines must share the files"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
