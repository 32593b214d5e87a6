"""The .tflite file itself, a FlatBuffer (schema: TensorFlow's ``schema.fbs``): read, tidied and written again."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from tlm_edge.export.tflite_graph import code_name, drop_unused, operator_name, require_code
from tlm_edge.export.tflite_tables import look_up_before_converting, store_positions_as_tokens

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


def tidy(content: bytes | bytearray) -> bytes:
    """The same model, laid out for the runtimes that will load it.

    Tables are stored and read as in ``tflite_tables``, equal weights and equal scales once. Runtimes that would compute
    nonsense are made to refuse the file.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        look_up_before_converting(model, graph)
        store_positions_as_tokens(model, graph)
    drop_unused(model)
    _shorten_names(model)
    _share_equal_buffers(model)
    _share_equal_scales(model)
    _refuse_old_runtimes(model)
    return _packed(model)


def operator_versions(content: bytes | bytearray) -> dict[str, int]:
    """The highest version of every operator that a file uses, by the operator's name in the schema."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    versions: dict[str, int] = {}
    for code in model.operatorCodes:
        name = code_name(code)
        versions[name] = max(code.version, versions.get(name, 0))
    return versions


def _shorten_names(model: Any) -> None:
    """Leave module paths out of tensor names, which would be a tenth of a small file; each stays a name of its own."""
    numbers: Counter[bytes] = Counter()
    for tensor in _tensors(model):
        short = re.split(rb"[/.]", (tensor.name or b"").partition(b";")[0])[-1]
        numbers[short] += 1
        tensor.name = b"%b_%d" % (short, numbers[short])
    # What the converter noted was true of the file it wrote: the lowest version of the runtime, for one.
    model.metadata = None
    model.description = b"exported by tlm-edge"


def _tensors(model: Any) -> Iterator[Any]:
    return (tensor for graph in model.subgraphs for tensor in graph.tensors)


def _share_equal_buffers(model: Any) -> None:
    """Let tensors with the same content point to one buffer; the first one, by the format's rule, is the empty one."""
    buffers, known, places = [schema.BufferT()], {b"": 0}, {}
    for tensor in _tensors(model):
        if tensor.buffer not in places:
            stored = model.buffers[tensor.buffer].data
            data = np.array([] if stored is None else stored, dtype=np.uint8)
            digest = hashlib.sha256(data.tobytes()).digest() if len(data) else b""
            if digest not in known:
                known[digest] = len(buffers)
                buffers.append(_AlignedBuffer(data))
            places[tensor.buffer] = known[digest]
        tensor.buffer = places[tensor.buffer]
    model.metadataBuffer = None
    model.buffers = buffers


def _share_equal_scales(model: Any) -> None:
    """Let tensors with the same scales and zeros, as a matrix has in every signature, point to one description."""
    known: dict[tuple[bytes, bytes, int], _SharedQuantization] = {}
    for tensor in _tensors(model):
        if (one := tensor.quantization) is not None and one.scale is not None:
            scales, zeros = np.asarray(one.scale, dtype=np.float32), np.asarray(one.zeroPoint, dtype=np.int64)
            key = (scales.tobytes(), zeros.tobytes(), one.quantizedDimension)
            tensor.quantization = known.setdefault(key, _SharedQuantization(scales, zeros, one.quantizedDimension))


def _refuse_old_runtimes(model: Any) -> None:
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = operator_name(model, operator)
            if name == "FULLY_CONNECTED" and _has_scale_a_row(graph.tensors[operator.inputs[1]]):
                require_code(model, *_SINCE_2_16)


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


class _SharedQuantization(schema.QuantizationParametersT):
    """Scales and zeros of tensors that are written to a file once, whoever refers to them."""

    def __init__(self, scales: np.ndarray, zeros: np.ndarray, dimension: int) -> None:
        super().__init__()
        self.scale, self.zeroPoint, self.quantizedDimension = scales, zeros, dimension
        self.offset: int | None = None

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        """Append them unless they are there; returns their offset. One model is packed once."""
        if self.offset is None:
            self.offset = int(super().Pack(builder))
        return self.offset
