"""Tables of a .tflite model, of tokens and of positions, in forms that its runtimes compute fast and right."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tlm_edge.export.tflite_graph import new_buffer, new_operator, new_tensor, operator_name

_INT8, _INT16 = schema.TensorType.INT8, schema.TensorType.INT16
_FLOAT16, _FLOAT32 = schema.TensorType.FLOAT16, schema.TensorType.FLOAT32


def look_up_before_converting(model: Any, graph: Any) -> None:
    """EMBEDDING_LOOKUP of a table that isn't float32 → GATHER of stored rows and DEQUANTIZE of these.

    The lookup's own kernel takes a nanosecond an element (32 µs for 128 rows of 256, five times the two operators), or
    has the whole table converted and kept.
    """
    makers = {operator.outputs[0]: operator for operator in graph.operators}
    operators = []
    for operator in graph.operators:
        kept = [operator]
        if operator_name(model, operator) == "EMBEDDING_LOOKUP":
            ids, table = operator.inputs
            stored = graph.tensors[makers[table].inputs[0] if table in makers else table]
            if stored.type == _INT8:
                kept = _look_up_int8(model, graph, ids, stored, operator.outputs[0])
            elif stored.type == _FLOAT16:
                kept = _look_up_float16(model, graph, ids, stored, operator.outputs[0])
        operators += kept
    graph.operators = operators


def _look_up_int8(model: Any, graph: Any, ids: int, table: Any, output: int) -> list[Any]:
    rows = new_tensor(graph, graph.tensors[output].shape, _INT8, quantization=table.quantization)
    return [
        new_operator(model, "GATHER", 2, [graph.tensors.index(table), ids], rows),
        new_operator(model, "DEQUANTIZE", 2, [rows], output),
    ]


def _look_up_float16(model: Any, graph: Any, ids: int, table: Any, output: int) -> list[Any]:
    """By way of int16, as which the rows are looked up: 2.16.1 has no GATHER of float16."""
    shape = graph.tensors[output].shape
    alias = new_tensor(graph, table.shape, _INT16, buffer=table.buffer)
    words, rows = new_tensor(graph, shape, _INT16), new_tensor(graph, shape, _FLOAT16)
    return [
        new_operator(model, "GATHER", 4, [alias, ids], words),
        new_operator(model, "BITCAST", 1, [words], rows),
        new_operator(model, "DEQUANTIZE", 3, [rows], output),
    ]


def store_positions_as_tokens(model: Any, graph: Any) -> None:
    """What is added to rows that were looked up, the positions', in the type in which these are stored.

    Every signature has positions of its own, those of its length. Runtimes make them float32 once, when they load them.
    """
    makers = {operator.outputs[0]: operator for operator in graph.operators}
    operators = []
    for operator in graph.operators:
        if operator_name(model, operator) == "ADD":
            rows, positions = operator.inputs
            kind = _kind_of_rows(model, graph, makers.get(rows))
            values = _stored_floats(model, graph.tensors[positions])
            if kind is not None and values is not None:
                converted = new_tensor(graph, values.shape, _FLOAT32)
                operators.append(_stored(model, graph, values, kind, converted))
                operator.inputs = [rows, converted]
        operators.append(operator)
    graph.operators = operators


def _kind_of_rows(model: Any, graph: Any, maker: Any) -> int | None:
    """The type in which rows are stored that ``maker`` converts, null where it does something else."""
    if maker is None or operator_name(model, maker) != "DEQUANTIZE":
        return None
    kind: int = graph.tensors[maker.inputs[0]].type
    return kind


def _stored_floats(model: Any, tensor: Any) -> np.ndarray | None:
    """The content of a constant matrix of several rows, null of anything else."""
    data = model.buffers[tensor.buffer].data
    if data is None or tensor.type != _FLOAT32 or len(tensor.shape) < 2 or tensor.shape[-2] < 2:
        return None
    return np.frombuffer(np.asarray(data, dtype=np.uint8).tobytes(), dtype="<f4").reshape(tensor.shape)


def _stored(model: Any, graph: Any, values: np.ndarray, kind: int, converted: int) -> Any:
    """The operator that makes ``converted`` of ``values`` in float16, or in int8 with a scale a row."""
    if kind == _FLOAT16:
        buffer = new_buffer(model, values.astype(np.float16))
        return new_operator(
            model, "DEQUANTIZE", 3, [new_tensor(graph, values.shape, _FLOAT16, buffer=buffer)], converted
        )
    rows = values.reshape(-1, values.shape[-1])
    largest = np.abs(rows).max(axis=1)
    scales = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = scales, np.zeros(len(scales), dtype=np.int64)
    quantization.quantizedDimension = len(values.shape) - 2
    buffer = new_buffer(model, np.rint(rows / scales[:, None]).astype(np.int8))
    stored = new_tensor(graph, values.shape, _INT8, buffer=buffer, quantization=quantization)
    return new_operator(model, "DEQUANTIZE", 5, [stored], converted)
