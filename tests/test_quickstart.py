"""The quickstart, on small models under the names of the shipped ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench import inputs, protocol
from tlm_edge.bench.record import read_records
from tlm_edge.quickstart import FORMS, MODELS, tell_story
from tlm_edge.shipped import models_folder

ROOT = Path(__file__).parents[1]

#: Runs the command in a process that has nothing but what the light installation brings.
LIGHT = """
import importlib.abc, importlib.machinery, json, sys
from pathlib import Path

BLOCKED = {"torch", "transformers", "onnx", "sklearn", "safetensors", "scipy", "pandas", "accelerate", "datasets",
           "huggingface_hub", "jinja2", "matplotlib", "litert_torch", "executorch"}

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
import tlm_edge.extras
found = importlib.util.find_spec
tlm_edge.extras.find_spec = lambda name: None if name in BLOCKED else found(name)
import tlm_edge.shipped
folder = Path(sys.argv[1])
tlm_edge.shipped.models_folder = lambda: folder
from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench import protocol
protocol.PROFILES["rapid"] = TEST_PROFILE
from tlm_edge.cli import main
sys.argv = ["tlm-edge", *sys.argv[2:]]
main()
"""


@pytest.fixture(scope="module")
def shipped(
    tiny_checkpoint, tiny_deep_checkpoint, tiny_committee, tiny_bundle, tiny_committee_bundle, tmp_path_factory
):
    """A folder like ``models/``, with small models; ready-made bundles beside two of them."""
    folder = tmp_path_factory.mktemp("shipped") / "models"
    shutil.copytree(models_folder() / "evaluation", folder / "evaluation")
    for name, source in zip(MODELS, (tiny_deep_checkpoint, tiny_checkpoint, tiny_committee), strict=True):
        shutil.copytree(source, folder / name)
    shutil.copytree(tiny_bundle, folder / "agnews-bert-1" / "onnx-int8")
    shutil.copytree(tiny_committee_bundle, folder / "agnews-committee" / "onnx-int8")
    return folder


def light(shipped: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "TLM_EDGE_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", LIGHT, str(shipped), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def test_the_light_installation_measures_what_is_ready_made(shipped, tmp_path):
    done = light(shipped, tmp_path, "quickstart")
    assert done.returncode == 0, done.stderr
    output = " ".join(done.stdout.split())
    assert 'left out: exporting: it needs pip install "tlm-edge[onnx]"' in output
    assert "left out: agnews-bert-6: it has no ready-made bundle" in output
    assert 'left out: the report: it needs pip install "tlm-edge[report]"' in output
    records = read_records([tmp_path / "tlm-edge-out" / "quickstart" / "records"])
    assert sorted(record.bundle.source for record in records) == ["tiny", "tiny-committee"]
    assert all(record.figures["accuracy"].value > 0.8 for record in records)
    assert all(record.figures["agreement"].value is None for record in records)
    # A second quickstart replaces the first without being asked; a folder of the user's is not replaced.
    again = light(shipped, tmp_path, "quickstart")
    assert again.returncode == 0, again.stderr
    refused = light(shipped, tmp_path, "quickstart", "--out", "tlm-edge-out")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr


def test_the_light_installation_names_the_extra_that_bench_misses(shipped, tmp_path):
    refused = light(shipped, tmp_path, "bench")
    assert refused.returncode == 2
    assert "agnews-bert-6 to onnx int8 needs" in refused.stderr
    assert 'pip install "tlm-edge[onnx]"' in refused.stderr
    named = light(shipped, tmp_path, "bench", "agnews-committee", "agnews-bert-1", "--json")
    assert named.returncode == 0, named.stderr
    assert len(json.loads(named.stdout)["records"]) == 2
    inspected = light(shipped, tmp_path, "inspect", str(shipped / "agnews-bert-1" / "onnx-int8"))
    assert (inspected.returncode, "model.onnx" in inspected.stdout) == (0, True), inspected.stderr
    report = light(shipped, tmp_path, "report", "tlm-edge-out", "--out", "report")
    assert report.returncode == 2
    assert 'pip install "tlm-edge[report]"' in report.stderr
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_everything_is_exported_verified_measured_and_reported(shipped, tmp_path, monkeypatch):
    monkeypatch.setattr("tlm_edge.shipped.models_folder", lambda: shipped)
    monkeypatch.setattr(inputs, "models_folder", lambda: shipped)
    monkeypatch.setitem(protocol.PROFILES, "rapid", TEST_PROFILE)
    lines: list[str] = []
    story = tell_story(tmp_path / "out", lines.append, lambda *_: None)
    assert story.left_out == ()
    assert len([line for line in lines if line.startswith("exporting ")]) == len(MODELS) * len(FORMS)
    assert len([line for line in lines if line.startswith("verified ")]) == len(MODELS) * len(FORMS)
    measured = {
        (record.bundle.source, (record.bundle.target, record.bundle.precision)): record
        for record in story.result.records
    }
    assert set(measured) == {(model, form) for model in MODELS for form in FORMS}
    assert all(record.figures["agreement"].value > 0.95 for record in measured.values())
    assert story.page is not None
    html = story.page.read_text(encoding="utf-8")
    assert all(model in html for model in MODELS)
    assert "tlm-edge quickstart" in html
