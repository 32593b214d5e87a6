"""Dynamic int8, or int4, for XNNPACK: what PT2E's quantizer would write into the graph, written there at once.

Every large matrix becomes int8 with a scale a row of outputs, or int4, and its input is quantized as it comes, with
a scale a row. Tables become int8 with a scale a row; only the rows that a text looks up are made float again. Matrices
a head stay float32: XNNPACK has no such product in int8, and one a head cost time and most of the accuracy.

PT2E gets there by two exports, an observed run and a chain of passes. Its quantized embedding is computed number by
number at run time, where copying bytes and multiplying in XNNPACK takes a tenth of that.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.export.executorch_parts import Table

#: Matrices of fewer elements stay in float32: quantizing their input costs more than it saves.
SMALLEST_QUANTIZED = 16_384

_LOW, _HIGH = -128, 127


class QuantizedLinear(nn.Module):
    """A linear layer whose matrix has ``bits`` (8 or 4) and whose input becomes int8 at run time, row by row."""

    def __init__(self, weight: Tensor, bias: nn.Parameter | None = None, bits: int = 8) -> None:
        super().__init__()
        quantized, scales = _quantized(weight, bits)
        self.bias = bias
        # XNNPACK takes int8 from -127 on, and knows int4 by its whole range.
        self.lowest, self.highest = (-_HIGH, _HIGH) if bits == 8 else (-8, 7)
        self.register_buffer("weight", quantized)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int64))

    def forward(self, rows: Tensor) -> Tensor:
        """Map ``rows`` (…, inputs) to (…, outputs)."""
        operators = torch.ops.quantized_decomposed
        scale, zero = operators.choose_qparams_per_token_asymmetric(rows, torch.int8)
        quantized = operators.quantize_per_token(rows, scale, zero, _LOW, _HIGH, torch.int8)
        rounded = operators.dequantize_per_token(quantized, scale, zero, _LOW, _HIGH, torch.int8, torch.float32)
        limits = (self.lowest, self.highest, torch.int8)
        weight = operators.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, *limits)
        return F.linear(rounded, weight, self.bias)


class Int8Table(nn.Module):
    """Rows of an int8 matrix by number, each times its own scale."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        quantized, scales = _quantized(rows)
        self.register_buffer("rows", quantized)
        self.register_buffer("scales", scales[:, None].clone())

    def forward(self, numbers: Tensor) -> Tensor:
        """The rows of ``numbers``, float32, of its shape and one dimension more."""
        found = F.embedding(numbers, cast(Tensor, self.rows))
        # With a scale of 1: XNNPACK has no other way from int8 to float.
        exact = torch.ops.quantized_decomposed.dequantize_per_tensor(found, 1.0, 0, _LOW, _HIGH, torch.int8)
        rows: Tensor = exact * F.embedding(numbers, cast(Tensor, self.scales))
        return rows


def quantize(module: nn.Module, bits: int = 8) -> None:
    """Replace the large matrices, by ones of 8 or 4 ``bits``, and the tables inside ``module``, wherever they are."""
    for name, child in list(module.named_children()):
        if replacement := _replacement(child, bits):
            setattr(module, name, replacement)
        else:
            quantize(child, bits)


def _replacement(module: nn.Module, bits: int) -> nn.Module | None:
    if isinstance(module, nn.Linear) and module.weight.numel() >= SMALLEST_QUANTIZED:
        return QuantizedLinear(module.weight, module.bias, bits)
    if isinstance(module, Table) and module.rows.numel() >= SMALLEST_QUANTIZED:
        return Int8Table(module.rows)
    # Tokens have a padding row; tables without one may be read other than by being called.
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        return Int8Table(module.weight)
    return None


def _quantized(matrix: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """``matrix`` in so many bits, as int8 symmetric around zero, and its scales, one a row; 1 for a row of zeros."""
    largest = matrix.detach().abs().amax(dim=1)
    scales = torch.where(largest > 0, largest / (2 ** (bits - 1) - 1), torch.ones_like(largest))
    return (matrix.detach() / scales[:, None]).round().to(torch.int8), scales
