import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tlm_edge.export.verify import verify_bundle
from tlm_edge.files import sha256_file
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.parity import Logits, Reference, read_reference, write_reference


def passed(verification):
    return {check.name: check.passed for check in verification.checks}


def rewrite_manifest(folder: Path, change) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def test_a_good_bundle(tiny_bundle, tiny_committee_bundle):
    for bundle in (tiny_bundle, tiny_committee_bundle):
        verification = verify_bundle(bundle)
        assert verification.passed
        assert passed(verification) == dict.fromkeys(("files", "signature", "parity", "accuracy"), True)
        assert verification.texts == 200


def test_other_logits_are_found(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    reference = read_reference(folder / "parity.json")
    write_reference(folder / "parity.json", Reference(reference.sequences, reference.logits + 2e-4))

    def change(content):
        path = folder / "parity.json"
        content["files"]["parity.json"] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}

    rewrite_manifest(folder, change)
    verification = verify_bundle(folder)
    assert not verification.passed
    assert passed(verification) == {"files": True, "signature": True, "parity": False, "accuracy": True}


def test_another_signature_and_accuracy_are_found(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))

    def change(content):
        content["outputs"][0]["shape"] = ["batch", 5]
        content["accuracy"]["source_accuracy"] += 0.02

    rewrite_manifest(folder, change)
    assert passed(verify_bundle(folder)) == {"files": True, "signature": False, "parity": True, "accuracy": False}


def test_an_altered_file_is_refused(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (folder / "vocab.txt").write_text("other")
    with pytest.raises(UserError, match=r"vocab\.txt"):
        verify_bundle(folder)


def test_data_of_one_s_own(tiny_bundle, tmp_path):
    data = tmp_path / "mine.jsonl"
    data.write_text('{"text": "Shares fell after the report", "label": "Business"}\n')
    verification = verify_bundle(tiny_bundle, str(data))
    assert (verification.texts, verification.passed) == (1, True)
    assert "no figure for these texts" in verification.checks[-1].found


def test_a_reference_survives_the_way_there_and_back(tmp_path):
    logits = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    reference = Reference(((2, 3), (2, 5, 3), (2,)), logits)
    write_reference(tmp_path / "parity.json", reference)
    found = read_reference(tmp_path / "parity.json")
    assert found.sequences == reference.sequences
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-8)
    (tmp_path / "parity.json").write_text('{"sequences": [[1]], "logits": [[1.0]]}')
    with pytest.raises(UserError, match="no parity reference"):
        read_reference(tmp_path / "parity.json")


def test_what_is_not_a_number_is_no_parity():
    logits = np.zeros((1, 1, 2), dtype=np.float32)
    assert np.isnan(Logits(logits, logits * np.nan).difference(logits))
