from __future__ import annotations

import importlib.metadata
import json

import pytest
from typer.testing import CliRunner

import tlm_edge.doctor
import tlm_edge.extras
from tlm_edge import __version__
from tlm_edge.cli import app
from tlm_edge.doctor import examine


def test_versions_are_those_installed():
    diagnosis = examine()
    assert diagnosis.tlm_edge == __version__
    assert diagnosis.light.versions["numpy"] == importlib.metadata.version("numpy")
    assert diagnosis.light.missing == ()
    assert [part.name for part in diagnosis.extras] == list(tlm_edge.extras.EXTRAS)
    for part in diagnosis.extras:
        assert bool(part.missing) == (part.install is not None)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    present = tlm_edge.extras.find_spec
    monkeypatch.setattr(tlm_edge.extras, "find_spec", lambda name: None if name == "sklearn" else present(name))
    train = next(part for part in examine().extras if part.name == "train")
    assert train.missing == ("scikit-learn",)
    assert train.install == 'pip install "tlm-edge[train]"'
    result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "160"})
    assert 'pip install "tlm-edge[train]"' in result.output
    assert "missing: scikit-learn" in result.output


@pytest.mark.parametrize("found", [True, False])
def test_programs_are_looked_for(monkeypatch, tmp_path, found):
    if found:
        program = tmp_path / "qemu-aarch64"
        program.write_text("#!/bin/sh\necho 'qemu-aarch64 version 7.2.13 (Debian)'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if found else str(tmp_path))
    qemu = next(tool for tool in examine().tools if tool.name == "qemu")
    assert (qemu.version == "7.2.13") == found
    assert (qemu.path is not None) == found


def test_json():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    content = json.loads(result.output)
    assert content["machine"]["usable_cores"] >= 1
    assert {part["name"] for part in content["extras"]} == set(tlm_edge.extras.EXTRAS)


def test_devices_command():
    listed = json.loads(CliRunner().invoke(app, ["devices", "--json"]).output)
    assert listed["devices"][0]["address"]["name"] == "local"
    assert "local" in CliRunner().invoke(app, ["devices"]).output


@pytest.mark.slow
def test_deep_finds_out_by_doing_it(monkeypatch):
    """Every target that is installed exports and runs; one that isn't says what would install it."""
    present = tlm_edge.extras.find_spec
    monkeypatch.setattr(tlm_edge.extras, "find_spec", lambda name: None if name == "executorch" else present(name))
    result = CliRunner().invoke(app, ["doctor", "--deep", "--json"])
    trials = {trial["target"]: trial for trial in json.loads(result.output)["targets"]}
    assert list(trials) == ["onnx", "tflite", "executorch"]
    assert trials["onnx"]["works"]
    assert "onnxruntime" in trials["onnx"]["found"]
    assert "of PyTorch's" in trials["onnx"]["found"]
    assert trials["tflite"]["works"] == (present("litert_torch") is not None)
    assert not trials["executorch"]["works"]
    assert 'pip install "tlm-edge[executorch]"' in trials["executorch"]["found"]


def test_what_goes_wrong_is_told(monkeypatch):
    def fail(target, folder):
        raise RuntimeError("symbol not found\nand more")

    monkeypatch.setattr("tlm_edge.export.trial._export", fail)
    result = CliRunner().invoke(app, ["doctor", "--deep"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert result.output.count("RuntimeError: symbol not found") == 3
