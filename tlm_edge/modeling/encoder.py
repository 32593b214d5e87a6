"""The encoder: BERT (Devlin et al., arXiv 1810.04805), post-LN, with rows that nobody reads left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.modeling.bigrams import bigram_rows
from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.modeling.convolution import ConvolutionBlock
from tlm_edge.modeling.dropout import Dropout, dropout

_tanh_gelu = partial(F.gelu, approximate="tanh")
#: The activations by transformers' names.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


class Embeddings(nn.Module):
    """Token + position + type embedding, LayerNorm, dropout: (batch, length) ids → (batch, length, hidden).

    Where the configuration has them, the pair of a token and the one before it adds a row of its own.
    Where they are narrower than the layers, a projection widens them at the end.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.embedding_width
        self.word = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position = nn.Embedding(config.max_position_embeddings, width)
        self.token_type = nn.Embedding(config.type_vocab_size, width)
        self.pad_token_id = config.pad_token_id
        self.bigram = nn.Embedding(config.bigram_buckets, width) if config.bigram_buckets else None
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.projection = None if config.embedding_size is None else nn.Linear(width, config.hidden_size)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embed ``input_ids``."""
        length = input_ids.shape[1]
        hidden = self.word(input_ids) + self.position.weight[:length] + self.token_type.weight[0]
        if self.bigram is not None:
            hidden = hidden + self.bigram(bigram_rows(input_ids, self.pad_token_id, self.bigram.num_embeddings))
        hidden = self.dropout(self.norm(hidden))
        return hidden if self.projection is None else self.projection(hidden)


class Layer(nn.Module):
    """Multi-head self-attention and a feed-forward block, each with residual and LayerNorm behind it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.num_attention_heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.output_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.up = nn.Linear(hidden, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, hidden)
        self.down_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.attention_dropout = config.attention_probs_dropout_prob
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, hidden: Tensor, visible: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """Transform ``hidden`` (batch, length, hidden); return all rows, or only ``rows`` (batch, chosen).

        ``visible`` (batch, 1, 1, length) is False where a position is padding; None if there is none. Rows that
        nobody reads need keys and values but neither query nor feed-forward block.
        """
        asking = hidden if rows is None else gather_rows(hidden, rows)
        query = self._split(self.query(asking))
        if self.training and self.heads * asking.shape[1] <= hidden.shape[2]:
            attended = self._attend_from_few(query, hidden, visible)
        elif self.training and self.attention_dropout and hidden.device.type == "cpu":
            scores = query * query.shape[-1] ** -0.5 @ self._split(self.key(hidden)).transpose(2, 3)
            attended = self._weights(scores, visible) @ self._split(self.value(hidden))
        else:
            attended = F.scaled_dot_product_attention(
                query,
                self._split(self.key(hidden)),
                self._split(self.value(hidden)),
                attn_mask=visible,
                dropout_p=self.attention_dropout if self.training else 0.0,
            )
        attended = self.output(attended.transpose(1, 2).flatten(2))
        asking = self.output_norm(asking + self.dropout(attended))
        return self.down_norm(asking + self.dropout(self.down(self.activation(self.up(asking)))))

    def _attend_from_few(self, query: Tensor, hidden: Tensor, visible: Tensor | None) -> Tensor:
        """Attention of a few queries (batch, heads, rows, size a head) without projecting every position.

        Exactly the same by associativity: q · (K x + b) = (Kᵀq) · x + q · b, and Σ a (V x + b) = V Σ a x + b Σ a.
        """
        key, value = (part.weight.unflatten(0, (self.heads, -1)) for part in (self.key, self.value))
        key_bias, value_bias = (part.bias.unflatten(0, (self.heads, 1, -1)) for part in (self.key, self.value))
        query = query * query.shape[-1] ** -0.5
        asked = torch.einsum("bhrs,hsi->bhri", query, key).flatten(1, 2)
        scores = (asked @ hidden.transpose(1, 2)).unflatten(1, query.shape[1:3])
        scores = scores + (query * key_bias).sum(dim=-1, keepdim=True)
        weights = self._weights(scores, visible)
        pooled = (weights.flatten(1, 2) @ hidden).unflatten(1, query.shape[1:3])
        projected = torch.einsum("bhri,hsi->bhrs", pooled, value)
        return projected + weights.sum(dim=-1, keepdim=True) * value_bias

    def _weights(self, scores: Tensor, visible: Tensor | None) -> Tensor:
        """Attention weights in training, some of them dropped."""
        if visible is not None:
            scores = scores.masked_fill(~visible, float("-inf"))
        return dropout(scores.softmax(dim=-1), self.attention_dropout)

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Encoder(nn.Module):
    """Embeddings, the paper's convolution block where the architecture has one, and the layers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.convolution = ConvolutionBlock(config.convolution) if config.convolution else None
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Hidden states of the last layer.

        ``input_ids`` (batch, length) long; ``attention_mask`` (batch, length), 0 at padding, None if there is none;
        ``rows`` (batch, chosen) long: the positions wanted. Returns (batch, length or chosen, hidden).
        """
        hidden = self.embeddings(input_ids)
        if self.convolution is not None:
            hidden = self.convolution(hidden, attention_mask)
        visible = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        for layer in self.layers[:-1]:
            hidden = layer(hidden, visible)
        return self.layers[-1](hidden, visible, rows)


def gather_rows(hidden: Tensor, rows: Tensor) -> Tensor:
    """Pick ``rows`` (batch, chosen) of ``hidden`` (batch, length, hidden): (batch, chosen, hidden)."""
    return torch.gather(hidden, 1, rows.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
