"""Editing the operators and tensors of a .tflite model that was read with the schema's generated classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_CODES = {name: code for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_NAMES = {code: name for name, code in _CODES.items()}

_OPTIONS = {
    "GATHER": (schema.BuiltinOptions.GatherOptions, schema.GatherOptionsT),
    "BITCAST": (schema.BuiltinOptions.BitcastOptions, schema.BitcastOptionsT),
    "DEQUANTIZE": (schema.BuiltinOptions.DequantizeOptions, schema.DequantizeOptionsT),
}


def code_name(code: Any) -> str:
    """The name in the schema of an operator code."""
    return _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def operator_name(model: Any, operator: Any) -> str:
    """The name in the schema of what an operator computes."""
    return code_name(model.operatorCodes[operator.opcodeIndex])


def new_tensor(graph: Any, shape: Any, kind: int, *, buffer: int = 0, quantization: Any = None) -> int:
    """The index of a new tensor."""
    tensor = schema.TensorT()
    tensor.name = f"added_{len(graph.tensors)}".encode()
    tensor.shape, tensor.type, tensor.buffer, tensor.quantization = list(shape), kind, buffer, quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def new_buffer(model: Any, content: np.ndarray) -> int:
    """The index of a new buffer that holds ``content``."""
    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(content).view(np.uint8).ravel()
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def new_operator(model: Any, name: str, version: int, inputs: list[int], output: int) -> Any:
    """An operator of at least this version, one of those that are added to models here."""
    operator = schema.OperatorT()
    operator.opcodeIndex = require_code(model, name, version)
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptionsType = _OPTIONS[name][0]
    operator.builtinOptions = _OPTIONS[name][1]()
    return operator


def require_code(model: Any, name: str, version: int) -> int:
    """The index of an operator's code in at least this version, made if there is none."""
    for index, code in enumerate(model.operatorCodes):
        if code_name(code) == name:
            code.version = max(code.version, version)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = _CODES[name], min(_CODES[name], 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def drop_unused(model: Any) -> None:
    """Leave out operators whose results nobody reads, operator codes that nobody uses, and what nobody stores."""
    for graph in model.subgraphs:
        read = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
        graph.operators = [operator for operator in graph.operators if read & set(operator.outputs)]
        touched = read.union(graph.inputs, *(operator.outputs for operator in graph.operators))
        for tensor in (tensor for index, tensor in enumerate(graph.tensors) if index not in touched):
            tensor.buffer, tensor.quantization = 0, None
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        operator.opcodeIndex = used.index(operator.opcodeIndex)
