"""What a classifier in XNNPACK's form is made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.compile.fold import SpelledNorm


class Text(NamedTuple):
    """One text, with what its branches share; all are (1, length), but ``positions`` is (length,).

    ``masked`` is added to every attention score.
    """

    input_ids: Tensor
    attention_mask: Tensor
    masked: Tensor
    positions: Tensor


class Table(nn.Module):
    """Rows of a matrix by number."""

    def __init__(self, rows: nn.Parameter) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, numbers: Tensor) -> Tensor:
        """The rows of ``numbers``, of its shape and one dimension more."""
        return F.embedding(numbers, self.rows)


class MatrixPerHead(nn.Module):
    """A product with a matrix for every head, as a grouped convolution."""

    def __init__(self, matrices: Tensor) -> None:
        super().__init__()
        heads, inputs, outputs = matrices.shape
        kernel = matrices.detach().transpose(1, 2).reshape(heads * outputs, inputs, 1, 1)
        self.heads = heads
        self.kernel = nn.Parameter(kernel.contiguous())

    def forward(self, rows: Tensor) -> Tensor:
        """Map ``rows`` (rows, heads × inputs) to (rows, heads × outputs)."""
        image = rows.view(rows.shape[0], -1, 1, 1)
        return F.conv2d(image, self.kernel, groups=self.heads).view(rows.shape[0], -1)


class Norm(nn.Module):
    """LayerNorm, or what ``fold_norms`` left of it, whose means are linear layers of one output."""

    def __init__(self, norm: SpelledNorm, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.mean = None if norm.centred else mean_of_rows(width, 0.0, dtype)
        self.mean_square = mean_of_rows(width, norm.eps, dtype)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise rows (…, width), keeping their shape."""
        if self.mean is not None:
            rows = rows - self.mean(rows)
        rows = rows * torch.rsqrt(self.mean_square(rows * rows))
        return rows if self.weight is None or self.bias is None else rows * self.weight + self.bias


def mean_of_rows(width: int, more: float, dtype: torch.dtype) -> nn.Linear:
    """The mean of rows of ``width``, plus a constant, as a linear layer of one output."""
    layer = without_bias(nn.Parameter(torch.full((1, width), 1 / width, dtype=dtype)))
    if more:
        layer.bias = nn.Parameter(torch.full((1,), more, dtype=dtype))
    return layer


def without_bias(weight: nn.Parameter) -> nn.Linear:
    """A linear layer of ``weight`` (outputs, inputs)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = weight
    return layer


def kind_of(weight: Tensor) -> tuple[int, torch.dtype]:
    """The width of the rows of ``weight``, and their dtype."""
    return weight.shape[1], weight.dtype
