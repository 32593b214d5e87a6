"""The TFLite target: files made by its converter, run in LiteRT, and looked into by the format's schema."""

import platform
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("litert_torch")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from tests.tiny_models import MAX_LENGTH, labelled_texts, make_tokenizer, train_checkpoint
from tlm_edge import extras
from tlm_edge.compile.graph import deployable
from tlm_edge.export import tflite, tflite_recipes
from tlm_edge.export.export import export_model
from tlm_edge.export.registry import Conversion, require_target
from tlm_edge.export.tflite_file import TFLITE_2_16, operator_versions
from tlm_edge.modeling.checkpoint import load_classifier
from tlm_edge.modeling.config import Convolution
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import MissingExtraError, UserError

LENGTHS = (16, 32, MAX_LENGTH)


def read(bundle: Path):
    return flatbuffer_utils.read_model_from_bytearray(bytearray((bundle / "model.tflite").read_bytes()))


def stored(model, kind: int) -> list[tuple[int, ...]]:
    """The shapes of all constants of a type, each buffer once."""
    tensors = {tensor.buffer: tensor for graph in model.subgraphs for tensor in graph.tensors}
    constant = [tensor for tensor in tensors.values() if model.buffers[tensor.buffer].data is not None]
    return sorted(tuple(tensor.shape) for tensor in constant if tensor.type == kind)


def check_versions(bundle: Path) -> dict[str, int]:
    versions = operator_versions((bundle / "model.tflite").read_bytes())
    assert not {name: number for name, number in versions.items() if number > TFLITE_2_16.get(name, 0)}
    return versions


def test_the_bundle_of_a_committee(tiny_tflite_bundle):
    manifest = open_bundle(tiny_tflite_bundle).manifest
    assert (manifest.target, manifest.precision, manifest.rewrite) == ("tflite", "int8", "fixed-query")
    assert manifest.lengths == LENGTHS
    assert {(tensor.name, tensor.dtype, tensor.shape) for tensor in manifest.inputs} == {
        ("input_ids", "int32", (1, "length")),
        ("attention_mask", "int32", (1, "length")),
    }
    assert {(tensor.name, tensor.dtype, tensor.shape) for tensor in manifest.outputs} == {
        ("probabilities", "float32", (1, 4)),
        ("member_logits", "float32", (1, 2, 4)),
    }
    assert {"litert-torch", "ai-edge-litert", "ai-edge-quantizer"} < set(manifest.versions)
    assert "tflite-runtime" not in manifest.versions
    assert manifest.parity.agreement >= 0.95
    assert manifest.accuracy.source_accuracy - manifest.accuracy.accuracy <= manifest.accuracy.allowed_drop


def test_the_signatures_share_the_weights(tiny_tflite_bundle):
    model = read(tiny_tflite_bundle)
    assert sorted(signature.signatureKey.decode() for signature in model.signatureDefs) == [
        f"length_{length}" for length in LENGTHS
    ]
    # The tables of both members, of tokens and, cut to each length, of positions.
    assert stored(model, schema.TensorType.INT8) == sorted(2 * [(800, 32), *((length, 32) for length in LENGTHS)])
    matrices = [shape for shape in stored(model, schema.TensorType.FLOAT32) if shape == (64, 32)]
    assert len(matrices) == 2  # the members' feed-forward blocks
    weights = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    parameters = open_bundle(tiny_tflite_bundle).manifest.source.parameters
    # One byte a parameter of the tables and four of the rest, none of them three times over.
    assert weights < 2 * 800 * 32 + 4 * (parameters - 2 * 800 * 32)


def test_scales_are_stored_once(tiny_tflite_bundle):
    """A matrix has the same ones in every signature."""
    model = schema.Model.GetRootAs((tiny_tflite_bundle / "model.tflite").read_bytes())
    places, scales = set(), set()
    for graph in (model.Subgraphs(index) for index in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(index) for index in range(graph.TensorsLength())):
            quantization = tensor.Quantization()
            if quantization is not None and quantization.ScaleLength():
                places.add(quantization._tab.Pos)
                scales.add(quantization.ScaleAsNumpy().tobytes())
    assert len(places) == len(scales) == 2 * (1 + len(LENGTHS))


def test_its_operators_are_known_to_tflite_2_16(tiny_tflite_bundle):
    versions = check_versions(tiny_tflite_bundle)
    assert {"GATHER", "DEQUANTIZE"} < set(versions)
    assert "EMBEDDING_LOOKUP" not in versions


def test_weights_begin_where_vector_instructions_like_them(tiny_tflite_bundle):
    content = (tiny_tflite_bundle / "model.tflite").read_bytes()
    model = schema.Model.GetRootAs(content)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            table = buffer._tab
            assert table.Vector(table.Offset(4)) % 16 == 0


def test_float32_to_the_byte_twice(tiny_checkpoint, tmp_path, capfd):
    first = export_model(tiny_checkpoint, "tflite", "fp32", tmp_path / "first")
    assert first.manifest.parity.max_logit_difference < 1e-4
    check_versions(tmp_path / "first")
    assert "".join(capfd.readouterr()) == "", "converter or runtime talks"
    again = tmp_path / "again.tflite"
    conversion = Conversion("fp32", MAX_LENGTH, LENGTHS, ())
    tflite.convert(deployable([load_classifier(tiny_checkpoint)], 2), again, conversion)
    assert again.read_bytes() == (tmp_path / "first" / "model.tflite").read_bytes()


def test_equal_members_are_stored_once(tiny_checkpoint, tmp_path):
    members = [load_classifier(tiny_checkpoint) for _ in range(2)]
    sizes = []
    for graph in (deployable(members[:1], 2), deployable(members, 2)):
        tflite.convert(graph, tmp_path / "model.tflite", Conversion("int8", 16, (16,), ()))
        model = read(tmp_path)
        sizes.append(sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None))
    assert sizes[1] < sizes[0] + 1000


@pytest.mark.parametrize(
    ("precision", "kind", "layers"), [("int8", schema.TensorType.INT8, 3), ("int4", schema.TensorType.INT4, 1)]
)
def test_matrices_of_few_bits(tiny_checkpoint, tiny_deep_checkpoint, tmp_path, monkeypatch, precision, kind, layers):
    """Those of a test's model are smaller than any that is quantized otherwise."""
    recipe = tuple(replace(rule, smallest=min(rule.smallest, 1024)) for rule in tflite_recipes.RECIPES[precision])
    monkeypatch.setitem(tflite_recipes.RECIPES, precision, recipe)
    checkpoint = tiny_checkpoint if layers == 1 else tiny_deep_checkpoint
    bundle = export_model(checkpoint, "tflite", precision, tmp_path / "bundle", buckets=(MAX_LENGTH,))
    assert bundle.manifest.rewrite == ("fixed-query" if layers == 1 else "row-query")
    shapes = stored(read(bundle.folder), kind)
    assert shapes.count((64, 32)) == shapes.count((32, 64)) == layers
    # 2.14 and 2.15 compute such matrices wrongly: the file asks for an operator that they lack.
    assert check_versions(bundle.folder)["GATHER_ND"] == TFLITE_2_16["GATHER_ND"]


def test_convolutions_in_half_precision(tiny_tokenizer, tmp_path):
    checkpoint = train_checkpoint(tmp_path / "conv", tiny_tokenizer, convolution=Convolution(2, (4, 3), 2), epochs=2)
    bundle = export_model(checkpoint, "tflite", "fp16", tmp_path / "bundle", buckets=(MAX_LENGTH,))
    assert check_versions(bundle.folder)["BITCAST"] == 1
    assert (800, 32) in stored(read(bundle.folder), schema.TensorType.INT16)
    assert (MAX_LENGTH, 32) in stored(read(bundle.folder), schema.TensorType.FLOAT16)


def test_markers_with_int8_weights(tmp_path):
    tokenizer = make_tokenizer(tmp_path / "tokenizer", markers=True)
    checkpoint = train_checkpoint(tmp_path / "marked", tokenizer, marked=True, epochs=2)
    bundle = export_model(checkpoint, "tflite", "int8-weight-only", tmp_path / "bundle", buckets=(MAX_LENGTH,))
    assert check_versions(bundle.folder)["GATHER_ND"] < TFLITE_2_16["GATHER_ND"]


def test_as_written(tiny_checkpoint, tmp_path):
    bundle = export_model(tiny_checkpoint, "tflite", "fp32", tmp_path / "bundle", rewritten=False, buckets=(48,))
    assert bundle.manifest.rewrite == "none"
    assert bundle.manifest.parity.max_logit_difference < 1e-4
    check_versions(bundle.folder)


def test_what_cannot_be_converted_leaves_nothing(tiny_checkpoint, tmp_path, monkeypatch):
    class Unconvertible(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            raise ValueError(f"no such thing for {tuple((input_ids * attention_mask).shape)}")

    monkeypatch.setattr(tflite, "fold_norms", lambda _: Unconvertible())
    with pytest.raises(UserError, match=r"litert-torch \d.* can't convert this model: no such thing"):
        export_model(tiny_checkpoint, "tflite", "fp32", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused():
    with pytest.raises(UserError, match="int8-static is refused for tflite: .* at chance"):
        require_target("tflite", "int8-static")
    with pytest.raises(UserError, match=r"only tflite-runtime-2\.14"):
        require_target("tflite", "int8").older_runtime("tflite-runtime-1.0")


def test_where_the_converter_is_missing(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "litert_torch" else True)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(MissingExtraError, match=r'pip install "tlm-edge\[tflite\]"'):
        require_target("tflite", "int8")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(MissingExtraError, match="has no packages for Linux on aarch64: export on x86-64"):
        require_target("tflite", "int8")


@pytest.mark.slow
def test_tflite_runtime_2_14(tiny_committee, tmp_path, monkeypatch):
    """The wheel itself: right by its recipe; the default file, which it would get wrong, it doesn't load."""
    for precision in ("int8", "int8-weight-only"):
        recipe = tuple(replace(rule, smallest=min(rule.smallest, 1024)) for rule in tflite_recipes.RECIPES[precision])
        monkeypatch.setitem(tflite_recipes.RECIPES, precision, recipe)
    said: list[str] = []
    options = {"compat": "tflite-runtime-2.14", "buckets": (MAX_LENGTH,)}
    bundle = export_model(tiny_committee, "tflite", "int8", tmp_path / "right", tell=said.append, **options)
    assert said == ["tflite-runtime-2.14 computes int8 wrongly: making int8-weight-only instead"]
    assert bundle.manifest.precision == "int8-weight-only"
    assert bundle.manifest.versions["tflite-runtime"] == "2.14.0"
    monkeypatch.setattr(tflite, "TARGET", replace(tflite.TARGET, older=(replace(tflite.TARGET.older[0], instead={}),)))
    with pytest.raises(UserError, match=r"in tflite-runtime-2\.14, .*GATHER_ND.* newer runtimes"):
        export_model(tiny_committee, "tflite", "int8", tmp_path / "wrong", **options)
    assert not (tmp_path / "wrong").exists()


def test_every_text_gets_the_label_of_pytorch(tiny_tflite_bundle, tiny_committee):
    from tlm_edge.export.source import load_source

    texts = labelled_texts()[0]
    found = BundleClassifier(open_bundle(tiny_tflite_bundle), 1).probabilities(texts)
    expected = load_source(tiny_committee).probabilities(texts)
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= 0.95
