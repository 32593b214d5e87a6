"""The .tflite file itself, a FlatBuffer (schema: TensorFlow's ``schema.fbs``): read, tidied and written again."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

#: The largest operator versions that TFLite 2.16.1 knows, the last release for Android by that name, of every
#: operator that is exported. Found by loading a file with each version of each into that release; the source is
#: tensorflow/lite/core/kernels/register.cc of its tag.
TFLITE_2_16 = {
    "ADD": 5,
    "ARG_MAX": 3,
    "BATCH_MATMUL": 4,
    "BITCAST": 1,
    "BROADCAST_TO": 3,
    "CAST": 6,
    "CONCATENATION": 4,
    "CONV_2D": 8,
    "CUMSUM": 1,
    "DEPTHWISE_CONV_2D": 7,
    "DEQUANTIZE": 5,
    "DIV": 2,
    "EMBEDDING_LOOKUP": 3,
    "EQUAL": 4,
    "EXP": 2,
    "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 11,
    "GATHER": 7,
    "GATHER_ND": 5,
    "GELU": 2,
    "GREATER_EQUAL": 3,
    "LESS": 3,
    "LOGICAL_AND": 1,
    "LOGICAL_NOT": 1,
    "MAXIMUM": 4,
    "MEAN": 3,
    "MINIMUM": 4,
    "MUL": 7,
    "NOT_EQUAL": 3,
    "PACK": 4,
    "PAD": 4,
    "PADV2": 4,
    "POW": 1,
    "RELU": 3,
    "RESHAPE": 1,
    "RSQRT": 3,
    "SELECT": 4,
    "SELECT_V2": 2,
    "SLICE": 6,
    "SOFTMAX": 3,
    "SPLIT": 4,
    "SQRT": 1,
    "SQUARED_DIFFERENCE": 2,
    "SQUEEZE": 2,
    "STRIDED_SLICE": 8,
    "SUB": 5,
    "SUM": 2,
    "TANH": 3,
    "TILE": 3,
    "TRANSPOSE": 6,
    "UNPACK": 4,
}

#: An operator that 2.16.1 has in this version, and neither 2.15 nor 2.14: those compute int8 matrices with a scale a
#: row wrongly, without a word. A file that has such matrices names this operator among those it needs, and is refused.
_SINCE_2_16 = ("GATHER_ND", 5)

_CODES = {name: code for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_NAMES = {code: name for name, code in _CODES.items()}


def tidy(content: bytes | bytearray) -> bytes:
    """The same model, laid out for the runtimes that will load it.

    Equal weights are stored once. Rows of tables that are not float32 are looked up first and made float32 then: the
    lookup's own kernel takes a nanosecond an element (32 µs for 128 rows of 256, five times the two operators), or
    has the whole table converted and kept. Runtimes that would compute nonsense are made to refuse the file.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        _look_up_before_converting(model, graph)
    _drop_unused(model)
    _shorten_names(model)
    _share_equal_buffers(model)
    _refuse_old_runtimes(model)
    return _packed(model)


def operator_versions(content: bytes | bytearray) -> dict[str, int]:
    """The highest version of every operator that a file uses, by the operator's name in the schema."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    versions: dict[str, int] = {}
    for code in model.operatorCodes:
        name = _name(code)
        versions[name] = max(code.version, versions.get(name, 0))
    return versions


def _name(code: Any) -> str:
    return _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _shorten_names(model: Any) -> None:
    """Leave module paths out of tensor names, which would be a tenth of a small file; each stays a name of its own."""
    numbers: Counter[bytes] = Counter()
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        short = re.split(rb"[/.]", (tensor.name or b"").partition(b";")[0])[-1]
        numbers[short] += 1
        tensor.name = b"%b_%d" % (short, numbers[short])
    # What the converter noted was true of the file it wrote: the lowest version of the runtime, for one.
    model.metadata = None
    model.description = b"exported by tlm-edge"


def _share_equal_buffers(model: Any) -> None:
    """Let tensors with the same content point to one buffer; the first one, by the format's rule, is the empty one."""
    buffers, known, places = [schema.BufferT()], {b"": 0}, []
    for buffer in model.buffers:
        data = b"" if buffer.data is None else np.asarray(buffer.data, dtype=np.uint8)
        digest = hashlib.sha256(bytes(data)).digest() if len(data) else b""
        if digest not in known:
            known[digest] = len(buffers)
            buffers.append(_AlignedBuffer(data))
        places.append(known[digest])
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        tensor.buffer = places[tensor.buffer]
    model.metadataBuffer = None
    model.buffers = buffers


def _look_up_before_converting(model: Any, graph: Any) -> None:
    """EMBEDDING_LOOKUP of a stored table → GATHER of stored rows and DEQUANTIZE of these."""
    makers = {operator.outputs[0]: operator for operator in graph.operators}
    operators = []
    for operator in graph.operators:
        kept = [operator]
        if _name(model.operatorCodes[operator.opcodeIndex]) == "EMBEDDING_LOOKUP":
            ids, table = operator.inputs
            stored = graph.tensors[makers[table].inputs[0] if table in makers else table]
            if stored.type == schema.TensorType.INT8:
                kept = _look_up_int8(model, graph, ids, stored, operator.outputs[0])
            elif stored.type == schema.TensorType.FLOAT16:
                kept = _look_up_float16(model, graph, ids, stored, operator.outputs[0])
        operators += kept
    graph.operators = operators


def _look_up_int8(model: Any, graph: Any, ids: int, table: Any, output: int) -> list[Any]:
    shape = graph.tensors[output].shape
    rows = _tensor(graph, shape, table.type, quantization=table.quantization)
    return [
        _operator(model, "GATHER", 2, [graph.tensors.index(table), ids], rows),
        _operator(model, "DEQUANTIZE", 2, [rows], output),
    ]


def _look_up_float16(model: Any, graph: Any, ids: int, table: Any, output: int) -> list[Any]:
    """By way of int16, as which the rows are looked up: 2.16.1 has no GATHER of float16."""
    shape = graph.tensors[output].shape
    int16, float16 = schema.TensorType.INT16, schema.TensorType.FLOAT16
    alias = _tensor(graph, table.shape, int16, buffer=table.buffer)
    words, rows = _tensor(graph, shape, int16), _tensor(graph, shape, float16)
    return [
        _operator(model, "GATHER", 4, [alias, ids], words),
        _operator(model, "BITCAST", 1, [words], rows),
        _operator(model, "DEQUANTIZE", 3, [rows], output),
    ]


def _tensor(graph: Any, shape: Any, kind: int, *, buffer: int = 0, quantization: Any = None) -> int:
    """The index of a new tensor."""
    tensor = schema.TensorT()
    tensor.name = f"looked_up_{len(graph.tensors)}".encode()
    tensor.shape, tensor.type, tensor.buffer, tensor.quantization = list(shape), kind, buffer, quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


_OPTIONS = {
    "GATHER": (schema.BuiltinOptions.GatherOptions, schema.GatherOptionsT),
    "BITCAST": (schema.BuiltinOptions.BitcastOptions, schema.BitcastOptionsT),
    "DEQUANTIZE": (schema.BuiltinOptions.DequantizeOptions, schema.DequantizeOptionsT),
}


def _operator(model: Any, name: str, version: int, inputs: list[int], output: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = _operator_code(model, name, version)
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptionsType = _OPTIONS[name][0]
    operator.builtinOptions = _OPTIONS[name][1]()
    return operator


def _operator_code(model: Any, name: str, version: int) -> int:
    """The index of an operator in at least this version, made if there is none."""
    for index, code in enumerate(model.operatorCodes):
        if _name(code) == name:
            code.version = max(code.version, version)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = _CODES[name], min(_CODES[name], 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _drop_unused(model: Any) -> None:
    """Leave out operators whose results nobody reads, and then operator codes that nobody uses."""
    for graph in model.subgraphs:
        read = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
        graph.operators = [operator for operator in graph.operators if read & set(operator.outputs)]
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _refuse_old_runtimes(model: Any) -> None:
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = _name(model.operatorCodes[operator.opcodeIndex])
            if name == "FULLY_CONNECTED" and _has_scale_a_row(graph.tensors[operator.inputs[1]]):
                _operator_code(model, *_SINCE_2_16)


def _has_scale_a_row(tensor: Any) -> bool:
    """Whether a matrix is stored in int8 with a scale of its own for every row."""
    quantization = tensor.quantization
    return quantization is not None and quantization.scale is not None and len(quantization.scale) > 1


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):
    """A buffer whose data begins at a multiple of 16 bytes, as the schema asks and the generated code does not."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        """Append the buffer; returns its offset."""
        data = np.ascontiguousarray(self.data).tobytes()
        builder.StartVector(1, len(data), 16)
        start = builder.Head() - len(data)
        builder.head = start
        builder.Bytes[start : start + len(data)] = data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))
