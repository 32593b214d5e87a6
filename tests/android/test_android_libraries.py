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
from tests.android.vectors import cascaded, write_answers
from tlm_edge.android.build import libraries, native_libraries
from tlm_edge.android.compile import ENGINES, Project, compile_core, compile_engine, compile_module
from tlm_edge.export.export import export_model
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.shipped import models_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="needs x86-64 Linux"),
    pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("nm")), reason="needs gcc and nm (binutils)"),
]


def test_every_engine_answers_as_python_does(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = [open_bundle(models_folder() / "agnews-committee/onnx-int8")]
    for target in ("tflite", "executorch"):
        pytest.importorskip({"tflite": "litert_torch", "executorch": "executorch"}[target])
        bundles.append(export_model("agnews-bert-1", target, "fp32", tmp_path / target, tell=str))
        bundles.append(export_model("agnews-committee", target, "int8", tmp_path / f"{target}-int8", tell=str))
    bundles.append(export_model(cascaded(tmp_path), "tflite", "int8", tmp_path / "cascade", tell=str))
    write_answers(tmp_path / "android-answers.jsonl", bundles)

    folder = tmp_path / "lib"
    folder.mkdir()
    for name, content in native_libraries(project, ENGINES, ["x86_64"]).items():
        (folder / Path(name).name).write_bytes(content)
    write_bionic(folder, sorted(folder.iterdir()))

    engines = [compile_engine(project, engine, libraries(project, [engine])) for engine in ENGINES]
    classpath = [compile_core(project), *engines, *project.kotlin_library, *project.files("junit")]
    classpath += libraries(project, ENGINES)
    core = project.folder / "core/src/test/kotlin/org/tlmedge/core"
    sources = [project.folder / "engines/src/test/kotlin", core / "Answers.kt", core / "Vectors.kt"]
    tests = compile_module(project, "android-libraries-tests", sources, classpath)
    # What the runtimes' Java side asks of Android's own classes, such as its log, comes from the platform's jar.
    classpath = [tests, *classpath, *project.platform]
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{folder}{os.pathsep}{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"))
    properties = {
        "vectors": tmp_path,
        "models": models_folder(),
        "java.library.path": folder,
        "onnxruntime.native.path": folder,
        "newer": _with_newer_operators(tmp_path / "tflite", tmp_path / "newer"),
    }
    output = run_junit(classpath, ["org.tlmedge.engines.AndroidLibrariesTest"], properties)
    assert output.count("same labels") == len(bundles)


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
