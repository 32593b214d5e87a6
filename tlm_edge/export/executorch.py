"""The ExecuTorch target: through torch.export and the XNNPACK backend."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.export.executorch_graph import for_xnnpack
from tlm_edge.export.registry import Conversion, Converted, Target
from tlm_edge.quiet import quiet
from tlm_edge.runtime.errors import UserError

#: Share of the computing operators that XNNPACK has to take: nearly all of ours, about half of models as written, of
#: which it leaves out LayerNorm and all that has to do with masks.
REQUIRED_SHARE = 0.4

#: Bits of the matrices where these are quantized; tables have 8.
_BITS = {"int8": 8, "int4": 4}

#: What takes nearly all the time: XNNPACK has to take every one of them.
_PRODUCTS = ("linear", "mm", "addmm", "bmm", "baddbmm", "convolution")

#: Length of the sequence that is traced: neither 1 nor the usual size of anything else, which would be taken for it.
_TRACED = 11

#: A text has two special tokens; the session pads [CLS] alone, of which some models' neighbour rows can't be traced.
_SHORTEST = 2

#: What doesn't compute: shapes, tuples, views, copies in another shape.
_MOVING = ("sym_size", "getitem", "view_copy", "permute_copy", "expand_copy", "squeeze_copy", "unsqueeze_copy", "clone")
#: What XNNPACK merges with the product that it belongs to.
_MERGED = ("quantize_per", "choose_qparams", "_native_batch_norm")


@dataclass(frozen=True)
class Coverage:
    """How often each computing operator was delegated to XNNPACK, and how often it was left to the plain kernels."""

    delegated: Counter[str]
    left_out: Counter[str]

    @property
    def share(self) -> float:
        """Share of the computing operators that were delegated, 0 … 1."""
        delegated, left_out = self.delegated.total(), self.left_out.total()
        return delegated / max(delegated + left_out, 1)


def convert(graph: nn.Module, file: Path, conversion: Conversion) -> Converted:
    """Write ``graph`` (see ``compile.deployable``) to ``file`` for one text a call, of any length up to the maximum.

    Raises ``UserError`` with ExecuTorch's words if it can't convert the model, or with the operators that were left
    out if XNNPACK takes too few.
    """
    module = for_xnnpack(graph)
    with _quiet():
        if conversion.precision in _BITS:
            from tlm_edge.export.executorch_int8 import quantize

            quantize(module, _BITS[conversion.precision])
        try:
            program = _lowered(module, conversion.max_length)
            coverage = count_coverage(program.exported_program().graph_module)
            require_coverage(coverage)
            content = program.to_executorch().buffer
        except (ImportError, MemoryError, OSError, UserError):
            raise
        except Exception as error:  # the exporter raises what its many layers raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"executorch {version('executorch')} can't convert this model: {reason}") from error
    file.write_bytes(content)
    return Converted(delegated=coverage.share)


def _lowered(module: nn.Module, max_length: int) -> Any:
    """The edge program of ``module`` with what XNNPACK takes delegated to it."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    # Two tensors: one object in both places would become one input.
    input_ids, attention_mask = (torch.ones(1, min(_TRACED, max_length), dtype=torch.long) for _ in range(2))
    varies = {1: torch.export.Dim("length", min=_SHORTEST, max=max_length)}
    program = torch.export.export(module, (input_ids, attention_mask), dynamic_shapes=(varies, varies), strict=False)
    gelu = torch.ops.aten.gelu.default
    if any(node.target is gelu and node.kwargs.get("approximate") == "tanh" for node in program.graph.nodes):
        program = program.run_decompositions({gelu: _gelu})
    return to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])


def _gelu(values: Tensor, *, approximate: str = "none") -> Tensor:
    """GELU's tanh approximation spelled out (Hendrycks and Gimpel, arXiv 1606.08415): XNNPACK has the exact one."""
    if approximate != "tanh":
        return NotImplemented
    inner = values * (1.0 + 0.044715 * values * values) * 0.7978845608028654
    return values * (1.0 + F.tanh(inner)) * 0.5


def count_coverage(graph: torch.fx.GraphModule) -> Coverage:
    """What was delegated and what was left out of a lowered ``graph``."""
    delegated: Counter[str] = Counter()
    for child in graph.children():
        if (original := getattr(child, "original_module", None)) is not None:
            delegated.update(_computing(original.graph_module.graph))
    return Coverage(delegated, Counter(_computing(graph.graph)))


def require_coverage(coverage: Coverage) -> None:
    """Raise ``UserError`` with what was left out unless ``REQUIRED_SHARE`` and every matrix product were delegated."""
    if coverage.share < REQUIRED_SHARE or any(name in coverage.left_out for name in _PRODUCTS):
        left_out = ", ".join(f"{number} × {name}" for name, number in sorted(coverage.left_out.items()))
        raise UserError(
            f"XNNPACK takes only {coverage.share:.0%} of this model's operators, {REQUIRED_SHARE:.0%} and every matrix "
            f"product are required; it leaves out {left_out}. Export the model to onnx or tflite"
        )


def _computing(graph: torch.fx.Graph) -> Iterator[str]:
    for node in graph.nodes:
        name = getattr(node.target, "__name__", str(node.target))
        if node.op == "call_function" and not any(word in name for word in (*_MOVING, *_MERGED, "call_delegate")):
            yield name.removeprefix("aten.").removeprefix("dim_order_ops.").rsplit(".", 1)[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep executorch quiet, and the logging of whoever calls as it is: its XNNPACK part configures the root logger."""
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        with quiet():
            yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


TARGET = Target(
    name="executorch",
    precisions=("fp32", "int8", "int4"),
    model_file="model.pte",
    packages=("torch", "executorch"),
    convert=convert,
    refused={
        "fp16": "its XNNPACK backend has no half-precision GELU, and some processors, such as a Raspberry Pi 4's, have "
        "no half-precision arithmetic",
        "int8-weight-only": "its XNNPACK backend multiplies int8 weights with int8 inputs only; int8, whose inputs are "
        "quantized as they come, makes a file of the same size",
        "int8-static": "its XNNPACK backend has no quantized softmax, GELU or product of two inputs: each would be "
        "converted back and forth, slower and less accurate than int8",
    },
)
