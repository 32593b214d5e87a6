"""A calibrated committee as a bundle: a file a member, asked in turn, with PyTorch's answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import LABELS
from tlm_edge.bench.worker import Job, work
from tlm_edge.export.export import export_model
from tlm_edge.extras import EXTRAS
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.modeling.stored_cascade import StoredCascade, members_digest, write_cascade
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.layout import Layout

TEXTS = [f"some words about number {number} and other things" * (1 + number % 4) for number in range(60)]


@pytest.fixture(scope="module")
def cascaded(tiny_committee: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny committee with a margin that about half of the texts reach."""
    folder = tmp_path_factory.mktemp("cascade") / "cascaded"
    shutil.copytree(tiny_committee, folder)
    answers = TorchClassifier(tiny_committee).member_logits(TEXTS)[:, 1]
    shares = np.sort(np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True), axis=1)
    margin = float(np.median(shares[:, -1] - shares[:, -2]))
    calibrated = {"max_drop": 0.01, "confidence": 0.95, "data": "x", "rows": 1, "p_value": 0.01}
    found = {"accuracy": 0.5, "full_accuracy": 0.5, "mean_members": 1.5}
    write_cascade(folder, StoredCascade((1, 0), (margin,), members_digest(folder), **calibrated, **found))
    return folder


@pytest.fixture(scope="module")
def bundle(cascaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(cascaded, "onnx", "fp32", tmp_path_factory.mktemp("cascade-bundle") / "bundle").folder


def test_the_file_asks_whom_pytorch_asks(cascaded: Path, bundle: Path) -> None:
    expected, found = TorchClassifier(cascaded).votes(TEXTS), BundleClassifier(open_bundle(bundle), 1).votes(TEXTS)
    assert expected.members_used is not None and found.members_used is not None
    assert set(found.members_used.tolist()) == {1, 2}
    # A lead within the float's error of the margin may fall on either side.
    same = expected.members_used == found.members_used
    assert same.mean() > 0.95
    np.testing.assert_allclose(found.probabilities[same], expected.probabilities[same], atol=1e-5)


def test_all_members_together_vote_as_the_one_file_does(cascaded: Path, bundle: Path, tmp_path: Path) -> None:
    fused = export_model(cascaded, "onnx", "fp32", tmp_path / "fused", layout="fused")
    assert fused.manifest.cascade is None and fused.manifest.member_files == ()
    apart = BundleClassifier(open_bundle(bundle), 1, all_members=True)
    together = BundleClassifier(fused, 1)
    np.testing.assert_allclose(apart.probabilities(TEXTS), together.probabilities(TEXTS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", ["onnx", "tflite", "executorch"])
def test_members_apart_vote_as_in_one_file_on_any_number_of_threads(
    tiny_committee: Path, target: str, tmp_path: Path
) -> None:
    pytest.importorskip(EXTRAS[target][1])
    fused = BundleClassifier(export_model(tiny_committee, target, "fp32", tmp_path / "fused"), 1)
    apart = export_model(tiny_committee, target, "fp32", tmp_path / "apart", layout="apart")
    assert apart.manifest.layout == "apart" and len(apart.manifest.member_files) == 2
    expected = fused.probabilities(TEXTS[:8])
    for threads in (1, 2, 3):
        found = BundleClassifier(apart, threads)
        np.testing.assert_allclose(found.probabilities(TEXTS[:8]), expected, rtol=0, atol=1e-6)
        one_by_one = np.concatenate([found.probabilities([text]) for text in TEXTS[:8]])
        np.testing.assert_allclose(one_by_one, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("layout", "fault"), [("apart", "is no committee"), ("cascade", "is not calibrated")])
def test_a_layout_that_a_model_can_not_have_is_told(
    tiny_checkpoint: Path, tmp_path: Path, layout: Layout, fault: str
) -> None:
    with pytest.raises(UserError, match=fault):
        export_model(tiny_checkpoint, "onnx", "fp32", tmp_path / "bundle", layout=layout)


def test_the_benchmark_runs_it(bundle: Path) -> None:
    outcome = work(Job("labels", str(bundle), tuple(TEXTS[:5]), 1))
    assert len(outcome["labels"]) == 5 and set(outcome["labels"]) <= set(range(len(LABELS)))
    assert len(outcome["members_used"]) == 5 and set(outcome["members_used"]) <= {1, 2}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cascade": {"order": [0, 0], "margins": [0.1]}}, "no order"),
        ({"cascade": {"order": [0, 1, 2], "margins": [0.1, 0.1]}}, "order the member_files"),
        ({"member_files": []}, "order the member_files"),
        ({"member_files": ["member-00.onnx", "../x.onnx"]}, "not among them"),
        ({"member_files": ["member-01.onnx", "member-00.onnx"]}, "model_file the first"),
    ],
)
def test_a_manifest_whose_cascade_does_not_fit_is_refused(bundle: Path, tmp_path: Path, change, fault: str) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(bundle, copied)
    manifest = copied / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(UserError, match=fault):
        open_bundle(copied)
