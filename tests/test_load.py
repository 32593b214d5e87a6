import doctest
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tlm_edge
from tests.tiny_models import LABELS, labelled_texts
from tlm_edge import loading, shipped
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import MissingExtraError, UserError
from tlm_edge.shipped import shipped_names

TEXTS = labelled_texts()[0][:20]


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the committee isn't shipped yet")
def test_the_examples_of_the_documentation():
    results = doctest.testmod(tlm_edge)
    assert (results.attempted > 5, results.failed) == (True, 0)


def test_the_same_answers_from_every_form(tiny_checkpoint, tiny_bundle):
    from_checkpoint, from_bundle = tlm_edge.load(tiny_checkpoint, threads=1), tlm_edge.load(str(tiny_bundle), threads=1)
    assert from_checkpoint.labels == from_bundle.labels == LABELS
    assert from_checkpoint.max_length == from_bundle.max_length
    np.testing.assert_allclose(from_checkpoint.probabilities(TEXTS), from_bundle.probabilities(TEXTS), atol=1e-4)


def test_a_committee_and_its_bundle(tiny_committee, tiny_committee_bundle):
    whole, exported = tlm_edge.load(tiny_committee, threads=1), tlm_edge.load(tiny_committee_bundle, threads=1)
    winners = [[prediction.label for prediction in classifier.predict(TEXTS)] for classifier in (whole, exported)]
    assert np.mean([ours == theirs for ours, theirs in zip(*winners, strict=True)]) >= 0.9


def test_without_torch_a_shipped_checkpoint_runs_from_its_bundle(tiny_checkpoint, tiny_bundle, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    monkeypatch.setattr(loading, "find_spec", lambda _: None)
    monkeypatch.setattr("tlm_edge.extras.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"tlm-edge\[train\]"):
        tlm_edge.load(folder)
    shutil.copytree(tiny_bundle, folder / loading.PREBUILT_BUNDLE)
    assert isinstance(tlm_edge.load(folder), BundleClassifier)


def test_without_its_weights_a_shipped_checkpoint_runs_from_its_bundle(
    tiny_checkpoint, tiny_bundle, tmp_path, monkeypatch
):
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "models" / "tiny"))
    monkeypatch.setattr(shipped, "models_folder", lambda: tmp_path / "models")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="the weights of tiny .* pip install tlm-edge-models"):
        tlm_edge.load("tiny")
    shutil.copytree(tiny_bundle, folder / loading.PREBUILT_BUNDLE)
    assert isinstance(tlm_edge.load("tiny"), BundleClassifier)


def test_what_is_no_model(tmp_path):
    with pytest.raises(UserError, match="no model 'nothing'"):
        tlm_edge.load("nothing")
    with pytest.raises(UserError, match="no checkpoint, committee or bundle"):
        tlm_edge.load(tmp_path)
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(UserError, match="no checkpoint, committee or bundle"):
        tlm_edge.load(tmp_path / "file")
