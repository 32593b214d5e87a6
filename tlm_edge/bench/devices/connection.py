"""A line to a device with an agent at its other end.

A shell on the device starts Python with ``agent.py``, which stays for as long as the line does; requests and answers
are lines of JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tlm_edge.bench import machine
from tlm_edge.bench.devices import agent
from tlm_edge.bench.machine import Conditions, Machine
from tlm_edge.bench.runner import ARCHITECTURES, OLDEST_GLIBC, OLDEST_PYTHON
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import from_json

_GREETING = "tlm-edge-device"
# Tells what there is before Python is asked for, so that its absence can be told from everything else.
_SHELL = f"""\
echo {_GREETING} "$(uname -s)" "$(uname -m)"
if command -v python3 >/dev/null 2>&1; then exec python3 -I -c "$TLM_EDGE_BOOT"; else echo none; fi"""
_BOOT = """\
import json, sys, types
print(*sys.version_info[:2], flush=True)
for name, source in json.loads(sys.stdin.readline() or "[]"):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
"""


class LineError(Exception):
    """The line couldn't be had, or broke; the message is the reason, a clause."""


class Line(Protocol):
    """A way to run a shell command on the device and to bring files there."""

    @property
    def words(self) -> str:
        """What messages call the other end."""

    @property
    def root(self) -> str:
        """The folder on the device that is ours."""

    @property
    def without_python(self) -> str:
        """What to say where there is no Python, a clause."""

    def run(self, command: str) -> subprocess.Popen[str]:
        """Start a shell command, its standard streams as pipes; standard error goes where ``complaint`` finds it."""

    def send(self, folder: Path, name: str, to: str) -> None:
        """Copy the file ``name`` of ``folder`` into the device's folder ``to``. Raises ``LineError`` if it can't be."""

    def complaint(self) -> str:
        """Why the last command ended, from what the client said, a clause; empty if it said nothing."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True)
class State:
    """What a device tells of itself. ``python`` is its version, ``libc`` its C library's name and version."""

    machine: Machine
    conditions: Conditions
    python: tuple[int, int]
    pointer_bits: int
    libc: tuple[str, str]
    free_bytes: int
    writable: bool
    memory_limit_bytes: int | None
    root: str


class Connection:
    """A line with the agent at its other end."""

    def __init__(self, line: Line, name: str):
        """Connect and start the agent.

        Raises ``LineError`` if there is no connection, ``UserError`` where the device can't run what we send.
        """
        self.line = line
        boot = f"TLM_EDGE_BOOT={shlex.quote(_BOOT)}\n{_SHELL}"
        self._process = line.run(f"exec sh -c {shlex.quote(boot)}")
        try:
            self.python = self._greeted(f"{name} ({line.words})")
        except UserError:
            self.close()
            raise
        modules = [(module.__name__, Path(str(module.__file__)).read_text("utf-8")) for module in (machine, agent)]
        self._writeline([*modules, ("__serve__", f"from {agent.__name__} import serve\nserve()")])

    def _greeted(self, who: str) -> tuple[int, int]:
        """The version of the device's Python. Raises ``UserError`` where it can't run what we send."""
        greeting = self._readline()
        while not greeting.startswith(_GREETING):  # what a login script has to say comes first
            greeting = self._readline()
        system, architecture = [*greeting.split(), "?", "?"][1:3]
        _require_platform(who, system, architecture)
        told = self._readline().split()
        if len(told) != 2 or not all(part.isdigit() for part in told):
            raise UserError(f"{who} can't be measured: {self.line.without_python}")
        python = (int(told[0]), int(told[1]))
        if python < OLDEST_PYTHON:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            raise UserError(
                f"{who} has Python {'.'.join(told)}, and {oldest} or later is needed: "
                "update its system (Raspberry Pi OS has had it since 2023)"
            )
        return python

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """The agent's answer. Raises ``RefusedError`` where it refuses, ``LineError`` where there is none."""
        self._writeline({"do": verb, **arguments})
        text = self._readline()
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise LineError(f"it answered {text[:80]!r}") from None
        if "error" in answer:
            raise RefusedError(answer["kind"], answer["error"])
        return answer

    def close(self) -> None:
        """Hang up, which ends the agent."""
        self._end()
        self.line.close()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _writeline(self, content: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._broken() from None

    def _readline(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._broken()
        return line

    def _broken(self) -> LineError:
        self._end()
        complaint = self.line.complaint()
        self.line.close()
        return LineError(complaint or "it broke off without a word")


class RefusedError(Exception):
    """The agent refuses: ``kind`` is ``busy``, ``corrupt`` or ``system``."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def _require_platform(who: str, system: str, architecture: str) -> None:
    if system != "Linux":
        raise UserError(f"{who} runs {system}: only Linux can be measured from afar; run tlm-edge bench on it instead")
    if architecture in ARCHITECTURES:
        return
    if architecture.startswith("arm") or architecture in ("i386", "i586", "i686"):
        raise UserError(
            f"{who} has a 32-bit system ({architecture}), for which the runtimes have no packages: install a 64-bit one"
        )
    raise UserError(f"{who} is {architecture}; the runtimes have packages for {' and '.join(ARCHITECTURES)}")


def describe(connection: Connection, root: str) -> State:
    """What the device tells of itself, before anything is written there."""
    told = connection.ask("describe", root=root)
    python, libc = connection.python, tuple(told.pop("libc"))
    machine_told, conditions = from_json(Machine, told.pop("machine")), from_json(Conditions, told.pop("conditions"))
    return State(machine=machine_told, conditions=conditions, python=python, libc=(libc[0], libc[1]), **told)


def require_usable(who: str, state: State) -> None:
    """Raise ``UserError`` where nothing that we send would run."""
    if state.pointer_bits != 64:
        raise UserError(
            f"{who} has a 64-bit kernel and a 32-bit system, for which the runtimes have no packages: install the "
            "64-bit Raspberry Pi OS, or what is its like"
        )
    name, version = state.libc
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if name != "glibc" or found < OLDEST_GLIBC:
        oldest = ".".join(map(str, OLDEST_GLIBC))
        raise UserError(
            f"{who} has {name or 'no glibc'} {version}: the runtimes' packages need glibc {oldest} or later"
        )
    if not state.writable:
        raise UserError(f"{who}: {state.root} can't be written: log in as a user with a home folder of its own")
