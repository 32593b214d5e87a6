"""Rewritten classifiers without LayerNorm, for runtimes that don't have it as one operator.

TFLite and ExecuTorch spell LayerNorm out in a dozen small operators. Most of them can be folded, exactly, into the
weights around: the mean is a projection that the matrix in front applies as well, scale and shift are part of the
matrix behind, and the division is one number a row, which scores and pooling weights carry (``docs/exact-rewrite.md``).
"""

from __future__ import annotations

import copy
import hashlib
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.compile.attention import FixedQueryAttention
from tlm_edge.compile.graph import CommitteeGraph
from tlm_edge.compile.rewrite import FIXED_QUERY, FeedForward, MergedEmbeddings, RewrittenClassifier
from tlm_edge.modeling.bigrams import bigram_rows


def fold_norms(graph: nn.Module) -> nn.Module:
    """A copy of a module of ``compile.deployable`` without LayerNorm, in evaluation mode; as written stays as written.

    Weights that are equal become one parameter. Logits agree within rounding (tested to 1e-10 in float64).
    """
    with torch.no_grad():
        if isinstance(graph, CommitteeGraph):
            folded: nn.Module = CommitteeGraph([_folded(member) for member in graph.members], graph.weights)
        else:
            folded = _folded(graph)
    share_equal_parameters(folded)
    return folded.eval()


def share_equal_parameters(module: nn.Module) -> None:
    """Make parameters of ``module`` with the same content one, so that a file stores them once."""
    known: dict[tuple[torch.dtype, torch.Size, bytes], nn.Parameter] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            digest = hashlib.sha256(parameter.detach().contiguous().numpy().tobytes()).digest()
            setattr(owner, name, known.setdefault((parameter.dtype, parameter.shape, digest), parameter))


class SpelledNorm(nn.Module):
    """LayerNorm without mean, scale or shift where its neighbours take these over.

    ``centred`` says that the rows come with mean 0, ``affine`` false that scale and shift are folded elsewhere.
    """

    def __init__(self, norm: nn.LayerNorm, *, centred: bool = False, affine: bool = True) -> None:
        super().__init__()
        self.eps, self.centred = norm.eps, centred
        self.weight = nn.Parameter(norm.weight.detach().clone()) if affine else None
        self.bias = nn.Parameter(norm.bias.detach().clone()) if affine else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise rows (…, hidden), keeping their shape."""
        if not self.centred:
            hidden = hidden - hidden.mean(dim=-1, keepdim=True)
        hidden = hidden * inverse_deviation(hidden, self.eps)
        return hidden if self.weight is None or self.bias is None else hidden * self.weight + self.bias


def inverse_deviation(centred: Tensor, eps: float) -> Tensor:
    """1 / √(variance + ``eps``), (…, 1), of rows (…, hidden) whose mean is 0."""
    return torch.rsqrt((centred * centred).mean(dim=-1, keepdim=True) + eps)


class CentredEmbeddings(nn.Module):
    """Embeddings whose tables have rows of mean 0, so that their sum has: all of LayerNorm but the division."""

    def __init__(self, embeddings: MergedEmbeddings) -> None:
        super().__init__()
        self.word = nn.Parameter(_centred(embeddings.word))
        self.position = nn.Parameter(_centred(embeddings.position))
        self.pad_token_id = embeddings.pad_token_id
        self.bigram = None if embeddings.bigram is None else nn.Parameter(_centred(embeddings.bigram))

    def forward(self, input_ids: Tensor) -> Tensor:
        """Rows (batch × length, hidden), not yet divided, of ``input_ids`` (batch, length)."""
        batch, length = input_ids.shape
        rows = F.embedding(input_ids.flatten(), self.word) + self.position[:length].repeat(batch, 1)
        if self.bigram is None:
            return rows
        pairs = bigram_rows(input_ids, self.pad_token_id, len(self.bigram))
        return rows + F.embedding(pairs.flatten(), self.bigram)


class FoldedFixedQueryAttention(nn.Module):
    """``FixedQueryAttention`` on rows that were never normalised, with an output of mean 0.

    Scores and pooling weights are divided by a row's deviation instead of the row; the scale of the embedding's
    LayerNorm is part of the matrices, its shift leaves the scores (a constant) and joins the output's bias.
    """

    def __init__(self, attention: FixedQueryAttention, norm: nn.LayerNorm) -> None:
        super().__init__()
        scale, shift = norm.weight.double(), norm.bias.double()
        dtype = norm.weight.dtype
        projection = attention.values.projection.double()  # (heads, hidden, width of a head)
        shifted = torch.einsum("k,hkw->hw", shift, projection).flatten()
        output = attention.output.weight.double()
        self.eps = norm.eps
        self.scores = nn.Parameter((attention.scores.double() * scale[:, None]).T.contiguous().to(dtype))
        self.values = copy.deepcopy(attention.values)
        self.values.projection.copy_(projection * scale[None, :, None])
        self.output = copy.deepcopy(attention.output)
        self.output.weight.copy_(_centred(output, dim=0))
        self.output.bias.copy_(_centred(attention.output.bias.double() + output @ shifted))

    def forward(self, rows: Tensor, masked: Tensor) -> Tensor:
        """Attention output plus the row itself, both of mean 0, (batch, hidden), of ``CentredEmbeddings``' rows."""
        batch, _, length = masked.shape
        inverse = inverse_deviation(rows, self.eps).reshape(batch, 1, length)
        scores = F.linear(rows, self.scores).reshape(batch, length, -1).transpose(1, 2) * inverse + masked
        weights = scores.softmax(dim=-1) * inverse
        output: Tensor = self.output(self.values.project(torch.matmul(weights, rows.reshape(batch, length, -1))))
        return output


class FoldedFeedForward(nn.Module):
    """``FeedForward`` of the rows that are read, normalised at the end but not yet scaled and shifted."""

    def __init__(self, feed_forward: FeedForward, *, centred: bool) -> None:
        super().__init__()
        first = feed_forward.output_norm
        self.first_norm = SpelledNorm(first, centred=centred, affine=False)
        self.last_norm = SpelledNorm(feed_forward.down_norm, affine=False)
        self.scale = nn.Parameter(first.weight.detach().clone())
        self.up = _behind(first, feed_forward.up)
        self.down = copy.deepcopy(feed_forward.down)
        self.down.bias.copy_(feed_forward.down.bias.double() + first.bias.double())
        self.activation = feed_forward.activation

    def forward(self, attended: Tensor) -> Tensor:
        """Transform rows (…, hidden), residual already added, keeping their shape."""
        row = self.first_norm(attended)
        output: Tensor = self.last_norm(row * self.scale + self.down(self.activation(self.up(row))))
        return output


class FoldedEmbeddings(nn.Module):
    """``MergedEmbeddings`` on centred tables."""

    def __init__(self, embeddings: MergedEmbeddings) -> None:
        super().__init__()
        self.tables = CentredEmbeddings(embeddings)
        self.norm = SpelledNorm(embeddings.norm, centred=True)
        self.projection = copy.deepcopy(embeddings.projection)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Hidden states (batch, length, hidden) of ``input_ids`` (batch, length)."""
        hidden: Tensor = self.norm(self.tables(input_ids))
        hidden = hidden.reshape(*input_ids.shape, -1)
        return hidden if self.projection is None else self.projection(hidden)


def _folded(member: nn.Module) -> nn.Module:
    folded = copy.deepcopy(member)
    if not isinstance(folded, RewrittenClassifier):
        return folded
    embeddings: nn.Module = folded.embeddings
    centred = False
    if isinstance(embeddings, MergedEmbeddings):
        centred = folded.kind == FIXED_QUERY and embeddings.projection is None
        if centred:
            attention = cast(FixedQueryAttention, folded.attention)
            folded.attention = FoldedFixedQueryAttention(attention, embeddings.norm)
        folded.add_module("embeddings", CentredEmbeddings(embeddings) if centred else FoldedEmbeddings(embeddings))
    folded.pooler = _behind(folded.feed_forward.down_norm, folded.pooler)
    folded.add_module("feed_forward", FoldedFeedForward(folded.feed_forward, centred=centred))
    _spell_out(folded)
    return folded


def _spell_out(module: nn.Module) -> None:
    """Replace every LayerNorm within ``module``."""
    for name, child in module.named_children():
        if isinstance(child, nn.LayerNorm):
            setattr(module, name, SpelledNorm(child))
        else:
            _spell_out(child)


def _behind(norm: nn.LayerNorm, linear: nn.Linear) -> nn.Linear:
    """``linear`` with the scale and shift of ``norm``, which stands in front of it, in its weights."""
    rows = linear.in_features // norm.weight.numel()
    weight = linear.weight.double()
    folded = copy.deepcopy(linear)
    folded.weight.copy_(weight * norm.weight.double().repeat(rows))
    folded.bias.copy_(linear.bias.double() + weight @ norm.bias.double().repeat(rows))
    return folded


def _centred(rows: Tensor, dim: int = -1) -> Tensor:
    """``rows`` less their mean, computed in float64, in their own dtype."""
    exact = rows.detach().double()
    return (exact - exact.mean(dim=dim, keepdim=True)).to(rows.dtype)
