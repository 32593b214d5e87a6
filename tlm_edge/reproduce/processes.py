"""Runs as processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from tlm_edge.reproduce.execute import execute
from tlm_edge.reproduce.folder import log_file
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.runs import Run
from tlm_edge.runtime.errors import UserError

#: Seconds between two looks at whether the process that started this one still lives.
_LOOK = 1.0
#: Seconds that stopped runs have to save their state.
_PATIENCE = 60.0
#: Imported once, by the process that those of the runs are forked from: six seconds of each run.
_PRELOADED = [
    "tlm_edge.training.pretrain_job",
    "tlm_edge.training.finetune_job",
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
]


class LocalProcesses:
    """A process a run, ``jobs`` at once, each with so many ``threads``; what they print goes into the folder's logs."""

    def __init__(self, place: Place, *, jobs: int, threads: int, keep: bool) -> None:
        self._place, self._jobs, self._threads, self._keep = place, jobs, threads, keep
        self._processes: dict[str, BaseProcess] = {}
        # Elsewhere forking is not safe, nor is it once a GPU's driver has been asked for its devices.
        forking = sys.platform == "linux" and not Path("/dev/nvidiactl").exists()
        get = multiprocessing.get_context
        self._context = get("forkserver") if forking else get("spawn")
        self._context.set_forkserver_preload(_PRELOADED)

    def free(self) -> int:
        """How many more can be started."""
        return self._jobs - len(self._processes)

    def start(self, run: Run) -> None:
        """Start the process of ``run``."""
        process = self._context.Process(target=_work, args=(self._place, run, self._threads, self._keep))
        process.start()
        self._processes[run.name] = process

    def ended(self) -> list[tuple[str, str | None]]:
        """The runs that ended, each with why it failed, None if it did not."""
        ended = {name: process.exitcode for name, process in self._processes.items() if process.exitcode is not None}
        for name in ended:
            del self._processes[name]
        return [(name, None if status == 0 else _why(self._place, name, status)) for name, status in ended.items()]

    def stop(self) -> None:
        """Ask all to save their state and stop, and wait; who takes a minute, or a second Ctrl-C, is killed."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for process in self._processes.values():
            try:
                process.join(max(0.0, deadline - time.monotonic()))
            except KeyboardInterrupt:
                deadline = 0.0
            if process.exitcode is None:
                process.kill()
                process.join()
        self._processes.clear()


def _work(place: Place, run: Run, threads: int, keep: bool) -> None:
    """What the process of a run does; it exits with 0, 2 for what the user can mend, or else."""
    os.setsid()  # Ctrl-C is for the process that started this one, which asks it to stop
    log = log_file(place.folder, run.name)
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads)))
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    from tlm_edge.training.run import RunInterruptedError

    try:
        execute(place, run, threads=threads, keep=keep)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunInterruptedError as stop:
        sys.exit(128 + stop.signal_number)


def _stop_with_parent() -> None:
    """Save the state and stop when the process that started this one is gone: the next one will start its own."""
    parent = multiprocessing.parent_process()
    while parent is not None and parent.is_alive():
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)


def _why(place: Place, name: str, status: int) -> str:
    """Why the process of a run failed: the last line that it printed."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    log = log_file(place.folder, name)
    printed = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    last = (printed.strip().splitlines() or [f"exit status {status}"])[-1].strip().removeprefix("error: ")
    return last if status == 2 else f"{last} (the log: {log})"
