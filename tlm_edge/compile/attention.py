"""Self-attention of which only a few rows are read, without projecting keys or values over the sequence.

Derived in ``docs/exact-rewrite.md``. With hidden states x (length, hidden), a row's query q and head h of width d,

    scores = x · u_h + constant,   u_h = W_k,hᵀ q_h / √d      (the constant leaves the softmax unchanged)
    output = W_v,h (Σ a_i x_i) + b_v,h                         (the weights a_i sum to 1)
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from tlm_edge.modeling.encoder import Layer

#: Added to the scores of padding: large enough that its softmax is 0, small enough for half precision and int8.
MASKED_SCORE = -1e4


def masked_scores(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to scores: (batch, 1, length), 0 on tokens and ``MASKED_SCORE`` on padding."""
    return (1 - attention_mask.to(dtype)).unsqueeze(1) * MASKED_SCORE


class PooledValues(nn.Module):
    """Pools hidden states by the scores, then projects the values: one vector a head instead of one a token."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        heads = layer.heads
        value = layer.value.weight.detach()  # (hidden, hidden), rows of a head together
        self.projection = nn.Parameter(value.unflatten(0, (heads, -1)).transpose(1, 2).contiguous())

    def forward(self, scores: Tensor, hidden: Tensor) -> Tensor:
        """Values without bias, (batch × rows, hidden), of masked ``scores`` (batch, rows × heads, length)."""
        return self.project(torch.matmul(scores.softmax(dim=-1), hidden))

    def project(self, pooled: Tensor) -> Tensor:
        """Values without bias, (batch × rows, hidden), of what was pooled, (batch, rows × heads, hidden)."""
        heads, width, _ = self.projection.shape
        by_head = pooled.reshape(-1, heads, width).transpose(0, 1)  # (heads, batch × rows, hidden)
        return torch.matmul(by_head, self.projection).transpose(0, 1).reshape(-1, width)


class FixedQueryAttention(nn.Module):
    """Attention and residual of a row that is the same in every text: its query is part of the weights.

    This is [CLS] at position 0 of a one-layer model. ``row`` (hidden) is that row of the hidden states.
    """

    def __init__(self, layer: Layer, row: Tensor) -> None:
        super().__init__()
        row, query, key = row.double(), _double(layer.query), _double(layer.key)
        by_head = (query[0] @ row + query[1]).unflatten(0, (layer.heads, -1))  # (heads, width)
        matrix = torch.einsum("hd,hdk->kh", by_head, key[0].unflatten(0, (layer.heads, -1)))
        output, value = _double(layer.output), _double(layer.value)
        dtype = layer.query.weight.dtype
        self.scores = nn.Parameter((matrix / math.sqrt(by_head.shape[1])).to(dtype))  # (hidden, heads)
        self.values = PooledValues(layer)
        self.output = _linear_like(layer.output)
        with torch.no_grad():
            self.output.weight.copy_(layer.output.weight)
            self.output.bias.copy_(output[0] @ value[1] + output[1] + row)

    def forward(self, hidden: Tensor, masked: Tensor) -> Tensor:
        """Attention output plus the row itself, (batch, hidden), of ``hidden`` (batch, length, hidden)."""
        scores = torch.matmul(hidden, self.scores).transpose(1, 2) + masked
        return self.output(self.values(scores, hidden))


class RowQueryAttention(nn.Module):
    """Attention and residual of rows that differ from text to text: each brings its own query."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.heads = layer.heads
        key = layer.key.weight.detach().unflatten(0, (layer.heads, -1))  # (heads, width, hidden)
        self.key = nn.Parameter(key.contiguous())
        self.values = PooledValues(layer)
        self.output = _linear_like(layer.output)
        self.query = _scaled(layer.query, 1 / math.sqrt(key.shape[1]))
        output, value = _double(layer.output), _double(layer.value)
        with torch.no_grad():
            self.output.weight.copy_(layer.output.weight)
            self.output.bias.copy_(output[0] @ value[1] + output[1])

    def forward(self, hidden: Tensor, masked: Tensor, asking: Tensor) -> Tensor:
        """Attention output plus the rows themselves, (batch × rows, hidden).

        ``hidden`` (batch, length, hidden); ``asking`` (batch, rows, hidden) are the rows of it that are read.
        """
        heads, head_width, width = self.key.shape
        rows = asking.reshape(-1, width)
        query = self.query(rows).reshape(-1, heads, head_width).transpose(0, 1)
        absorbed = torch.matmul(query, self.key).transpose(0, 1)  # (batch × rows, heads, hidden)
        absorbed = absorbed.reshape(-1, heads * asking.shape[1], width)  # (batch, rows × heads, hidden)
        scores = torch.matmul(absorbed, hidden.transpose(1, 2)) + masked
        return rows + self.output(self.values(scores, hidden))


class FullAttention(nn.Module):
    """Attention of every row, as the layers below the last one need it, written so that runtimes fuse it well.

    The same as in ``Layer``, but with the scale folded into the query and padding masked by addition: PyTorch's
    attention operator exports guards against rows that see nothing, which cost a deep model a tenth of its time.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.heads = layer.heads
        self.query = _scaled(layer.query, math.sqrt(self.heads / layer.query.out_features))
        self.key = copy.deepcopy(layer.key)
        self.value = copy.deepcopy(layer.value)
        self.output = copy.deepcopy(layer.output)

    def forward(self, hidden: Tensor, masked: Tensor) -> Tensor:
        """Attention output plus the rows themselves, of the shape of ``hidden`` (batch, length, hidden)."""
        batch, length, width = hidden.shape
        query, key, value = (
            projection(hidden).reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        weights = (torch.matmul(query, key.transpose(2, 3)) + masked.unsqueeze(1)).softmax(dim=-1)
        attended = torch.matmul(weights, value).transpose(1, 2).reshape(batch, length, width)
        return hidden + self.output(attended)


def _scaled(linear: nn.Linear, scale: float) -> nn.Linear:
    scaled = copy.deepcopy(linear)
    with torch.no_grad():
        scaled.weight.mul_(scale)
        scaled.bias.mul_(scale)
    return scaled


def _linear_like(linear: nn.Linear) -> nn.Linear:
    return nn.Linear(linear.in_features, linear.out_features, dtype=linear.weight.dtype)


def _double(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias in float64, in which constants are folded so that float32 loses nothing."""
    return linear.weight.detach().double(), linear.bias.detach().double()
