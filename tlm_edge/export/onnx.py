"""The ONNX target for ONNX Runtime on CPUs."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path

import torch
from torch import nn

from tlm_edge.compile.graph import CommitteeGraph
from tlm_edge.export.onnx_weights import SMALLEST_QUANTIZED, quantize_int4, store_half, store_int8
from tlm_edge.export.registry import Conversion, Converted, Target
from tlm_edge.quiet import quiet

#: Old enough for every runtime in use, new enough for LayerNormalization as one operator.
OPSET = 17


def convert(graph: nn.Module, file: Path, conversion: Conversion) -> Converted:
    """Write ``graph`` (see ``compile.deployable``) to ``file`` with inputs of any batch size and length."""
    if conversion.precision == "fp32":
        _export(graph, file)
        return Converted()
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        floats, tables = Path(folder) / "floats.onnx", Path(folder) / "tables.onnx"
        _export(graph, floats)
        if conversion.precision == "fp16":
            store_half(floats, file)
        else:
            _quantize_tables(floats, tables)
            _MATRICES[conversion.precision](tables, file)
    return Converted()


def _export(graph: nn.Module, file: Path) -> None:
    outputs = ["probabilities", "member_logits"] if isinstance(graph, CommitteeGraph) else ["logits"]
    inputs = ["input_ids", "attention_mask"]
    axes = {name: {0: "batch", 1: "length"} for name in inputs} | {name: {0: "batch"} for name in outputs}
    # Two texts of eleven tokens: neither dimension is 1, which the tracer might take for a constant.
    input_ids = torch.ones(2, 11, dtype=torch.long)
    attention_mask = torch.ones_like(input_ids)
    # The exporter puts back the mode of the outermost module alone: dropout would stay on inside one in training mode.
    graph.eval()
    with quiet(), torch.no_grad():
        torch.onnx.export(
            graph,
            (input_ids, attention_mask),
            str(file),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    _join_aliases(file)


def _join_aliases(file: Path) -> None:
    """Let every operator read its weights from where they are stored.

    The exporter stores weights that are equal, such as the table that members of a committee share, once and gives
    them their other names by operators that do nothing: what stands behind these is not quantized.
    """
    import onnx

    model = onnx.load(file)
    stored = {tensor.name for tensor in model.graph.initializer}
    aliases = {
        node.output[0]: node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in stored
    }
    if not aliases:
        return
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in aliases:
                node.input[place] = aliases[name].input[0]
    for node in aliases.values():
        model.graph.node.remove(node)
    onnx.save(model, file)


def _quantize_tables(source: Path, file: Path) -> None:
    """Embedding tables to int8; the rows that a text looks up are made float again."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(source, file, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)


def _quantize_matrices(source: Path, file: Path) -> None:
    """The larger matrices to int8 with a scale a column; their inputs are quantized at run time.

    Weights get seven bits: with eight, x86 processors without VNNI saturate where they add pairs of products in 16
    bits, silently, and only they (ONNX Runtime's ``reduce_range``). On a trained model that error was four times
    the rounding's.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    # ONNX Runtime refuses a matrix a head (three dimensions) per channel.
    excluded = [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and not _is_large_matrix(next((shapes[name] for name in node.input if name in shapes), ()))
    ]
    with quiet():
        quantize_dynamic(
            source,
            file,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
        )


_MATRICES = {"int8": _quantize_matrices, "int8-weight-only": store_int8, "int4": quantize_int4}


def _is_large_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and prod(shape) >= SMALLEST_QUANTIZED


TARGET = Target(
    name="onnx",
    precisions=("fp32", "fp16", "int8-weight-only", "int8", "int4"),
    model_file="model.onnx",
    packages=("torch", "onnx", "onnxruntime"),
    convert=convert,
    refused={
        "int8-static": "activations quantized ahead of time cost accuracy and are slower than int8, which quantizes "
        "them as they come",
    },
)
