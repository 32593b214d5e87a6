"""Running the worker on an emulated processor, under observation."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tlm_edge.bench.emulation.observe import Observation, plugin, read_observation
from tlm_edge.bench.emulation.sysroot import python_of, sysroot
from tlm_edge.bench.emulation.tools import require_tool
from tlm_edge.bench.profiles import Cores
from tlm_edge.bench.runner import Runner, make_runner
from tlm_edge.runtime.errors import UserError

#: QEMU's versions whose plugins have the interface that ours is written for.
_PLUGIN_VERSIONS = range(5, 9)


@dataclass(frozen=True)
class EmulatedMachine:
    """An arm64 userland with a processor: ``cores`` of a profile, and what runs the worker on them."""

    cores: Cores
    root: Path
    runner: Runner

    def run(self, arguments: list[str], given: str = "", regions: int = 0) -> tuple[int, str, str, Observation | None]:
        """Run Python with ``arguments`` and ``given`` as its input: its status, output, errors, and the observation.

        ``regions`` is how many marked regions are counted. No observation is left by a program that dies.
        """
        with tempfile.TemporaryDirectory(prefix="tlm-edge-emulated-") as folder:
            observed = Path(folder) / "observed.txt"
            major, minor = self.python
            # A seed: what the kernel gives a program to protect its stack with would be random otherwise.
            command = [require_tool("qemu-aarch64"), "-seed", "1", "-cpu", str(self.cores.qemu), "-L", str(self.root)]
            command += ["-plugin", f"{plugin()},out={observed},regions={regions}"]
            command += [str(self.root / f"usr/bin/python{major}.{minor}"), *arguments]
            done = subprocess.run(  # noqa: S603
                command,
                input=given,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=self._environment(),
                check=False,
            )
            observation = read_observation(observed) if done.returncode == 0 else None
        return done.returncode, done.stdout, done.stderr, observation

    @property
    def python(self) -> tuple[int, int]:
        """The version of its Python."""
        return python_of(self.root)

    def _environment(self) -> dict[str, str]:
        """Nothing of the host's; a fixed seed, since the order in Python's sets decides what is executed.

        One thread for numpy too: its others would be counted while they wait for work.
        """
        return {
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": self.runner.python_path,
            "TOKENIZERS_PARALLELISM": "false",
        }


def emulated_machine(cores: Cores) -> EmulatedMachine:
    """The machine with ``cores``, its userland and runtimes fetched if the cache hasn't them.

    Raises ``UserError`` if it can't be emulated here.
    """
    require_emulation(cores)
    root = sysroot(cores)
    plugin()
    return EmulatedMachine(cores, root, make_runner("aarch64", python_of(root)))


def require_emulation(cores: Cores) -> None:
    """Raise ``UserError`` unless qemu is here, takes plugins and knows the processor."""
    program = require_tool("qemu-aarch64")
    if cores.qemu is None or cores.qemu not in known_processors(program):
        raise UserError(f"{emulator_version()} has no model of {cores.type}: this device can be measured, not emulated")
    for name in ("cc", "llvm-mca", "llvm-mc"):
        require_tool(name)
    if "-plugin" not in _told(program, "-h") or _major() not in _PLUGIN_VERSIONS:
        raise UserError(
            f"{emulator_version()} doesn't take the plugin that counts instructions: a version from "
            f"{_PLUGIN_VERSIONS[0]} to {_PLUGIN_VERSIONS[-1]} with plugins is needed, such as Debian 12's qemu-user"
        )


def emulator_version() -> str:
    """``qemu-user 7.2.22``."""
    found = re.search(r"version (\d[\d.]*)", _told(require_tool("qemu-aarch64"), "--version"))
    return f"qemu-user {found[1] if found else 'of unknown version'}"


@cache
def known_processors(program: str) -> frozenset[str]:
    """The CPU models of a qemu-user."""
    return frozenset(_told(program, "-cpu", "help").split())


def _major() -> int:
    found = re.search(r"(\d+)\.", emulator_version())
    return int(found[1]) if found else 0


@cache
def _told(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout + done.stderr
