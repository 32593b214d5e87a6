"""A classifier in the form that ExecuTorch's XNNPACK backend computes in one piece: the same logits, text by text.

XNNPACK takes neither slices of a varying length nor reshapes to one, has no mean over rows and no product with a matrix
a head whose weights it packs ahead. With a batch of one nothing is expanded or reshaped to what varies; positions are
looked up; means are products with a column; heads are groups of a convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.compile.attention import MASKED_SCORE, FixedQueryAttention, FullAttention, RowQueryAttention
from tlm_edge.compile.fold import (
    CentredEmbeddings,
    FoldedEmbeddings,
    FoldedFeedForward,
    FoldedFixedQueryAttention,
    SpelledNorm,
    fold_norms,
)
from tlm_edge.compile.graph import CommitteeGraph
from tlm_edge.compile.rewrite import FIXED_QUERY, FeedForward, FullLayer, RewrittenClassifier
from tlm_edge.export.executorch_parts import MatrixPerHead, Norm, Table, Text, kind_of, mean_of_rows, without_bias
from tlm_edge.modeling.bigrams import bigram_rows


class TokenRows(nn.Module):
    """The sum of the rows of a text's tokens, their positions and, where there are any, pairs, before any norm."""

    def __init__(self, tables: CentredEmbeddings) -> None:
        super().__init__()
        self.words, self.positions = Table(tables.word), Table(tables.position)
        self.bigrams = None if tables.bigram is None else Table(tables.bigram)
        self.pad_token_id = tables.pad_token_id

    def forward(self, text: Text) -> Tensor:
        """Rows (1, length, width)."""
        rows: Tensor = self.words(text.input_ids) + self.positions(text.positions)
        if self.bigrams is None:
            return rows
        pairs = bigram_rows(text.input_ids, self.pad_token_id, len(self.bigrams.rows))
        return rows + self.bigrams(pairs)


class Embedded(nn.Module):
    """Embeddings that are needed whole."""

    def __init__(self, embeddings: FoldedEmbeddings) -> None:
        super().__init__()
        self.rows = TokenRows(embeddings.tables)
        self.norm = Norm(embeddings.norm, *kind_of(embeddings.tables.word))
        self.projection = embeddings.projection

    def forward(self, text: Text) -> Tensor:
        """Hidden states (1, length, hidden)."""
        hidden: Tensor = self.norm(self.rows(text))
        return hidden if self.projection is None else self.projection(hidden)


class OtherEmbeddings(nn.Module):
    """Embeddings of another kind, taken as they are."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, text: Text) -> Tensor:
        """Hidden states (1, length, hidden)."""
        hidden: Tensor = self.embeddings(text.input_ids)
        return hidden


class Readout(nn.Module):
    """From the rows that are read, attention and residual added, to logits."""

    def __init__(self, model: RewrittenClassifier) -> None:
        super().__init__()
        block = cast(FoldedFeedForward, model.feed_forward)
        self.first_norm = Norm(block.first_norm, *kind_of(block.up.weight))
        self.last_norm = Norm(block.last_norm, *kind_of(block.up.weight))
        self.scale, self.up, self.down, self.activation = block.scale, block.up, block.down, block.activation
        self.pooler, self.readout_activation, self.classifier = (
            model.pooler,
            model.readout_activation,
            model.classifier,
        )

    def forward(self, attended: Tensor) -> Tensor:
        """Logits (1, labels) of ``attended`` (rows, hidden)."""
        rows = self.first_norm(attended)
        rows = self.last_norm(rows * self.scale + self.down(self.activation(self.up(rows))))
        logits: Tensor = self.classifier(self.readout_activation(self.pooler(rows.view(1, -1))))
        return logits


class FixedQueryBranch(nn.Module):
    """A one-layer classifier whose query is part of its weights."""

    def __init__(self, model: RewrittenClassifier) -> None:
        super().__init__()
        attention: nn.Module = model.attention
        if isinstance(attention, FoldedFixedQueryAttention):
            tables = cast(CentredEmbeddings, model.embeddings)
            width, dtype = kind_of(tables.word)
            self.rows: nn.Module = TokenRows(tables)
            self.mean_square: nn.Linear | None = mean_of_rows(width, attention.eps, dtype)
            scores = attention.scores
        else:
            attention = cast(FixedQueryAttention, attention)
            self.rows = _embedded(model)
            self.mean_square = None
            scores = nn.Parameter(attention.scores.T.contiguous())
        self.scores = without_bias(scores)
        self.values = MatrixPerHead(attention.values.projection)
        self.output = attention.output
        self.readout = Readout(model)

    def forward(self, text: Text) -> Tensor:
        """Logits (1, labels)."""
        rows = self.rows(text)
        if self.mean_square is None:
            weights = (self.scores(rows).permute(0, 2, 1) + text.masked).softmax(dim=-1)
        else:
            inverse = torch.rsqrt(self.mean_square(rows * rows))  # (1, length, 1)
            weights = ((self.scores(rows) * inverse).permute(0, 2, 1) + text.masked).softmax(dim=-1)
            weights = weights * inverse.permute(0, 2, 1)
        pooled = torch.bmm(weights, rows).view(1, -1)
        logits: Tensor = self.readout(self.output(self.values(pooled)))
        return logits


class EveryRow(nn.Module):
    """A layer below the last one."""

    def __init__(self, layer: FullLayer) -> None:
        super().__init__()
        attention: FullAttention = layer.attention
        block: FeedForward = layer.feed_forward
        self.heads = attention.heads
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        self.output, self.up, self.down, self.activation = attention.output, block.up, block.down, block.activation
        norms = (cast(SpelledNorm, norm) for norm in (block.output_norm, block.down_norm))
        self.output_norm, self.down_norm = (Norm(norm, *kind_of(block.up.weight)) for norm in norms)

    def forward(self, hidden: Tensor, masked: Tensor) -> Tensor:
        """Transform ``hidden`` (1, length, hidden); ``masked`` (1, length) is added to every score."""
        width = hidden.shape[2]
        query, key, value = (
            projection(hidden).view(-1, self.heads, width // self.heads).permute(1, 0, 2)
            for projection in (self.query, self.key, self.value)
        )
        weights = (torch.bmm(query, key.permute(0, 2, 1)) + masked).softmax(dim=-1)
        attended = torch.bmm(weights, value).permute(1, 0, 2).contiguous().view(1, -1, width)
        rows = self.output_norm(hidden + self.output(attended))
        output: Tensor = self.down_norm(rows + self.down(self.activation(self.up(rows))))
        return output


class RowQueryBranch(nn.Module):
    """A classifier whose last layer is computed on the rows that are read, each with a query of its own."""

    def __init__(self, model: RewrittenClassifier) -> None:
        super().__init__()
        attention = cast(RowQueryAttention, model.attention)
        self.markers = model.markers
        self.embeddings = _embedded(model)
        self.convolution = model.convolution
        self.layers = nn.ModuleList(EveryRow(cast(FullLayer, layer)) for layer in model.layers)
        self.query, self.output = attention.query, attention.output
        self.key, self.values = MatrixPerHead(attention.key), MatrixPerHead(attention.values.projection)
        self.readout = Readout(model)

    def forward(self, text: Text) -> Tensor:
        """Logits (1, labels)."""
        hidden = self.embeddings(text)
        if self.convolution is not None:
            hidden = self.convolution(hidden, text.attention_mask)
        for layer in self.layers:
            hidden = layer(hidden, text.masked)
        width = hidden.shape[2]
        asking = self._read(hidden.view(-1, width), text.input_ids)  # (rows, hidden)
        absorbed = self.key(self.query(asking)).view(1, -1, width)  # (1, rows × heads, hidden)
        scores = torch.bmm(hidden, absorbed.permute(0, 2, 1)).permute(0, 2, 1) + text.masked
        pooled = torch.bmm(scores.softmax(dim=-1), hidden).view(asking.shape[0], -1)
        logits: Tensor = self.readout(asking + self.output(self.values(pooled)))
        return logits

    def _read(self, rows: Tensor, input_ids: Tensor) -> Tensor:
        if not self.markers:
            return rows[:1]
        places = torch.cat([(input_ids == marker).int().argmax(dim=1) for marker in self.markers])
        return F.embedding(places, rows)


class Unchanged(nn.Module):
    """A branch that was not rewritten, taken as it is."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, text: Text) -> Tensor:
        """Logits (1, labels)."""
        logits: Tensor = self.branch(text.input_ids, text.attention_mask)
        return logits


class OneText(nn.Module):
    """The branches side by side for a batch of one and, of several, their vote, weighted if ``weights`` are given."""

    def __init__(self, branches: Sequence[nn.Module], weights: Sequence[float] = ()) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(branch) for branch in branches)
        dtype = next(self.parameters()).dtype
        shares = weights or [1 / len(branches)] * len(branches)
        self.register_buffer("vote", torch.tensor(shares, dtype=dtype).view(1, 1, -1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """What ``compile.deployable``'s module gives for ``input_ids`` and ``attention_mask``, both (1, length)."""
        vote = cast(Tensor, self.vote)
        masked = (attention_mask.to(vote.dtype) - 1.0) * -MASKED_SCORE
        text = Text(input_ids, attention_mask, masked, torch.arange(input_ids.shape[1]))
        logits = [branch(text) for branch in self.branches]
        if len(logits) == 1:
            return logits[0]
        by_member = torch.cat(logits)  # (members, labels)
        members, labels = by_member.shape
        probabilities = torch.bmm(vote, by_member.softmax(dim=-1).view(1, members, labels))
        return probabilities.view(1, labels), by_member.view(1, members, labels)


def for_xnnpack(graph: nn.Module) -> OneText:
    """A module of ``compile.deployable`` for a batch of one, in XNNPACK's form wherever it was rewritten."""
    folded = fold_norms(graph)
    with torch.no_grad():
        if isinstance(folded, CommitteeGraph):
            return OneText(cast(Sequence[nn.Module], folded.members), folded.weights).eval()
        return OneText([folded]).eval()


def _branch(branch: nn.Module) -> nn.Module:
    if not isinstance(branch, RewrittenClassifier):
        return Unchanged(branch)
    return FixedQueryBranch(branch) if branch.kind == FIXED_QUERY else RowQueryBranch(branch)


def _embedded(model: RewrittenClassifier) -> nn.Module:
    embeddings: nn.Module = model.embeddings
    return Embedded(embeddings) if isinstance(embeddings, FoldedEmbeddings) else OtherEmbeddings(embeddings)
