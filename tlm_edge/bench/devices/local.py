"""The machine this runs on: the worker in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tlm_edge.bench.devices import LOCAL, Address, Listing
from tlm_edge.bench.job import Job
from tlm_edge.bench.machine import describe_machine
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError


def listings(stored: Sequence[Address]) -> list[Listing]:  # noqa: ARG001 - nothing of this kind is stored
    """One device: the machine this runs on."""
    machine = describe_machine()
    description = f"this machine: {machine.cpu}, {machine.usable_cores} cores, {machine.architecture}, {machine.system}"
    return [Listing(LOCAL, reachable=True, description=description)]


def open_device(address: Address) -> LocalDevice:
    """The machine this runs on."""
    return LocalDevice(address.name)


@dataclass(frozen=True)
class LocalDevice:
    """The machine this runs on."""

    name: str = "local"
    transport: str = "local"

    def place(self, bundle: Bundle) -> str:
        """The bundle's own folder: nothing needs to be moved."""
        return str(bundle.folder)

    def work(self, job: Job) -> dict[str, Any]:
        """Run the worker on this interpreter; see ``Device.work``."""
        # -P: a file in the current folder must not stand in for a module.
        command = [sys.executable, "-P", "-m", "tlm_edge.bench.worker"]
        done = subprocess.run(  # noqa: S603
            command,
            input=json.dumps(job.to_json()),
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=_environment(),
        )
        return read_outcome(done.returncode, done.stdout, done.stderr, job)

    def keep(self) -> None:
        """Nothing would be deleted."""

    def close(self) -> None:
        """Nothing was changed."""


def read_outcome(status: int, output: str, errors: str, job: Job) -> dict[str, Any]:
    """The outcome in a worker's output. Raises ``UserError`` for a reported fault or a process that died."""
    if status != 0 or not output.strip():
        last = (errors.strip().splitlines() or ["it left no message"])[-1]
        raise UserError(f"the process that ran {job.bundle} {_manner_of_death(status)}: {last}")
    outcome: dict[str, Any] = json.loads(output)
    if "error" in outcome:
        raise UserError(outcome["error"])
    return outcome


def _manner_of_death(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _environment() -> dict[str, str]:
    # Tokenization of one text is one thread's work; the library's pool would only add its start-up.
    return os.environ | {"TOKENIZERS_PARALLELISM": "false"}
