"""Power that a device draws, in watts, from a meter of the user's that a command on this computer reads."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from tlm_edge.runtime.errors import UserError

#: Seconds between two readings, and the longest that one may take.
INTERVAL = 0.2
_PATIENCE = 10


class Meter:
    """A command that prints the power drawn now, in watts: a number, the first word of its output."""

    def __init__(self, command: str):
        """A meter read by ``command``, which is split into words as a shell would, and run without one.

        Raises ``UserError`` if it can't be read.
        """
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"--power-cmd {command!r} can't be split into words: {error}") from error
        if not self._words:
            raise UserError("--power-cmd is empty: give a command that prints watts")
        self.read()

    def read(self) -> float:
        """The power drawn now, in watts. Raises ``UserError`` if the command fails or prints something else."""
        name = shlex.join(self._words)
        try:
            done = subprocess.run(  # noqa: S603
                self._words, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=True
            )
            watts = float(done.stdout.split()[0])
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(f"the meter can't be read ({error}): try --power-cmd {name!r} by itself") from error
        except (IndexError, ValueError):
            said = done.stdout.strip()[:40]
            raise UserError(f"the meter's command {name!r} prints {said!r}: a number of watts is expected") from None
        if not 0 <= watts < float("inf"):
            raise UserError(f"the meter's command {name!r} prints {watts} watts, which can't be")
        return watts

    def while_at(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The outcome of ``work`` with ``watts``: what was read during the ``wall_seconds`` of samples at its end.

        Raises ``UserError`` where ``work`` does, or the meter fails.
        """
        readings: list[tuple[float, float]] = []
        faults: list[UserError] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set() and not faults:
                try:
                    watts = self.read()
                except UserError as error:
                    faults.append(error)
                else:
                    readings.append((time.monotonic(), watts))
                done.wait(INTERVAL)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            outcome = work()
        finally:
            ended = time.monotonic()
            done.set()
            watcher.join()
        if faults:
            raise faults[0]
        timed = [watts for moment, watts in readings if ended - outcome["wall_seconds"] <= moment <= ended]
        return outcome | {"watts": timed or [readings[-1][1]]}
