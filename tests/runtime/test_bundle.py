import json
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

from tlm_edge.runtime.bundle import is_bundle, open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError

TEXTS = ["The striker scored twice", "Shares fell after the report"]


@pytest.fixture
def copied(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def make_zip(folder: Path, file: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, prefix + path.name)
    return file


def change_manifest(folder: Path, **changes) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(content | changes))


@pytest.mark.parametrize("prefix", ["", "tiny-onnx-fp32/"])
def test_a_zip_is_as_good_as_the_folder(tiny_bundle, tmp_path, prefix):
    zipped = make_zip(tiny_bundle, tmp_path / "bundle.zip", prefix)
    assert is_bundle(zipped)
    assert is_bundle(tiny_bundle)
    bundle = open_bundle(zipped)
    assert bundle.manifest == open_bundle(tiny_bundle).manifest
    from_zip, from_folder = BundleClassifier(bundle, 1), BundleClassifier(open_bundle(tiny_bundle), 1)
    assert from_zip.predict(TEXTS) == from_folder.predict(TEXTS)


def test_the_unpacked_files_go_with_the_bundle(tiny_bundle, tmp_path):
    bundle = open_bundle(make_zip(tiny_bundle, tmp_path / "bundle.zip"))
    folder = bundle.folder
    assert folder.is_dir()
    del bundle
    assert not folder.exists()


def test_an_altered_file_is_not_loaded(copied):
    content = bytearray((copied / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "model.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.onnx was altered"):
        open_bundle(copied)


def test_a_truncated_file_is_not_loaded(copied):
    content = (copied / "tokenizer.json").read_bytes()
    (copied / "tokenizer.json").write_bytes(content[:-5])
    with pytest.raises(UserError, match=f"is {len(content) - 5} bytes long instead of {len(content)}"):
        open_bundle(copied)


def test_a_missing_file_is_named(copied):
    (copied / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"model\.onnx of the bundle can't be read"):
        open_bundle(copied)


def test_a_newer_schema_is_refused(copied):
    change_manifest(copied, schema_version=2)
    with pytest.raises(UserError, match="schema version 2, this tlm-edge reads up to 1"):
        open_bundle(copied)


def test_a_bundle_for_another_target_is_refused(copied):
    change_manifest(copied, target="abacus")
    with pytest.raises(UserError, match="for the target 'abacus'"):
        BundleClassifier(open_bundle(copied))


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    assert not is_bundle(tmp_path)
    with pytest.raises(UserError, match="it has no manifest"):
        open_bundle(tmp_path)
    with pytest.raises(UserError, match="no bundle at"):
        open_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_a_zip_that_writes_outside_is_refused(tiny_bundle, tmp_path, name):
    zipped = make_zip(tiny_bundle, tmp_path / "bundle.zip")
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(UserError, match="leads out of the bundle"):
        open_bundle(zipped)
    assert not list(tmp_path.rglob("evil"))


def test_a_manifest_that_names_a_file_outside_is_refused(copied, tmp_path):
    (tmp_path / "secret").write_text("x")
    content = json.loads((copied / "manifest.json").read_text())
    content["files"]["../secret"] = {"sha256": "0" * 64, "bytes": 1}
    (copied / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="leads out of the bundle"):
        open_bundle(copied)


def test_a_zip_with_an_altered_or_missing_file(copied, tmp_path):
    (copied / "vocab.txt").write_bytes(b"x" * (copied / "vocab.txt").stat().st_size)
    with pytest.raises(UserError, match="was altered"):
        open_bundle(make_zip(copied, tmp_path / "altered.zip"))
    (copied / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"lacks vocab\.txt"):
        open_bundle(make_zip(copied, tmp_path / "missing.zip"))


def test_a_zip_that_unpacks_to_more_than_it_says(copied, tmp_path):
    (copied / "vocab.txt").write_bytes(b"\0" * 10_000_000)
    with pytest.raises(UserError, match="10000000 bytes long instead of"):
        open_bundle(make_zip(copied, tmp_path / "bundle.zip"))
    # The size in the header is a lie: the entry still unpacks to no more than the manifest says.
    honest = json.loads((copied / "manifest.json").read_text())["files"]["vocab.txt"]["bytes"]
    content = (tmp_path / "bundle.zip").read_bytes()
    assert content.count(struct.pack("<L", 10_000_000)) == 2
    (tmp_path / "liar.zip").write_bytes(content.replace(struct.pack("<L", 10_000_000), struct.pack("<L", honest)))
    with pytest.raises(UserError):
        open_bundle(tmp_path / "liar.zip")


def test_a_damaged_zip(tiny_bundle, tmp_path):
    zipped = make_zip(tiny_bundle, tmp_path / "bundle.zip")
    content = zipped.read_bytes()
    (tmp_path / "short.zip").write_bytes(content[: len(content) // 2])
    assert is_bundle(tmp_path / "short.zip"), "taken for something else, it would be called that"
    with pytest.raises(UserError, match="not a readable zip"):
        open_bundle(tmp_path / "short.zip")
    broken = bytearray(content)
    broken[2000:2100] = bytes(100)
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(UserError):
        open_bundle(tmp_path / "broken.zip")


def test_a_file_that_is_no_model(copied):
    import hashlib

    (copied / "model.onnx").write_bytes(b"not a model")
    content = json.loads((copied / "manifest.json").read_text())
    content["files"]["model.onnx"] = {"sha256": hashlib.sha256(b"not a model").hexdigest(), "bytes": 11}
    (copied / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="can't load"):
        BundleClassifier(open_bundle(copied))


def test_other_labels_than_the_model_has(copied):
    labels = json.loads((copied / "manifest.json").read_text())["labels"]
    change_manifest(copied, labels=labels[:-1])
    with pytest.raises(UserError, match=r"manifest\.json names 3 labels but the model gives 4"):
        BundleClassifier(open_bundle(copied))
