"""Building the runner with the machine's C++ compiler, once, against what the executorch wheel carries."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tlm_edge.runtime.cache import cache_root

SOURCE = Path(__file__).with_name("runner.cpp")

#: What a program of ours needs at run time, in the order in which the libraries depend on one another.
LIBRARIES = (
    "executorch",
    "executorch_threadpool",
    "executorch_kernels_optimized",
    "executorch_kernels_quantized",
    "executorch_backend_xnnpack",
)

#: Looked for in this order; the variable ``CXX`` names another one.
COMPILERS = ("c++", "g++", "clang++")

# The definitions are those of the wheel's own CMake package.
_FLAGS = (
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-shared",
    "-w",
    "-DC10_USING_CUSTOM_GENERATED_MACROS",
    "-DET_EVENT_TRACER_ENABLED",
    "-DET_USE_THREADPOOL",
)


class RunnerError(Exception):
    """The runner can't be had here; the message is the reason, a clause."""


def installed_wheel() -> tuple[Path, str]:
    """The folder of the installed executorch package and its version, found without importing it.

    Raises ``RunnerError`` if there is none.
    """
    spec = find_spec("executorch")
    try:
        release = version("executorch")
    except PackageNotFoundError:
        release = ""
    if spec is None or not spec.submodule_search_locations or not release:
        raise RunnerError("executorch is not installed")
    return Path(next(iter(spec.submodule_search_locations))), release


def shared_libraries(wheel: Path) -> list[Path]:
    """The wheel's libraries, each after those it depends on. Raises ``RunnerError`` naming those that are missing."""
    libraries = [wheel / "lib" / f"lib{name}.so" for name in LIBRARIES]
    if absent := [library.name for library in libraries if not library.is_file()]:
        raise RunnerError(f"this executorch wheel lacks {', '.join(absent)}")
    return libraries


def runner_library(wheel: Path, release: str) -> Path:
    """The runner for the wheel in the folder ``wheel``, of the version ``release``.

    It is the one that came with the wheel, as on a device, or else that of the cache, built into it if need be.
    Raises ``RunnerError`` if it has to be built and can't be.
    """
    shared_libraries(wheel)
    if (brought := brought_runner(wheel)).is_file():
        return brought
    file = cache_root() / "executorch-runner" / f"{release}-{platform.machine()}-{_digest()}" / "runner.so"
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            build(wheel, find_compiler(), file)
        except OSError as error:
            raise RunnerError(f"it can't be written to {file.parent}: {error.strerror or error}") from error
    return file


def brought_runner(wheel: Path) -> Path:
    """Where a runner that was built for the wheel on another machine lies."""
    return wheel / "lib" / f"tlm-edge-runner-{_digest()}.so"


def _digest() -> str:
    recipe = SOURCE.read_bytes() + " ".join(_FLAGS).encode()
    return hashlib.sha256(recipe).hexdigest()[:16]


def find_cross_compiler(machine: str) -> str:
    """The C++ compiler that builds for Linux on ``machine``. Raises ``RunnerError`` if there is none."""
    if machine == platform.machine():
        return find_compiler()
    name = f"{machine}-linux-gnu-g++"
    if found := shutil.which(name):
        return found
    raise RunnerError(f"there is no {name} (Debian: apt-get install g++-{machine.replace('_', '-')}-linux-gnu)")


def find_compiler() -> str:
    """The C++ compiler: what ``CXX`` names, or the first of ``COMPILERS``. Raises ``RunnerError`` if there is none."""
    chosen = os.environ.get("CXX")
    for name in (chosen,) if chosen else COMPILERS:
        if found := shutil.which(name):
            return found
    raise RunnerError(f"CXX names {chosen}, which is not there" if chosen else "there is no C++ compiler")


def build(wheel: Path, compiler: str, file: Path) -> None:
    """Compile and link the runner as ``file``, for the machine that ``compiler`` and the ``wheel`` are for.

    No path of the wheel is written into it: whoever loads it loads the wheel's libraries before.
    Raises ``RunnerError`` with the compiler's first complaint, ``OSError`` if the folder can't be written.
    """
    include, c10 = wheel / "include", wheel / "include/executorch/runtime/core/portable_type/c10"
    if not (include / "executorch/extension/module/module.h").is_file():
        raise RunnerError("this executorch wheel lacks its C++ headers")
    with tempfile.TemporaryDirectory(prefix=".building.", dir=file.parent) as folder:
        made = Path(folder) / file.name
        inputs = ["-I", str(include), "-I", str(c10), str(SOURCE), "-o", str(made)]
        # The kernels and the backend register themselves when they are loaded: nothing in the source refers to them.
        linked = ["-Wl,--no-as-needed", *(str(library) for library in shared_libraries(wheel))]
        command = [compiler, *_FLAGS, *inputs, *linked]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
        if done.returncode or not made.is_file():
            raise RunnerError(f"{compiler} can't build it: {_complaint(done.stderr)}")
        os.replace(made, file)


def _complaint(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    faults = [line for line in lines if "error" in line or "undefined reference" in line or "cannot find" in line]
    return (faults or lines or ["it said nothing"])[0]
