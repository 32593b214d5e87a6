"""An ordinary Hugging Face classifier all the way: to every target, verified, used, measured, and on one page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("transformers")
pytest.importorskip("litert_torch")
pytest.importorskip("executorch")

from tests.bench.measured import TEST_PROFILE
from tests.hugging_face_models import make_checkpoint
from tlm_edge.bench import protocol
from tlm_edge.cli import app
from tlm_edge.shipped import evaluation_texts


def output(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_bert_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(protocol.PROFILES, "test", TEST_PROFILE)
    monkeypatch.chdir(tmp_path)
    shown = output("export", make_checkpoint("bert", tmp_path / "mine"), "--target", "all", "--zip")
    assert "mine: rewrite exact: the last layer on the rows that are read" in shown
    bundles = sorted(Path("tlm-edge-out").iterdir())
    assert [bundle.name for bundle in bundles] == [
        f"mine-{target}-int8.zip" for target in ("executorch", "onnx", "tflite")
    ]
    for bundle in bundles:
        assert "ok      parity" in output("verify", bundle)
        prediction = json.loads(output("predict", bundle, "Shares fell after the report", "--json"))
        assert prediction["score"] > 0.25
        measured = json.loads(output("evaluate", bundle, "--data", evaluation_texts("agnews"), "--json"))
        assert measured["accuracy"] > 0.6
    output("bench", *bundles, "--profile", "test", "--out", "records")
    output("report", "records", "--out", "page")
    page = Path("page/index.html").read_text(encoding="utf-8")
    for name in ("onnxruntime", "ai-edge-litert", "executorch"):
        assert name in page
