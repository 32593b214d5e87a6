"""What stands on the encoder: the masked-language-model head and the sequence classifier."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.modeling.dropout import Dropout
from tlm_edge.modeling.encoder import ACTIVATIONS, Encoder, Layer
from tlm_edge.runtime.errors import UserError


class MaskedLanguageModel(nn.Module):
    """The encoder with BERT's prediction head; the decoder's matrix is the token embedding."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.embedding_size is not None:
            raise UserError("an encoder with narrower embeddings than layers (ELECTRA's) can't be pre-trained here")
        self.config = config
        self.encoder = Encoder(config)
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.activation = ACTIVATIONS[config.activation]
        initialize(self)

    def features(self, input_ids: Tensor, attention_mask: Tensor | None, rows: Tensor | None) -> Tensor:
        """What the decoder multiplies: (batch, chosen or length, hidden); see ``Encoder.forward``."""
        hidden = self.encoder(input_ids, attention_mask, rows)
        return self.transform_norm(self.activation(self.transform(hidden)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Logits over the vocabulary, (batch, chosen or length, vocabulary)."""
        features = self.features(input_ids, attention_mask, rows)
        return nn.functional.linear(features, self.encoder.embeddings.word.weight, self.decoder_bias)


class SequenceClassifier(nn.Module):
    """The encoder with BERT's pooler and a linear classifier, reading the [CLS] row or the marker rows."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        read = config.hidden_size * max(1, len(config.markers))
        self.pooler = nn.Linear(read, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, len(config.labels))
        self.readout_activation = ACTIVATIONS[config.readout_activation]
        initialize(self)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits, (batch, labels), of ``input_ids`` (batch, length) with ``attention_mask`` 0 at padding."""
        return self.classifier(self.dropout(self.features(input_ids, attention_mask)))

    def features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the linear classifier multiplies, (batch, hidden), of the same."""
        hidden = self.encoder(input_ids, attention_mask, self.readout_rows(input_ids)).flatten(1)
        return self.readout_activation(self.pooler(hidden))

    def readout_rows(self, input_ids: Tensor) -> Tensor:
        """Positions the classifier reads, (batch, 1 or markers): [CLS] at 0, or each marker's first occurrence."""
        if not self.config.markers:
            return torch.zeros_like(input_ids[:, :1])
        return torch.stack([(input_ids == marker).int().argmax(dim=1) for marker in self.config.markers], dim=1)


def initialize(model: nn.Module) -> None:
    """Initialise every weight.

    Hidden matrices get a standard deviation of 1/√(inputs) rather than BERT's 0.02, which for narrow models leaves
    the attention switched off for millions of tokens; the position table starts sinusoidal (Vaswani et al., arXiv
    1706.03762), scaled to the size of the other embeddings. Pairs of tokens start at nothing: one that was never seen
    says nothing, and an encoder that is given a table of them stays what it was.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
    for module in model.modules():
        if isinstance(module, Encoder):
            table = module.embeddings.position.weight
            with torch.no_grad():
                table.copy_(sinusoids(*table.shape) * 0.02 * math.sqrt(2))
            if module.embeddings.bigram is not None:
                nn.init.zeros_(module.embeddings.bigram.weight)


def set_dropout(model: nn.Module, probability: float) -> None:
    """Set every dropout of ``model``, the attention's too, to ``probability``; its configuration stays."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
        elif isinstance(module, Layer):
            module.attention_dropout = probability


def sinusoids(positions: int, width: int) -> Tensor:
    """The sinusoidal position table, (positions, width), entries in [-1, 1]."""
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * frequencies[None, :]
    table = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
    return table[:, :width]
