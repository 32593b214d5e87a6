"""The programs that emulation is made of, and what to say where one is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

from tlm_edge.runtime.errors import UserError

#: program → what it is for, and the Debian package that brings it. `make setup-emulation` installs them all.
TOOLS = {
    "qemu-aarch64": ("running arm64 programs", "qemu-user"),
    "apt-get": ("fetching the arm64 system", "apt"),
    "dpkg-deb": ("unpacking the arm64 system", "dpkg"),
    "aarch64-linux-gnu-g++": ("ExecuTorch's native runner", "g++-aarch64-linux-gnu"),
    "cc": ("counting instructions", "gcc libc6-dev"),
    "llvm-mca": ("estimating latency", "llvm-19"),
    "llvm-mc": ("estimating latency", "llvm-19"),
}
#: LLVM's older models of ARM's pipelines lack cores and instructions that are needed here.
OLDEST_LLVM = 19
_NEWEST_LLVM = 30


def find_tool(name: str) -> str | None:
    """The path of a program of ``TOOLS``; those of LLVM in their newest version, if that is new enough."""
    if not name.startswith("llvm-"):
        return shutil.which(name)
    for version in range(_NEWEST_LLVM, OLDEST_LLVM - 1, -1):
        if found := shutil.which(f"{name}-{version}"):
            return found
    found = shutil.which(name)
    return found if found and _version(found) >= OLDEST_LLVM else None


def require_tool(name: str) -> str:
    """The path of a program of ``TOOLS``. Raises ``UserError`` naming the command that installs it."""
    found = find_tool(name)
    if found is None:
        purpose, package = TOOLS[name]
        newer = f" {OLDEST_LLVM} or later" if name.startswith("llvm-") else ""
        raise UserError(
            f"emulation needs {name}{newer} for {purpose}: make setup-emulation, or on Debian apt-get install {package}"
        )
    return found


@cache
def _version(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"version (\d+)", done.stdout)
    return int(found[1]) if found else 0
