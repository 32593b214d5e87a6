"""Every precision of every target is either right or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.tiny_models import labelled_texts
from tlm_edge.export import onnx_weights
from tlm_edge.export.export import export_model
from tlm_edge.export.parity import REQUIRED_AGREEMENT
from tlm_edge.export.registry import PRECISIONS, require_target, target_names
from tlm_edge.extras import missing_modules
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError


@pytest.mark.parametrize("name", target_names())
def test_none_is_forgotten(name: str) -> None:
    if missing_modules(name):
        pytest.skip(f"the extra {name} is not installed")
    target = require_target(name, "fp32")
    assert sorted([*target.precisions, *target.refused]) == sorted(PRECISIONS)
    assert set(target.precisions) <= set(REQUIRED_AGREEMENT)
    for precision, reason in target.refused.items():
        with pytest.raises(UserError, match=f"{precision} is refused for {name}: ") as raised:
            require_target(name, precision)
        assert reason in str(raised.value)
        assert not reason.endswith(".")


#: precision → the type of matrices, of tables, and the operator that tells that they are computed with so.
STORED = {
    "fp16": (TensorProto.FLOAT16, TensorProto.FLOAT16, "Cast"),
    "int8-weight-only": (TensorProto.INT8, TensorProto.UINT8, "Mul"),
    "int4": (TensorProto.UINT8, TensorProto.UINT8, "MatMulNBits"),
}


@pytest.mark.parametrize("model", ["tiny_committee", "tiny_deep_checkpoint"])
@pytest.mark.parametrize("precision", STORED)
def test_onnx_weights_are_stored_so(
    precision: str, model: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matrices of a test's model are smaller than any that is stored otherwise."""
    monkeypatch.setattr(onnx_weights, "SMALLEST_QUANTIZED", 1024)
    source = request.getfixturevalue(model)
    # What int4 costs a model of 32 dimensions is not the question here.
    bundle = export_model(source, precision=precision, out=tmp_path / "bundle", accuracy_floor=5)
    assert bundle.manifest.precision == precision
    graph = onnx.load(bundle.model_file).graph
    matrices, tables, operator = STORED[precision]
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    shapes = [tuple(tensor.dims) for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT]
    assert not {(32, 64), (64, 32), (800, 32)} & set(shapes), "a matrix or table was left in float32"
    assert {stored[node.input[0]] for node in graph.node if node.op_type == "Gather" and 800 in dims(graph, node)} == {
        tables
    }
    assert matrices in stored.values()
    assert operator in {node.op_type for node in graph.node}
    if precision == "fp16":
        parity = open_bundle(bundle.folder).manifest.parity
        assert parity is not None
        assert parity.max_logit_difference < 0.02


def dims(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[int]:
    return next((list(tensor.dims) for tensor in graph.initializer if tensor.name == node.input[0]), [])


def test_int4_is_the_nearest_of_sixteen_values(tmp_path: Path) -> None:
    """Rows that don't fill a block, zeros, and extremes of either sign, read back by ONNX Runtime."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(300, 64)).astype(np.float32)
    matrix[:, 0], matrix[:, 1], matrix[:, 2] = 0, np.abs(matrix[:, 1]), -np.abs(matrix[:, 2])
    node = onnx.helper.make_node("MatMul", ["x", "weight"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "xy"]
    weight = onnx.numpy_helper.from_array(matrix, "weight")
    graph = onnx.helper.make_graph([node], "one", values[:1], values[1:], [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "floats.onnx")
    onnx_weights.quantize_int4(tmp_path / "floats.onnx", tmp_path / "int4.onnx")

    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "int4.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.eye(300, dtype=np.float32)})
    assert not found[:, 0].any()
    step = np.abs(matrix).max() / 8
    assert np.abs(found - matrix).max() <= step * 1.05
    assert np.abs(found - matrix).mean() < step / 3
    assert (tmp_path / "int4.onnx").stat().st_size < (tmp_path / "floats.onnx").stat().st_size / 4


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_executorch_matrices_of_few_bits(
    precision: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("executorch")
    from tlm_edge.export import executorch_int8

    floats = export_model(tiny_checkpoint, "executorch", "int8", tmp_path / "floats")  # all but the tables
    monkeypatch.setattr(executorch_int8, "SMALLEST_QUANTIZED", 1024)
    bundle = export_model(tiny_checkpoint, "executorch", precision, tmp_path / "bundle")
    saved = floats.model_file.stat().st_size - bundle.model_file.stat().st_size
    # Three matrices: two of the feed-forward block, and the pooler and output's of 32 × 32.
    assert saved > 2 * 32 * 64 * (2.5 if precision == "int8" else 3)
    texts = labelled_texts()[0]
    ours, theirs = (BundleClassifier(each, 1).probabilities(texts) for each in (bundle, floats))
    assert np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)) >= 0.95
