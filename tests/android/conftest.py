"""The app's parts and what is compiled from them, shared by its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.android.vectors import write_vectors
from tlm_edge.android.build import compile_app
from tlm_edge.android.compile import Project, cached, compile_core, compile_engine, compile_module, open_project
from tlm_edge.android.parts import missing
from tlm_edge.android.toolchain import missing_programs, run


@pytest.fixture(scope="session")
def project() -> Project:
    """The app's project, if what it is built with was installed."""
    opened = open_project()
    lacking = [*missing_programs(), *(part.file_name for part in missing(opened.parts))]
    if lacking:
        pytest.skip(
            f"not installed: {', '.join(lacking[:3])}{' …' if len(lacking) > 3 else ''}: run `make setup-android`"
        )
    return opened


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the Python side computes."""
    folder = tmp_path_factory.mktemp("vectors")
    write_vectors(folder, tmp_path_factory.mktemp("tokenizers"))
    return folder


@pytest.fixture(scope="session")
def desktop(project: Project) -> list[Path]:
    """Class path of core/, the ONNX engine with the desktop's ONNX Runtime, JUnit, and the tests of both."""
    library = project.files("onnx-desktop")
    modules = [compile_core(project), compile_engine(project, "onnx", library)]
    classpath = [*modules, *project.kotlin_library, *library, *project.files("junit")]
    sources = [project.folder / module / "src/test/kotlin" for module in ("core", "engines/onnx")]
    return [compile_module(project, "desktop-tests", sources, classpath), *classpath]


@pytest.fixture(scope="session")
def screens(project: Project, desktop: list[Path]) -> list[Path]:
    """Class path of the app's activities under Robolectric, with the desktop's ONNX Runtime, and of their tests."""
    platform, robolectric = project.platform, project.files("robolectric")
    _, core, onnx, *library = desktop
    stand_ins = project.folder / "app/src/testStandIns/java"

    def compile_stand_ins(folder: Path) -> None:
        run("javac", "-nowarn", "-cp", str(platform[0]), "-d", folder, *sorted(stand_ins.rglob("*.java")))

    monitor = cached("stand-ins", [stand_ins], compile_stand_ins)
    *_, r_classes, app = compile_app(project, ())
    classpath = [core, onnx, r_classes, app, monitor, *library, *robolectric]
    tests = compile_module(project, "app-tests", [project.folder / "app/src/test/kotlin"], [*classpath, *platform])
    return [tests, *classpath, *platform]
