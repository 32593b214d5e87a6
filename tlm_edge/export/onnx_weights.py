"""Weights of an ONNX file in other forms than float32 and the dynamic int8 of ``quantize_dynamic``.

float16 and int8 weights are made float32 once, when ONNX Runtime loads the file, and computed with at float32's speed:
it has next to no half-precision arithmetic for CPUs, and its product of floats with int8 weights (``MatMulNBits`` at
its highest accuracy) took ten times as long as one with float32 weights on x86-64.
int4 weights are computed with as they are, by ``MatMulNBits``, whose inputs become int8 at run time.
"""

from __future__ import annotations

from collections.abc import Container
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

#: Matrices of fewer elements stay in float32: quantizing their input costs more than it saves.
SMALLEST_QUANTIZED = 16_384

#: Rows of a matrix that share a scale in int4: as many as a tiny model's matrix has, for the largest speed.
_BLOCK = 256
#: ``MatMulNBits`` with int8 inputs.
_INT8_INPUTS = 4


def store_half(source: Path, file: Path) -> None:
    """Copy ``source`` to ``file`` with its large weights in float16, of which tables are cast a row at a time."""
    model = onnx.load(source)
    large = _large(model, dimensions=range(1, 4))
    after = {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in large:
            found, node.output[0] = node.output[0], f"{node.output[0]}_half"
            after[node.output[0]] = helper.make_node("Cast", [node.output[0]], [found], to=onnx.TensorProto.FLOAT)
    tables = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    before = []
    for name, tensor in large.items():
        half = numpy_helper.to_array(tensor).astype(np.float16)
        if name in tables:
            tensor.CopyFrom(numpy_helper.from_array(half, name))
        else:
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            before.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [[node, after[node.output[0]]] if node.output[0] in after else [node] for node in model.graph.node]
    _write(model, [*before, *(each for pair in nodes for each in pair)], file)


def store_int8(source: Path, file: Path) -> None:
    """Copy ``source`` to ``file`` with the large matrices of its products in int8, a scale a column."""
    model = onnx.load(source)
    products = {name for node in model.graph.node if node.op_type == "MatMul" for name in node.input}
    before = []
    for name, tensor in _large(model, dimensions=(2, 3)).items():
        if name in products:
            matrix = numpy_helper.to_array(tensor)
            largest = np.abs(matrix).max(axis=-2, keepdims=True)
            scales = np.where(largest > 0, largest / np.float32(127), np.float32(1))
            tensor.CopyFrom(numpy_helper.from_array(np.rint(matrix / scales).astype(np.int8), f"{name}_int8"))
            model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
            before += [
                helper.make_node("Cast", [f"{name}_int8"], [f"{name}_whole"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}_whole", f"{name}_scales"], [name]),
            ]
    _write(model, [*before, *model.graph.node], file)


def quantize_int4(source: Path, file: Path) -> None:
    """Copy ``source`` to ``file`` with the large matrices (inputs, outputs) of its products in int4, scales a block.

    The operator's description: ONNX Runtime, docs/ContribOperators.md, com.microsoft.MatMulNBits.
    """
    model = onnx.load(source)
    matrices = _large(model, dimensions=(2,))
    shapes = {name: tuple(tensor.dims) for name, tensor in matrices.items()}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in shapes:
            name = node.input[1]
            if matrices[name].data_type == onnx.TensorProto.FLOAT:
                codes, scales = _int4(numpy_helper.to_array(matrices[name]))
                matrices[name].CopyFrom(numpy_helper.from_array(codes, name))
                model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
            node.op_type, node.domain = "MatMulNBits", "com.microsoft"
            node.input.append(f"{name}_scales")
            settings = dict(zip("KN", shapes[name], strict=True)) | {"bits": 4, "block_size": _BLOCK}
            for key, value in (settings | {"accuracy_level": _INT8_INPUTS}).items():
                node.attribute.append(helper.make_attribute(key, value))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    _write(model, list(model.graph.node), file)


def _int4(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes, two a byte (outputs, blocks, bytes), and scales (outputs × blocks,) of ``matrix`` (inputs, outputs)."""
    inputs, outputs = matrix.shape
    blocks = -(-inputs // _BLOCK)
    padded = np.zeros((outputs, blocks * _BLOCK), dtype=np.float32)
    padded[:, :inputs] = matrix.T
    rows = padded.reshape(outputs, blocks, _BLOCK)
    # The element furthest from zero becomes -8, of whichever sign it is: codes reach one further down than up.
    furthest = np.take_along_axis(rows, np.abs(rows).argmax(axis=2, keepdims=True), axis=2)
    scales = np.where(furthest != 0, furthest / np.float32(-8), np.float32(1))
    codes = np.clip(np.rint(rows / scales) + 8, 0, 15).astype(np.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, scales.reshape(-1)


def _large(model: Any, dimensions: Container[int]) -> dict[str, Any]:
    """The stored float32 tensors of at least ``SMALLEST_QUANTIZED`` elements and so many dimensions, by name."""
    return {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and prod(tensor.dims) >= SMALLEST_QUANTIZED
        and len(tensor.dims) in dimensions
    }


def _write(model: Any, nodes: list[Any], file: Path) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, file)
