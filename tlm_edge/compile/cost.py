"""Parameters, bytes and multiply-adds of a classifier by part, as written and rewritten, from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tlm_edge.modeling.config import EncoderConfig

_FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Part:
    """One part of a model for one text of a given length.

    ``multiply_adds`` counts matrix products and convolutions, which are all but a few percent of the arithmetic.
    ``bytes_read`` are the weights that one text touches, in float32: of the tables only the rows it looks up.
    """

    name: str
    parameters: int
    multiply_adds: int
    bytes_read: int


def total(parts: tuple[Part, ...], name: str = "total") -> Part:
    """The sum of ``parts`` as one."""
    return Part(
        name,
        sum(part.parameters for part in parts),
        sum(part.multiply_adds for part in parts),
        sum(part.bytes_read for part in parts),
    )


def cost_as_written(config: EncoderConfig, length: int) -> tuple[Part, ...]:
    """The parts of a ``SequenceClassifier`` that computes every row of every layer, for a text of ``length`` tokens."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    tables = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size) * hidden
    projections = 4 * hidden * hidden
    attention = length * projections + 2 * length * length * hidden
    return (
        Part("embeddings", tables + 2 * hidden, 0, _FLOAT * (2 * length + 1 + 2) * hidden),
        *_convolution(config, length),
        _part("attention", layers * (projections + 6 * hidden), layers * attention),
        _part("feed-forward", layers * _feed_forward(config), layers * 2 * length * hidden * config.intermediate_size),
        *_head(config),
    )


def cost_rewritten(config: EncoderConfig, length: int) -> tuple[Part, ...]:
    """The parts of the ``RewrittenClassifier`` of ``config`` for a text of ``length`` tokens."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    rows = max(1, len(config.markers))
    deep = config.num_hidden_layers - 1
    tables = (config.vocab_size + config.max_position_embeddings) * hidden
    fixed_query = deep == 0 and config.convolution is None and not config.markers
    projections = 4 * hidden * hidden
    # A fixed query is part of a hidden × heads matrix; otherwise each row asks, with a query and an absorbed key.
    asking = hidden * heads if fixed_query else 2 * hidden * hidden + hidden
    ask_arithmetic = 0 if fixed_query else rows * 2 * hidden * hidden
    pooling = 2 * rows * heads * length * hidden
    return (
        Part("embeddings", tables + 2 * hidden, 0, _FLOAT * (2 * length + 2) * hidden),
        *_convolution(config, length),
        _part(
            "attention",
            deep * (projections + 6 * hidden) + asking + 2 * hidden * hidden + 3 * hidden,
            deep * (length * projections + 2 * length * length * hidden)
            + ask_arithmetic
            + pooling
            + rows * 2 * hidden * hidden,
        ),
        _part(
            "feed-forward",
            config.num_hidden_layers * _feed_forward(config),
            2 * (deep * length + rows) * hidden * config.intermediate_size,
        ),
        *_head(config),
    )


def _part(name: str, parameters: int, multiply_adds: int) -> Part:
    return Part(name, parameters, multiply_adds, _FLOAT * parameters)


def _feed_forward(config: EncoderConfig) -> int:
    hidden, inner = config.hidden_size, config.intermediate_size
    return 2 * hidden * inner + inner + hidden + 2 * hidden


def _convolution(config: EncoderConfig, length: int) -> tuple[Part, ...]:
    if config.convolution is None:
        return ()
    rows, columns = config.convolution.kernel
    widths = [1, *[config.convolution.channels] * config.convolution.layers, 1]
    taps = [rows * columns * before * after for before, after in pairwise(widths)]
    per_channel = sum(3 * width for width in widths[1:])  # bias of the convolution, weight and bias of BatchNorm
    return (_part("convolution", sum(taps) + per_channel, sum(taps) * length * config.hidden_size),)


def _head(config: EncoderConfig) -> tuple[Part, ...]:
    hidden, labels = config.hidden_size, len(config.labels)
    read = hidden * max(1, len(config.markers))
    arithmetic = read * hidden + hidden * labels
    return (_part("pooler and classifier", arithmetic + hidden + labels, arithmetic),)
