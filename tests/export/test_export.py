import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.tiny_models import LABELS, MAX_LENGTH, labelled_texts, make_tokenizer, mark, train_checkpoint
from tlm_edge.export import export, parity
from tlm_edge.export.export import export_model
from tlm_edge.export.source import load_source
from tlm_edge.export.texts import ODD_TEXTS, sequences_of_many_lengths, texts_for
from tlm_edge.modeling.checkpoint import load_classifier
from tlm_edge.modeling.config import Convolution
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import Manifest
from tlm_edge.runtime.parity import read_reference
from tlm_edge.runtime.tokenize import pad


def torch_logits(checkpoint: Path, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        model = load_classifier(checkpoint)
        return model(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()


def check_logits(bundle_folder: Path, checkpoint: Path, texts: list[str], tolerance: float = 1e-4) -> None:
    classifier = BundleClassifier(open_bundle(bundle_folder), threads=1)
    arrays = pad(classifier.encoder.token_ids(texts), 0)
    found = classifier.session.run(*arrays)["logits"]
    np.testing.assert_allclose(found, torch_logits(checkpoint, *arrays), atol=tolerance)


def test_the_bundle_of_a_checkpoint(tiny_bundle, tiny_checkpoint):
    manifest = open_bundle(tiny_bundle).manifest
    assert manifest.name == "tiny-onnx-fp32"
    assert (manifest.target, manifest.precision, manifest.rewrite) == ("onnx", "fp32", "fixed-query")
    assert manifest.labels == LABELS
    assert (manifest.max_length, manifest.pad_token_id) == (MAX_LENGTH, 0)
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in manifest.inputs] == [
        ("input_ids", "int64", ("batch", "length")),
        ("attention_mask", "int64", ("batch", "length")),
    ]
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in manifest.outputs] == [
        ("logits", "float32", ("batch", 4))
    ]
    assert set(manifest.versions) == {"tlm-edge", "torch", "onnx", "onnxruntime"}
    assert set(manifest.files) == {path.name for path in tiny_bundle.iterdir()} - {"manifest.json"}
    assert {"model.onnx", "tokenizer.json", "vocab.txt", "config.json", "parity.json"} <= set(manifest.files)
    assert str(tiny_checkpoint.parent) not in (tiny_bundle / "manifest.json").read_text()
    check_logits(tiny_bundle, tiny_checkpoint, [*labelled_texts()[0], *ODD_TEXTS])


def test_what_the_manifest_tells_was_measured(tiny_bundle, tiny_checkpoint):
    manifest = open_bundle(tiny_bundle).manifest
    assert manifest.parity.sequences == MAX_LENGTH + len(ODD_TEXTS)
    assert (manifest.parity.shortest, manifest.parity.longest) == (1, MAX_LENGTH)
    assert 0 < manifest.parity.max_logit_difference < manifest.parity.tolerance == 1e-4
    assert manifest.parity.agreement == 1.0
    texts, labels = labelled_texts()
    found = BundleClassifier(open_bundle(tiny_bundle), 1).probabilities(texts).argmax(axis=1)
    assert manifest.accuracy.accuracy == pytest.approx(np.mean(found == np.array(labels)))
    assert (manifest.accuracy.texts, manifest.accuracy.data) == (200, "evaluation/agnews.jsonl")
    reference = read_reference(tiny_bundle / "parity.json")
    for sequence, expected in zip(reference.sequences, reference.logits, strict=True):
        ids = np.array([sequence])
        np.testing.assert_allclose(torch_logits(tiny_checkpoint, ids, np.ones_like(ids)), expected, atol=1e-5)


def test_the_bundle_of_a_committee(tiny_committee_bundle, tiny_committee):
    manifest = open_bundle(tiny_committee_bundle).manifest
    assert (manifest.source.kind, manifest.source.members) == ("committee", 2)
    assert [(tensor.name, tensor.shape) for tensor in manifest.outputs] == [
        ("probabilities", ("batch", 4)),
        ("member_logits", ("batch", 2, 4)),
    ]
    assert manifest.parity.tolerance is None
    assert manifest.parity.agreement >= 0.95
    assert manifest.accuracy.source_accuracy - manifest.accuracy.accuracy <= manifest.accuracy.allowed_drop
    texts = labelled_texts()[0]
    expected = load_source(tiny_committee).probabilities(texts)
    found = BundleClassifier(open_bundle(tiny_committee_bundle), 1).probabilities(texts)
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= 0.95


def test_int8_is_small_and_really_int8(tiny_committee_bundle):
    model = onnx.load(tiny_committee_bundle / "model.onnx")
    tables = [tensor for tensor in model.graph.initializer if tensor.dims[:1] == [800] or 800 in tensor.dims]
    assert len(tables) == 2
    assert {tensor.data_type for tensor in tables} <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_deep_models_with_and_without_rewrite(tiny_deep_checkpoint, tmp_path, precision):
    kinds = {}
    for rewritten in (True, False):
        out = tmp_path / str(rewritten)
        bundle = export_model(tiny_deep_checkpoint, precision=precision, out=out, rewritten=rewritten)
        kinds[rewritten] = bundle.manifest.rewrite
        if precision == "fp32":
            check_logits(out, tiny_deep_checkpoint, labelled_texts()[0][:40])
    assert kinds == {True: "row-query", False: "none"}


def test_convolutional_models(tiny_folder, tiny_tokenizer, tmp_path):
    checkpoint = train_checkpoint(tmp_path / "conv", tiny_tokenizer, convolution=Convolution(2, (4, 3), 2), epochs=2)
    bundle = export_model(checkpoint, precision="fp32", out=tmp_path / "bundle")
    assert bundle.manifest.rewrite == "row-query"
    check_logits(tmp_path / "bundle", checkpoint, labelled_texts()[0][:40])


def test_models_that_read_markers(tmp_path):
    tokenizer = make_tokenizer(tmp_path / "tokenizer", markers=True)
    checkpoint = train_checkpoint(tmp_path / "marked", tokenizer, marked=True, epochs=4)
    texts = [mark(text) for text in labelled_texts()[0]]
    data = tmp_path / "marked.jsonl"
    rows = [{"text": text, "label": LABELS[label]} for text, label in zip(texts, labelled_texts()[1], strict=True)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bundle = export_model(checkpoint, precision="fp32", out=tmp_path / "bundle", data=str(data))
    assert bundle.manifest.accuracy.data == "marked.jsonl"
    check_logits(tmp_path / "bundle", checkpoint, texts[:40])
    sequences = read_reference(tmp_path / "bundle" / "parity.json").sequences
    markers = load_classifier(checkpoint).config.markers
    assert sum(all(marker in sequence for marker in markers) for sequence in sequences) > 10


def test_labels_without_evaluation_texts(tiny_tokenizer, tmp_path):
    checkpoint = train_checkpoint(tmp_path / "other", tiny_tokenizer, labels=("yes", "no"), epochs=2)
    manifest = export_model(checkpoint, precision="fp32", out=tmp_path / "bundle").manifest
    assert manifest.accuracy is None
    assert manifest.parity.texts == 200


def test_two_exports_are_the_same_to_the_byte(tiny_committee, tmp_path):
    for precision in ("fp32", "int8"):
        first, second = tmp_path / precision / "a", tmp_path / precision / "b"
        for out in (first, second):
            export_model(tiny_committee, precision=precision, out=out)
        names = sorted(path.name for path in first.iterdir())
        assert names == sorted(path.name for path in second.iterdir())
        for name in names:
            assert (first / name).read_bytes() == (second / name).read_bytes(), (precision, name)


def test_max_length(tiny_checkpoint, tmp_path):
    bundle = export_model(tiny_checkpoint, precision="fp32", out=tmp_path / "bundle", max_length=12)
    assert bundle.manifest.max_length == 12
    assert bundle.manifest.parity.longest == 12
    (ids,) = BundleClassifier(bundle).encoder.token_ids(["word " * 50])
    assert len(ids) == 12
    for wrong, message in ((MAX_LENGTH + 1, "has 48 positions"), (2, "special ones")):
        with pytest.raises(UserError, match=message):
            export_model(tiny_checkpoint, out=tmp_path / "other", max_length=wrong)


def test_sequences_have_all_lengths(tiny_checkpoint):
    source = load_source(tiny_checkpoint)
    sequences = sequences_of_many_lengths(source, texts_for(source.labels, None).texts)
    assert {len(sequence) for sequence in sequences} == set(range(1, MAX_LENGTH + 1))
    assert {sequence[0] for sequence in sequences} == {source.cls_token_id}


def spoiled(**changes):
    """A stand-in for ``measure`` that reports what a wrong file would have given."""

    def measure(*arguments):
        measured, accuracy = parity.measure(*arguments)
        if "accuracy" in changes:
            return measured, replace(accuracy, accuracy=accuracy.source_accuracy - 0.02)
        return replace(measured, **changes), accuracy

    return measure


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_logit_difference": 2e-4}, "its logits differ from PyTorch's by up to 0.0002"),
        ({"max_logit_difference": float("inf")}, "not numbers"),
        ({"agreement": 0.9}, "only 90.0% of 200 texts"),
        ({"accuracy": None}, "it may lose 0.0100"),
    ],
)
def test_a_file_that_fails_is_not_left_behind(tiny_checkpoint, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(export, "measure", spoiled(**changes))
    with pytest.raises(UserError, match=message):
        export_model(tiny_checkpoint, precision="fp32", out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_errs_is_caught(tiny_checkpoint, tmp_path, monkeypatch):
    """The gate for real: a graph with one weight slightly off passes conversion and fails the comparison."""
    right = export.deployable

    def wrong(*arguments, **options):
        graph = right(*arguments, **options)
        with torch.no_grad():
            graph.pooler.weight[0, 0] += 0.05
        return graph

    monkeypatch.setattr(export, "deployable", wrong)
    with pytest.raises(UserError, match="its logits differ from PyTorch's"):
        export_model(tiny_checkpoint, precision="fp32", out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_run_is_caught(tiny_checkpoint, tmp_path, monkeypatch):
    real = export.write_reference

    def damaging(path, reference):
        real(path, reference)
        (path.parent / "model.onnx").write_bytes(b"damaged")

    monkeypatch.setattr(export, "write_reference", damaging)
    with pytest.raises(UserError, match="can't load"):
        export_model(tiny_checkpoint, precision="fp32", out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_force(tiny_checkpoint, tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        export_model(tiny_checkpoint, out=tmp_path)
    assert (tmp_path / "mine").read_text() == "precious"
    export_model(tiny_checkpoint, precision="fp32", out=tmp_path, force=True)
    assert isinstance(open_bundle(tmp_path).manifest, Manifest)


def test_the_default_place(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export_model(tiny_checkpoint, precision="fp32").folder == Path("tlm-edge-out/tiny-onnx-fp32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "abacus"}, "no target 'abacus': choose onnx"),
        ({"precision": "int3"}, "no precision 'int3': choose fp32 or fp16 or int8-weight-only or int8 or int4"),
        ({"precision": "int8-static"}, "int8-static is refused for onnx: activations quantized ahead of time"),
        ({"data": "nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_had(tiny_checkpoint, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        export_model(tiny_checkpoint, out=tmp_path / "bundle", **arguments)
    assert not (tmp_path / "bundle").exists()


def test_a_file_is_no_checkpoint(tmp_path):
    (tmp_path / "bundle.zip").write_bytes(b"")
    with pytest.raises(UserError, match="not the folder of a checkpoint"):
        export_model(tmp_path / "bundle.zip", out=tmp_path / "bundle")


def test_bad_checkpoints(tiny_checkpoint, tiny_tokenizer, tmp_path):
    def broken(name, change):
        folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / name))
        change(folder)
        return folder

    def pickled(folder):
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")

    def unsupported(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "mish"}))

    def truncated(folder):
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])

    def bare_tokenizer(folder):
        content = json.loads((folder / "tokenizer.json").read_text())
        (folder / "tokenizer.json").write_text(json.dumps(content | {"post_processor": None}))

    for name, change, message in (
        ("pickled", pickled, "pickled weights"),
        ("unsupported", unsupported, "activation 'mish'"),
        ("truncated", truncated, "damaged"),
        ("bare", bare_tokenizer, r"no \[CLS\]"),
    ):
        with pytest.raises(UserError, match=message):
            export_model(broken(name, change), out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
