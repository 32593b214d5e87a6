"""The TFLite target: one file with a signature a length, through litert-torch and ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from tlm_edge.compile.fold import fold_norms
from tlm_edge.compile.graph import CommitteeGraph
from tlm_edge.export.older_runtime import tflite_runtime_2_14
from tlm_edge.export.registry import Conversion, Converted, OlderRuntime, Target
from tlm_edge.quiet import quiet
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.silent import silent


def convert(graph: nn.Module, file: Path, conversion: Conversion) -> Converted:
    """Write ``graph`` (see ``compile.deployable``) to ``file`` for one text a call.

    Every length of the conversion becomes a signature ``length_…`` with inputs int32 (1, length); they share the
    weights. Raises ``UserError`` with the converter's words if it can't convert the model.
    """
    # What converter and quantizer say, in Python and in native code, is kept off the user's screen.
    with quiet(), silent(), contextlib.redirect_stdout(io.StringIO()):
        try:
            content = _quantized(_converted(fold_norms(graph), conversion.lengths), conversion.precision)
            from tlm_edge.export.tflite_file import tidy

            file.write_bytes(tidy(content))
        except (ImportError, MemoryError, OSError):
            raise
        except Exception as error:  # the converter raises what its many layers raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"litert-torch {version('litert-torch')} can't convert this model: {reason}") from error
    return Converted(lengths=conversion.lengths)


class _Named(nn.Module):
    """A graph whose outputs have names, which become those of the signature."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.model = graph  # not "graph": that is what a GraphModule calls its own
        self.names = ("probabilities", "member_logits") if isinstance(graph, CommitteeGraph) else ("logits",)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        outputs = self.model(input_ids, attention_mask)
        return dict(zip(self.names, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))


def _converted(graph: nn.Module, lengths: tuple[int, ...]) -> bytes:
    import litert_torch

    litert_torch.config.show_progress = False
    named = _Named(graph).eval()
    converter = litert_torch.Converter()
    for length in lengths:
        # Two arrays: one object in both places would become one input.
        inputs = {name: torch.ones(1, length, dtype=torch.int32) for name in ("input_ids", "attention_mask")}
        converter.add_signature(f"length_{length}", named, sample_kwargs=inputs)
    content: bytes = converter.convert().model_content()
    return content


def _quantized(content: bytes, precision: str) -> bytes:
    from tlm_edge.export.tflite_recipes import quantize

    return quantize(content, precision)


TARGET = Target(
    name="tflite",
    precisions=("fp32", "fp16", "int8-weight-only", "int8", "int4"),
    model_file="model.tflite",
    packages=("torch", "litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer"),
    convert=convert,
    refused={
        "int8-static": "activations quantized ahead of time leave a classifier at chance and are slower than int8, "
        "which quantizes them as they come"
    },
    older=(
        OlderRuntime(
            name="tflite-runtime-2.14",
            instead={"int8": "int8-weight-only", "int4": "int8-weight-only"},
            packages={"tflite-runtime": "2.14.0"},
            python=tflite_runtime_2_14,
        ),
    ),
)
