"""Kotlin sources to class files, kept in the cache by what they were made of."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.android.parts import LOCK_FILE, Part, files_for, read_lock
from tlm_edge.android.toolchain import compile_kotlin
from tlm_edge.files import new_folder, sha256_file
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

#: Engines by the target of the bundles they run.
ENGINES = ("onnx", "tflite", "executorch")


@dataclass(frozen=True)
class Project:
    """The sources of the app and the parts they are built with."""

    folder: Path
    parts: tuple[Part, ...]

    def files(self, *uses: str) -> list[Path]:
        """The checked parts for ``uses``; see ``files_for``."""
        return files_for(self.parts, *uses)

    @property
    def kotlin_library(self) -> list[Path]:
        """What every Kotlin program needs to run."""
        return [file for file in self.files("kotlin") if file.name.startswith(("kotlin-stdlib-", "annotations-"))]

    @property
    def platform(self) -> list[Path]:
        """Android's own classes."""
        return self.files("platform")


def open_project(folder: Path | None = None) -> Project:
    """The project in ``folder``, or beside this package in a checkout. Raises ``UserError`` if it isn't there."""
    folder = folder or Path(__file__).resolve().parents[2] / "android_demo"
    lock = folder / LOCK_FILE
    if not lock.is_file():
        raise UserError(f"no app sources at {folder}: they come with the repository, not with the installed package")
    return Project(folder, tuple(read_lock(lock)))


def compile_module(
    project: Project, name: str, sources: Iterable[Path], classpath: Sequence[Path], resources: Path | None = None
) -> Path:
    """The folder of class files of ``sources``, and of ``resources`` beside them; compiled unless it is in the cache.

    Raises ``UserError`` with the compiler's first complaint.
    """
    files = sorted(source for folder in sources for source in ([folder] if folder.is_file() else folder.rglob("*.kt")))

    def build(folder: Path) -> None:
        compile_kotlin(project.files("kotlin"), files, classpath, folder)
        if resources is not None:
            for file in sorted(file for file in resources.rglob("*") if file.is_file()):
                target = folder / file.relative_to(resources)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())

    inputs = [*files, *(sorted(resources.rglob("*")) if resources else ())]
    return cached(name, [*inputs, *classpath, *project.files("kotlin"), Path(__file__)], build)


def cached(name: str, inputs: Iterable[Path], build: Callable[[Path], None]) -> Path:
    """A folder that ``build`` filled from ``inputs``; two processes that want the same one don't both build it."""
    digest = hashlib.sha256(name.encode())
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    folder = cache_root() / "android" / "built" / f"{name}-{digest.hexdigest()[:16]}"
    with _locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                build(temporary)
    return folder


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def compile_core(project: Project) -> Path:
    """Class files of ``core/``: plain Kotlin, nothing of Android."""
    folder = project.folder / "core/src/main"
    return compile_module(project, "core", [folder / "kotlin"], project.kotlin_library, folder / "resources")


def compile_engine(project: Project, target: str, library: Sequence[Path]) -> Path:
    """Class files of the engine for ``target`` against its runtime's ``library``."""
    sources = project.folder / "engines" / target / "src/main/kotlin"
    return compile_module(project, target, [sources], [compile_core(project), *project.kotlin_library, *library])
