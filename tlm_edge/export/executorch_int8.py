"""Dynamic int8 for XNNPACK: what PT2E's quantizer would write into the graph, written there at once.

Every large matrix becomes int8 with a scale a row of outputs, and its input is quantized as it comes, with a scale a
row. Tables become int8 with a scale a row; only the rows that a text looks up are made float again. The matrices a
head stay float32: XNNPACK has no such product in int8, and one a head cost time and most of the accuracy.

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


class Int8Linear(nn.Module):
    """A linear layer whose matrix is int8 and whose input is quantized at run time, row by row."""

    def __init__(self, weight: Tensor, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        quantized, scales = _quantized(weight)
        self.bias = bias
        self.register_buffer("weight", quantized)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int64))

    def forward(self, rows: Tensor) -> Tensor:
        """Map ``rows`` (…, inputs) to (…, outputs)."""
        operators = torch.ops.quantized_decomposed
        scale, zero = operators.choose_qparams_per_token_asymmetric(rows, torch.int8)
        quantized = operators.quantize_per_token(rows, scale, zero, _LOW, _HIGH, torch.int8)
        rounded = operators.dequantize_per_token(quantized, scale, zero, _LOW, _HIGH, torch.int8, torch.float32)
        weight = operators.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -_HIGH, _HIGH, torch.int8)
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


def quantize(module: nn.Module) -> None:
    """Replace the large matrices and tables inside ``module``, wherever they are."""
    for name, child in list(module.named_children()):
        if replacement := _int8(child):
            setattr(module, name, replacement)
        else:
            quantize(child)


def _int8(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Linear) and module.weight.numel() >= SMALLEST_QUANTIZED:
        return Int8Linear(module.weight, module.bias)
    if isinstance(module, Table) and module.rows.numel() >= SMALLEST_QUANTIZED:
        return Int8Table(module.rows)
    # Tokens have a padding row; tables without one may be read other than by being called.
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        return Int8Table(module.weight)
    return None


def _quantized(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """``matrix`` in int8, symmetric around zero, and its scales, one a row; a row of zeros has the scale 1."""
    largest = matrix.detach().abs().amax(dim=1)
    scales = torch.where(largest > 0, largest / _HIGH, torch.ones_like(largest))
    return (matrix.detach() / scales[:, None]).round().to(torch.int8), scales
