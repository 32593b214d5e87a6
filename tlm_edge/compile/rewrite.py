"""The exact rewrite of a classifier: the same logits for a fraction of the arithmetic (``docs/exact-rewrite.md``)."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.compile.attention import FixedQueryAttention, FullAttention, RowQueryAttention, masked_scores
from tlm_edge.modeling.bigrams import bigram_rows
from tlm_edge.modeling.encoder import Embeddings, Encoder, Layer, gather_rows
from tlm_edge.modeling.heads import SequenceClassifier

#: What was rewritten, for manifests and messages.
FIXED_QUERY = "fixed-query"
ROW_QUERY = "row-query"
AS_WRITTEN = "none"


class MergedEmbeddings(nn.Module):
    """Embeddings whose position and type tables are one."""

    def __init__(self, embeddings: Embeddings) -> None:
        super().__init__()
        self.word = nn.Parameter(embeddings.word.weight.detach().clone())
        merged = embeddings.position.weight.double() + embeddings.token_type.weight[0].double()
        self.position = nn.Parameter(merged.detach().to(self.word.dtype))
        self.pad_token_id = embeddings.pad_token_id
        bigram = embeddings.bigram
        self.bigram = None if bigram is None else nn.Parameter(bigram.weight.detach().clone())
        self.norm = copy.deepcopy(embeddings.norm)
        self.projection = copy.deepcopy(embeddings.projection)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Hidden states (batch, length, hidden) of ``input_ids`` (batch, length)."""
        hidden = F.embedding(input_ids, self.word) + self.position[: input_ids.shape[1]]
        if self.bigram is not None:
            hidden = hidden + F.embedding(bigram_rows(input_ids, self.pad_token_id, len(self.bigram)), self.bigram)
        hidden = self.norm(hidden)
        return hidden if self.projection is None else self.projection(hidden)


class FeedForward(nn.Module):
    """What follows attention in a layer: the norms and the feed-forward block, on all rows or those that are read."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.output_norm = copy.deepcopy(layer.output_norm)
        self.up = copy.deepcopy(layer.up)
        self.down = copy.deepcopy(layer.down)
        self.down_norm = copy.deepcopy(layer.down_norm)
        self.activation = layer.activation

    def forward(self, attended: Tensor) -> Tensor:
        """Transform rows (…, hidden), residual already added, keeping their shape."""
        row = self.output_norm(attended)
        return self.down_norm(row + self.down(self.activation(self.up(row))))


class FullLayer(nn.Module):
    """A layer below the last one, of which every row is needed."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.attention = FullAttention(layer)
        self.feed_forward = FeedForward(layer)

    def forward(self, hidden: Tensor, masked: Tensor) -> Tensor:
        """Transform ``hidden`` (batch, length, hidden); ``masked`` as ``masked_scores`` gives it."""
        output: Tensor = self.feed_forward(self.attention(hidden, masked))
        return output


class RewrittenClassifier(nn.Module):
    """A ``SequenceClassifier`` whose last layer computes only what the classifier reads.

    ``kind`` is ``FIXED_QUERY`` where the row that is read is the same in every text (one layer, [CLS] at position 0),
    else ``ROW_QUERY``.
    """

    def __init__(self, model: SequenceClassifier, cls_token_id: int) -> None:
        super().__init__()
        encoder = model.encoder
        last = cast(Layer, encoder.layers[-1])
        plain = type(encoder.embeddings) is Embeddings
        self.kind = FIXED_QUERY if plain and reads_constant_row(model) else ROW_QUERY
        self.markers = model.config.markers
        self.embeddings = MergedEmbeddings(encoder.embeddings) if plain else copy.deepcopy(encoder.embeddings)
        self.convolution = copy.deepcopy(encoder.convolution)
        self.layers = nn.ModuleList(FullLayer(cast(Layer, layer)) for layer in encoder.layers[:-1])
        if self.kind == FIXED_QUERY:
            self.attention: nn.Module = FixedQueryAttention(last, constant_row(encoder, cls_token_id))
        else:
            self.attention = RowQueryAttention(last)
        self.feed_forward = FeedForward(last)
        self.pooler = copy.deepcopy(model.pooler)
        self.classifier = copy.deepcopy(model.classifier)
        self.readout_activation = model.readout_activation

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (batch, labels) of ``input_ids`` and ``attention_mask``, both (batch, length), the mask 0 at padding.

        With a fixed query ``input_ids[:, 0]`` has to be [CLS], as every tokenizer's output is.
        """
        hidden = self.embeddings(input_ids)
        if self.convolution is not None:
            hidden = self.convolution(hidden, attention_mask)
        masked = masked_scores(attention_mask, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, masked)
        if self.kind == FIXED_QUERY:
            rows = self.feed_forward(self.attention(hidden, masked))
        else:
            rows = self.feed_forward(self.attention(hidden, masked, self._read(hidden, input_ids)))
        return self.classifier(self.readout_activation(self.pooler(rows.reshape(-1, self.pooler.in_features))))

    def _read(self, hidden: Tensor, input_ids: Tensor) -> Tensor:
        if not self.markers:
            return hidden[:, :1]
        rows = torch.stack([(input_ids == marker).int().argmax(dim=1) for marker in self.markers], dim=1)
        return gather_rows(hidden, rows)


def rewrite(model: SequenceClassifier, cls_token_id: int) -> RewrittenClassifier:
    """The rewritten ``model``, in evaluation mode and of its dtype; ``model`` itself is left as it is.

    ``cls_token_id`` is the token that begins every text. Logits agree within rounding (tested to 1e-10 in float64).
    """
    with torch.no_grad():
        return RewrittenClassifier(model, cls_token_id).eval()


def reads_constant_row(model: SequenceClassifier) -> bool:
    """Whether the row that the classifier reads enters the last layer the same in every text."""
    config = model.config
    return config.num_hidden_layers == 1 and config.convolution is None and not config.markers


def constant_row(encoder: Encoder, cls_token_id: int) -> Tensor:
    """The embedding of [CLS] at position 0, (hidden), as it enters the first layer."""
    embeddings = copy.deepcopy(encoder.embeddings).double().eval()
    ids = torch.full((1, 1), cls_token_id, device=embeddings.word.weight.device)
    row: Tensor = embeddings(ids)[0, 0].detach()
    return row
