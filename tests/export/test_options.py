"""Zips, buckets, calibration, the accuracy floor, and several models and targets in one call."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.tiny_models import MAX_LENGTH, labelled_texts, train_checkpoint
from tlm_edge.cli import app
from tlm_edge.export import onnx
from tlm_edge.export.batch import export_each, raise_failures
from tlm_edge.export.describe import describe_exports
from tlm_edge.export.export import Options, export_model
from tlm_edge.export.parity import GateError
from tlm_edge.export.registry import PRECISIONS
from tlm_edge.export.verify import verify_bundle
from tlm_edge.loading import load_model
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.errors import UserError


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    return result


def test_a_zip_is_the_bundle_in_one_file(tiny_checkpoint, tiny_bundle, tmp_path, monkeypatch):
    """The same to the byte whenever it is made, and every command takes it."""
    monkeypatch.chdir(tmp_path)
    shown = invoke("export", tiny_checkpoint, "--precision", "fp32", "--zip").stdout
    zipped = Path("tlm-edge-out/tiny-onnx-fp32.zip")
    assert f"made      {zipped} (onnx fp32)" in shown
    assert f"size      {zipped.stat().st_size / 1e6:.2f} MB" in shown
    assert f"tlm-edge predict {zipped}" in shown
    assert [path.name for path in zipped.parent.iterdir()] == [zipped.name]
    time.sleep(2.1)  # the resolution of a zip's times
    second = export_model(tiny_checkpoint, precision="fp32", out=tmp_path / "other.zip")
    assert second.path == tmp_path / "other.zip"
    assert zipped.read_bytes() == second.path.read_bytes()
    with zipfile.ZipFile(zipped) as archive:
        assert archive.namelist() == sorted(path.name for path in tiny_bundle.iterdir())
        assert {(entry.date_time, entry.compress_type) for entry in archive.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_DEFLATED)
        }
        for name in archive.namelist():
            assert archive.read(name) == (tiny_bundle / name).read_bytes(), name
    assert verify_bundle(zipped).passed
    assert load_model(zipped, 1).predict(["Shares fell"]) == load_model(tiny_bundle, 1).predict(["Shares fell"])
    assert "accuracy" in invoke("evaluate", zipped, "--data", evaluation(tmp_path), "--threads", 1).stdout
    with pytest.raises(UserError, match=r"tiny-onnx-fp32\.zip exists already"):
        export_model(tiny_checkpoint, precision="fp32", zipped=True)


def evaluation(folder: Path) -> Path:
    from tlm_edge.shipped import evaluation_texts

    return Path(shutil.copy(evaluation_texts("agnews"), folder / "mine.jsonl"))


@pytest.fixture
def conversions(monkeypatch):
    """Everything that is asked of the ONNX target, which does its work all the same."""
    asked = []

    def convert(graph, file, conversion):
        asked.append(conversion)
        return onnx.convert(graph, file, conversion)

    monkeypatch.setattr(onnx, "TARGET", replace(onnx.TARGET, convert=convert))
    return asked


def test_buckets_and_calibration_reach_the_target(tiny_checkpoint, tmp_path, conversions):
    texts = tmp_path / "texts.txt"
    texts.write_text("Shares fell\nThe striker scored twice in the final\n" * 400)
    invoke("export", tiny_checkpoint, "--buckets", "32,8,32", "--calibration-data", texts, "--out", tmp_path / "a")
    invoke("export", tiny_checkpoint, "--max-length", 40, "--out", tmp_path / "b")
    first, second = conversions
    assert (first.lengths, second.lengths) == ((8, 32, MAX_LENGTH), (16, 32, 40))
    assert len(first.calibration) == 512
    assert len(set(first.calibration)) == 2
    assert {len(sequence) for sequence in second.calibration} == set(range(1, 41))
    for wrong, message in (("0", "takes texts of 1 to 48"), ("64", "takes texts of 1 to 48"), ("8,x", "whole numbers")):
        with pytest.raises(UserError, match=f"--buckets {wrong}: .*{message}"):
            invoke("export", tiny_checkpoint, "--buckets", wrong, "--out", tmp_path / "c")
    for content, message in (("", "no texts to calibrate on"), ("a\0b", "NUL")):
        texts.write_text(content)
        with pytest.raises(UserError, match=message):
            invoke("export", tiny_checkpoint, "--calibration-data", texts, "--out", tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.fixture
def poor_int8(monkeypatch):
    """An int8 that costs accuracy: the classifier's weights are all but drowned in noise."""

    def convert(graph, file, conversion):
        if conversion.precision == "int8":
            torch.manual_seed(0)
            with torch.no_grad():
                graph.pooler.weight.add_(0.1 * torch.randn_like(graph.pooler.weight))
                graph.classifier.weight.add_(0.45 * torch.randn_like(graph.classifier.weight))
        return onnx.convert(graph, file, conversion)

    monkeypatch.setattr(onnx, "TARGET", replace(onnx.TARGET, convert=convert))


def test_the_accuracy_floor_tries_the_next_gentler_recipe(tiny_checkpoint, tmp_path, poor_int8, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        GateError, match=r"the onnx int8 file of tiny failed its check: .*Try --precision int8-weight-only$"
    ):
        export_model(tiny_checkpoint)
    assert list(tmp_path.rglob("*")) == [tmp_path / "tlm-edge-out"]
    shown = invoke("export", tiny_checkpoint, "--accuracy-floor", 0.3).stdout
    assert "the onnx int8 file of tiny failed its check" in shown
    assert "it was deleted. Trying int8-weight-only\n" in shown
    assert [path.name for path in (tmp_path / "tlm-edge-out").iterdir()] == ["tiny-onnx-int8-weight-only"]
    manifest = open_bundle(tmp_path / "tlm-edge-out/tiny-onnx-int8-weight-only").manifest
    assert manifest.precision == "int8-weight-only"
    assert manifest.accuracy.allowed_drop == pytest.approx(0.003)


def test_the_floor_needs_labels_and_counts_points(tiny_checkpoint, tiny_tokenizer, tmp_path):
    other = train_checkpoint(tmp_path / "other", tiny_tokenizer, labels=("yes", "no"), epochs=1)
    with pytest.raises(UserError, match="--accuracy-floor needs texts with the model's labels"):
        export_model(other, out=tmp_path / "bundle", accuracy_floor=0.3)
    bundle = export_model(tiny_checkpoint, out=tmp_path / "bundle", accuracy_floor=5)
    assert bundle.manifest.precision == "int8"
    assert bundle.manifest.accuracy.allowed_drop == pytest.approx(0.05)


def test_recipes_have_an_order():
    target = replace(onnx.TARGET, precisions=PRECISIONS)
    assert target.gentler("int4") == ("int8-static", "int8", "int8-weight-only", "fp16", "fp32")
    assert replace(target, precisions=("int4", "int8", "fp32")).gentler("int4") == ("int8", "fp32")
    assert onnx.TARGET.gentler("fp32") == ()


def test_several_models_and_one_that_fails(tiny_checkpoint, tiny_committee, tmp_path):
    broken = Path(shutil.copytree(tiny_checkpoint, tmp_path / "broken"))
    (broken / "model.safetensors").unlink()
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["export", str(tiny_checkpoint), str(broken), str(tiny_committee), "--target", "onnx", "--out", str(out)]
    )
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == "1 of 3 exports failed; the reasons stand above"
    assert {path.name for path in out.iterdir()} == {"tiny-onnx-int8", "tiny-committee-onnx-int8"}
    lines = result.stdout.splitlines()
    assert lines[-5].split() == ["bundle", "MB", "logits", "within", "same", "label", "accuracy", "PyTorch's"]
    assert lines[-4].startswith(f"{out}/tiny-onnx-int8 ")
    assert lines[-2].startswith(f"failed  {broken} to onnx: {broken} is not a checkpoint")
    assert lines[-1] == f"next    tlm-edge bench {out}/tiny-onnx-int8 {out}/tiny-committee-onnx-int8"


def test_two_models_of_one_name(tiny_checkpoint, tmp_path):
    twin = Path(shutil.copytree(tiny_checkpoint, tmp_path / "twins" / "tiny"))
    outcomes = list(export_each([str(tiny_checkpoint), str(twin)], ["onnx"], "fp32", tmp_path / "out"))
    assert [outcome.bundle is not None for outcome in outcomes] == [True, False]
    assert "is named tiny too" in str(outcomes[1].error)


def test_all_targets_of_which_one_cannot_do_it(tiny_checkpoint, tmp_path, monkeypatch):
    from tlm_edge.export import registry

    nowhere = {"abacus": ("tlm_edge.export.onnx", "abacus"), "onnx": ("tlm_edge.export.onnx", "onnx")}
    monkeypatch.setattr(registry, "_MODULES", nowhere)
    monkeypatch.setitem(registry.require_extra.__globals__["EXTRAS"], "abacus", ("abacus_is_not_installed",))
    with pytest.raises(UserError, match="1 of 2 exports failed"):
        invoke("export", tiny_checkpoint, "--target", "all", "--precision", "fp32", "--zip", "--out", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny-onnx-fp32.zip"]
    with pytest.raises(UserError, match="no precision 'int3'"):
        invoke("export", tiny_checkpoint, "--target", "all", "--precision", "int3")
    with pytest.raises(UserError, match="exporting to abacus needs|int8-static is refused for onnx"):
        invoke("export", tiny_checkpoint, "--target", "all", "--precision", "int8-static")


def test_a_fault_of_ours_is_not_taken_for_the_user_s(tiny_checkpoint, tmp_path, monkeypatch):
    def convert(graph, file, conversion):
        raise IndexError("lost count")

    monkeypatch.setattr(onnx, "TARGET", replace(onnx.TARGET, convert=convert))
    outcomes = list(export_each([str(tiny_checkpoint)], ["onnx"], "fp32", tmp_path / "out", Options()))
    assert "to onnx: lost count" in describe_exports(outcomes)
    with pytest.raises(IndexError):
        raise_failures(outcomes)


def test_texts_of_rows_calibrate_too(tiny_checkpoint, tmp_path, conversions):
    rows = [json.dumps({"text": text}) for text in labelled_texts()[0][:7]]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    export_model(tiny_checkpoint, precision="fp32", out=tmp_path / "bundle", calibration_data=tmp_path / "rows.jsonl")
    assert len(conversions[0].calibration) == 7
