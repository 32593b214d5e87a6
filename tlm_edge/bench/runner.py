"""What a device needs to measure: our own modules and its Python's packages, made here, installed nowhere.

A runner is a few folders on the module search path of the device's Python::

    PYTHONPATH=… python3 -P -m tlm_edge.bench.worker

The packages' versions and hashes are those of ``runner.lock``, an excerpt of the project's lock (``make lock``).
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import tlm_edge
from tlm_edge.files import new_folder, scratch_folder, sha256_file
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.executorch_runner.build import (
    LIBRARIES,
    RunnerError,
    brought_runner,
    build,
    find_cross_compiler,
)

LOCK = Path(__file__).with_name("runner.lock")

#: What ``platform.machine()`` calls the processors that all three runtimes have packages for.
ARCHITECTURES = ("aarch64", "x86_64")
#: The oldest Python that the packages and our own modules run on, and the oldest C library (manylinux_2_28).
OLDEST_PYTHON = (3, 11)
OLDEST_GLIBC = (2, 28)

#: target → the package that is its runtime. Every runner has those of ``_ALWAYS`` beside it; none needs what its
#: metadata asks for beyond these to run a model.
RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert", "executorch": "executorch"}
_ALWAYS = ("numpy", "tokenizers")

#: What is left at home, by package: tests, headers, and what converts models or drives other accelerators.
_UNUSED = ("bin/*", "*/tests/*", "*.pyi", "*.h", "*.a", "*/include/*")
_UNUSED_OF = {
    "onnxruntime": tuple(f"onnxruntime/{name}/*" for name in ("tools", "transformers", "quantization", "datasets")),
    "ai-edge-litert": ("ai_edge_litert/tools/*", "ai_edge_litert/aot/*", "*WebGpuAccelerator*"),
}
_GLIBC_TAGS = ("2_28", "2_27", "2_26", "2_24", "2_17")


@dataclass(frozen=True)
class Runner:
    """The folders of the module search path, in its order, and why a target has to do without: target → reason.

    A folder's name ends in a digest of what made it: two folders of one name have the same content.
    """

    folders: tuple[Path, ...]
    missing: dict[str, str]

    @property
    def python_path(self) -> str:
        """What ``PYTHONPATH`` is to be on this machine."""
        return os.pathsep.join(str(folder) for folder in self.folders)


def make_runner(architecture: str, python: tuple[int, int], targets: Collection[str] = tuple(RUNTIMES)) -> Runner:
    """A runner for a Linux device: from the cache, or fetched and made now.

    ``architecture`` is what ``platform.machine()`` says there (``aarch64``, ``x86_64``), ``python`` its Python's
    version, as in ``(3, 11)``; ``targets`` are those whose bundles it is to run. Nothing is executed but the host's
    pip (or uv) and, for ExecuTorch, its C++ compiler for that architecture; where that can't be had, the target is in
    ``missing``, with the reason. The folders may be written to by Python alone (``__pycache__``).

    Raises ``UserError`` if there are no packages for that architecture or Python, or they can't be fetched.
    """
    if architecture not in ARCHITECTURES:
        raise UserError(f"no runtime has packages for {architecture} on Linux: {' or '.join(ARCHITECTURES)} is needed")
    if python < OLDEST_PYTHON:
        raise UserError(f"Python {_dotted(python)} is too old: {_dotted(OLDEST_PYTHON)} or later is needed")
    folders = [_code(), *(_package(name, architecture, python) for name in _ALWAYS)]
    missing: dict[str, str] = {}
    for target in targets:
        try:
            folders.append(_package(RUNTIMES[target], architecture, python))
        except RunnerError as reason:
            missing[target] = f"ExecuTorch's native runner can't be had for {architecture}: {reason}"
    return Runner(tuple(folders), missing)


def locked_version(package: str, python: tuple[int, int]) -> str:
    """The version of ``package`` that a runner for ``python`` has. Raises ``UserError`` if there is none."""
    return _locked(package, python).split()[0].partition("==")[2]


def runner_fault(target: str, architecture: str) -> str | None:
    """Why a runner would lack ``target``, found without fetching anything; ``None`` if nothing speaks against it."""
    if architecture not in ARCHITECTURES:
        return f"no packages for {architecture}"
    try:
        if target == "executorch":
            find_cross_compiler(architecture)
    except RunnerError as reason:
        return f"no native runner: {reason}"
    return None


def worker_modules() -> dict[str, Path]:
    """The worker's own modules, path on the search path → file: all of ``runtime/``, and what the worker imports."""
    package = Path(tlm_edge.__file__).parent
    found: dict[str, Path] = {}

    def add(module: str) -> None:
        file = package.parent.joinpath(*module.split("."))
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        name = file.relative_to(package.parent).as_posix()
        if name in found or not file.is_file():
            return
        found[name] = file
        if "." in module:
            add(module.rpartition(".")[0])
        for imported in _imports(file):
            add(imported)

    add("tlm_edge.bench.worker")
    for file in sorted((package / "runtime").rglob("*")):
        if file.suffix in (".py", ".cpp"):
            found[file.relative_to(package.parent).as_posix()] = file
    return dict(sorted(found.items()))


def _imports(file: Path) -> Iterator[str]:
    """Our modules that importing ``file`` imports."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tlm_edge."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tlm_edge":
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _code() -> Path:
    modules = worker_modules()
    digest = _digest(f"{sha256_file(file)} {name}" for name, file in modules.items())
    place = _place(f"tlm_edge-{tlm_edge.__version__}-{digest}")
    if not place.is_dir():
        with new_folder(place, force=True) as folder:
            for name, file in modules.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / name)
    return place


@cache
def _package(name: str, architecture: str, python: tuple[int, int]) -> Path:
    """A package's folder. Raises ``RunnerError`` where ExecuTorch's runner can't be built."""
    requirement, version = _locked(name, python), locked_version(name, python)
    unused = (*_UNUSED, *_UNUSED_OF.get(name, ()))
    # The name of the native runner tells its source and flags.
    finish = brought_runner(Path()).name if name == "executorch" else ""
    digest = _digest([requirement, architecture, _dotted(python), *unused, finish])
    place = _place(f"{name}-{version}-cp{python[0]}{python[1]}-{architecture}-{digest}")
    if not place.is_dir():
        with scratch_folder(place) as scratch:
            fetched = scratch / "fetched"
            fetch_package(requirement, architecture, python, fetched)
            if name == "executorch":
                kept = _with_native_runner(fetched, architecture, version)
            else:
                kept = [file for file in _files(fetched) if not _matches(file, unused)]
            with new_folder(place, force=True) as folder:
                for file in kept:
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(fetched / file, folder / file)
    return place


def _place(name: str) -> Path:
    return cache_root() / "runners" / name


def _locked(name: str, python: tuple[int, int]) -> str:
    """The lock's entry for ``python``: ``name==version --hash=… --hash=…``."""
    from packaging.requirements import Requirement

    for line in LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        words, _, hashes = line.partition(" --hash=")
        requirement = Requirement(words.strip())
        environment = {"python_full_version": f"{_dotted(python)}.0", "python_version": _dotted(python)}
        if requirement.name == name and (requirement.marker is None or requirement.marker.evaluate(environment)):
            return f"{name}{requirement.specifier} --hash={' '.join(hashes.split())}"
    raise UserError(f"{LOCK.name} has no {name} for Python {_dotted(python)}: choose another Python on the device")


def fetch_package(requirement: str, architecture: str, python: tuple[int, int], folder: Path) -> None:
    """Unpack the package that ``requirement`` pins, with its hashes, into ``folder``.

    Raises ``UserError`` if it can't be had.
    """
    version = _dotted(python)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as listed:
        listed.write(requirement + "\n")
        listed.flush()
        common = ["--quiet", "--no-deps", "--require-hashes", "--target", str(folder), "-r", listed.name]
        common += ["--only-binary", ":all:", "--python-version", version]
        if find_spec("pip") is not None:
            platforms = [f"manylinux_{tag}_{architecture}" for tag in _GLIBC_TAGS] + [f"manylinux2014_{architecture}"]
            command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", *common]
            command += [word for platform in platforms for word in ("--platform", platform)]
            # pip asks whether the package is for the Python that it runs on itself; the lock has seen to that.
            command += ["--implementation", "cp", "--ignore-requires-python"]
        elif uv := shutil.which("uv"):
            command = [uv, "pip", "install", *common, "--python-platform", f"{architecture}-manylinux_2_28"]
        else:
            raise UserError("fetching packages for the device needs pip: install it with python -m ensurepip")
        # PYTHONPATH and the like are the device's business, not pip's.
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode:
        name = requirement.split()[0]
        said = [line.strip() for line in done.stderr.splitlines() if re.match(r"\s*(ERROR|error|×|╰)", line)]
        reason = said[-1].removeprefix("ERROR: ") if said else f"status {done.returncode}"
        raise UserError(f"{name} for Python {version} on {architecture} can't be fetched ({reason}): check the network")


def _with_native_runner(fetched: Path, architecture: str, version: str) -> list[str]:
    """Build the runner beside the libraries of the executorch package in ``fetched``; the files that it needs.

    Raises ``RunnerError`` if it can't be built.
    """
    wheel = fetched / "executorch"
    built = brought_runner(wheel)
    build(wheel, find_cross_compiler(architecture), built)
    keep = [f"executorch/lib/lib{name}.so" for name in LIBRARIES]
    keep += [built.relative_to(fetched).as_posix(), f"executorch-{version}.dist-info/METADATA"]
    return keep


def _files(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def _matches(file: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(file, pattern) for pattern in patterns)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
