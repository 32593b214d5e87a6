"""The app's three engines with the native libraries of the APK, as far as a desktop can run them.

The libraries for x86-64 run unaltered on this processor, with glibc in the place of Android's C library. Those for
arm64 are looked at (``test_apk.py``) and never ran here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import struct
from pathlib import Path

import pytest

from tests.android.bionic import write_bionic
from tests.android.jvm import run_junit
from tests.android.robolectric import run_app
from tests.android.vectors import cascaded, write_answers
from tlm_edge.android.build import libraries, native_libraries
from tlm_edge.android.compile import ENGINES, Project, compile_core, compile_engine, compile_module
from tlm_edge.export.export import export_model
from tlm_edge.runtime.bundle import Bundle, open_bundle
from tlm_edge.shipped import models_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="needs x86-64 Linux"),
    pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("nm")), reason="needs gcc and nm (binutils)"),
]


@pytest.fixture(scope="module")
def engines(project: Project) -> list[Path]:
    """Class path of the app's engines with the Java side of their runtimes, and of their tests."""
    compiled = [compile_engine(project, engine, libraries(project, [engine])) for engine in ENGINES]
    classpath = [compile_core(project), *compiled, *project.kotlin_library, *project.files("junit")]
    classpath += libraries(project, ENGINES)
    core = project.folder / "core/src/test/kotlin/org/tlmedge/core"
    sources = [project.folder / "engines/src/test/kotlin", core / "Answers.kt", core / "Vectors.kt"]
    # What the runtimes' Java side asks of Android's own classes, such as its log, comes from the platform's jar.
    return [compile_module(project, "android-libraries-tests", sources, classpath), *classpath, *project.platform]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The shipped models for the other runtimes."""
    made, folder = {}, tmp_path_factory.mktemp("bundles")
    for target, module in (("tflite", "litert_torch"), ("executorch", "executorch")):
        pytest.importorskip(module)
        made[target] = export_model("agnews-bert-1", target, "fp32", folder / target, tell=str)
        made[f"{target}-int8"] = export_model("agnews-committee", target, "int8", folder / f"{target}-int8", tell=str)
    return made


@pytest.fixture(scope="module")
def native(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the libraries of the APK for x86-64 and what they find Android's C library's functions in."""
    folder = tmp_path_factory.mktemp("native")
    for name, content in native_libraries(project, ENGINES, ["x86_64"]).items():
        (folder / Path(name).name).write_bytes(content)
    write_bionic(folder, sorted(folder.iterdir()))
    return folder


@pytest.fixture
def loader(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a JVM that is started now find these libraries."""
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{native}{os.pathsep}{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"))


@pytest.mark.usefixtures("loader")
def test_every_engine_answers_as_python_does(
    engines: list[Path], bundles: dict[str, Bundle], native: Path, tmp_path: Path
) -> None:
    asked = [open_bundle(models_folder() / "agnews-committee/onnx-int8"), *bundles.values()]
    asked.append(export_model(cascaded(tmp_path), "tflite", "int8", tmp_path / "cascade", tell=str))
    write_answers(tmp_path / "android-answers.jsonl", asked)
    properties = {
        "vectors": tmp_path,
        "models": models_folder(),
        "java.library.path": native,
        "onnxruntime.native.path": native,
        "newer": _with_newer_operators(bundles["tflite"].folder, tmp_path / "newer"),
    }
    output = run_junit(engines, ["org.tlmedge.engines.AndroidLibrariesTest"], properties)
    assert output.count("same labels") == len(asked)


@pytest.mark.usefixtures("loader")
def test_the_app_shows_three_runtimes_side_by_side(
    project: Project, screens: list[Path], bundles: dict[str, Bundle], native: Path, tmp_path: Path
) -> None:
    """ONNX Runtime is the desktop's here."""
    others = ("tflite", "executorch")
    compiled = [compile_engine(project, engine, libraries(project, [engine])) for engine in others]
    classpath = [*compiled, *libraries(project, others), *screens]
    carried = [bundles[f"{target}-int8"] for target in others]
    properties = {"java.library.path": native}
    out = run_app(project, classpath, "org.tlmedge.demo.RuntimesTest", tmp_path, carried, properties)
    assert (out / "runtimes.png").stat().st_size > 10_000


def test_a_runtime_that_can_not_be_loaded_is_explained(engines: list[Path], tmp_path: Path) -> None:
    """As on a phone with 16 KB pages, whose loader refuses what was made for 4 KB: here nothing is found at all."""
    properties = {"vectors": tmp_path, "models": models_folder(), "java.library.path": tmp_path}
    run_junit(engines, ["org.tlmedge.engines.RefusedLibrariesTest"], properties)


def _with_newer_operators(bundle: Path, folder: Path) -> Path:
    """A copy of a TFLite bundle whose first operator with a version asks for version 99."""
    from ai_edge_litert import schema_py_generated as schema

    shutil.copytree(bundle, folder)
    content = bytearray((folder / "model.tflite").read_bytes())
    model = schema.Model.GetRootAsModel(content, 0)
    tables = [model.OperatorCodes(number)._tab for number in range(model.OperatorCodesLength())]
    # The third field of the schema's OperatorCode, which is stored where it isn't 1.
    table = next(table for table in tables if table.Offset(8))
    struct.pack_into("<i", content, table.Pos + table.Offset(8), 99)
    (folder / "model.tflite").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["model.tflite"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
