"""core/ and the ONNX engine on the desktop's JVM, held against the Python side."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from tests.android.jvm import run_junit
from tlm_edge.bench.record import SCHEMA_FILE, read_records
from tlm_edge.shipped import models_folder


def test_core_agrees_with_python(desktop: list[Path], vectors: Path) -> None:
    classes = [
        f"org.tlmedge.core.{name}"
        for name in ("TokenizerTest", "JsonTest", "BundleImportTest", "MeasureTest", "StagedEngineTest")
    ]
    output = run_junit(desktop, classes, {"vectors": vectors, "models": models_folder()})
    assert "token ids identical" in output


def test_the_onnx_engine_agrees_with_python_and_writes_records(
    desktop: list[Path], vectors: Path, tmp_path: Path
) -> None:
    properties = {"vectors": vectors, "models": models_folder(), "records": tmp_path / "records"}
    output = run_junit(desktop, ["org.tlmedge.engines.OnnxEngineTest"], properties)
    assert output.count("same labels") == 7
    records = sorted((tmp_path / "records").glob("*.json"))
    assert len(records) == 2
    for record in records:
        jsonschema.validate(json.loads(record.read_text("utf-8")), json.loads(SCHEMA_FILE.read_text("utf-8")))
    read = read_records([tmp_path / "records"])
    assert {record.bundle.source for record in read} == {"agnews-committee", "agnews-bert-6"}
    assert all(record.figures["accuracy"].value > 0.85 for record in read)
    assert read[0].session.id == read[1].session.id
