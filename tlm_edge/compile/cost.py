"""Parameters, bytes, multiply-adds and activations of a classifier by part, as written and rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.modeling.ngrams import NgramConfig

_FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Part:
    """One part of a model for one text of a given length.

    ``multiply_adds`` counts matrix products and convolutions, which are all but a few percent of the arithmetic.
    ``bytes_read`` are the weights that one text touches, in float32: of the tables only the rows it looks up.
    ``activation_bytes`` are the intermediate results in float32 that have to be in memory at once while the part runs,
    its input among them, where every result that can takes the place of what it was computed from.
    """

    name: str
    parameters: int
    multiply_adds: int
    bytes_read: int
    activation_bytes: int


def total(parts: tuple[Part, ...], name: str = "total") -> Part:
    """The sum of ``parts`` as one; they run one after another, so that their activations never meet."""
    return Part(
        name,
        sum(part.parameters for part in parts),
        sum(part.multiply_adds for part in parts),
        sum(part.bytes_read for part in parts),
        max(part.activation_bytes for part in parts),
    )


def cost_as_written(config: EncoderConfig, length: int) -> tuple[Part, ...]:
    """The parts of a ``SequenceClassifier`` that computes every row of every layer, for a text of ``length`` tokens."""
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    projections = 4 * hidden * hidden
    return (
        _embeddings(
            config, length, tables=config.max_position_embeddings + config.type_vocab_size, rows=2 * length + 1
        ),
        *_convolution(config, length),
        _part(
            "attention",
            layers * (projections + 6 * hidden),
            layers * (length * projections + 2 * length * length * hidden),
            _attending(config, length),
        ),
        _part(
            "feed-forward",
            layers * _feed_forward(config),
            layers * 2 * length * hidden * inner,
            length * (2 * hidden + inner),
        ),
        *_head(config),
    )


def cost_rewritten(config: EncoderConfig, length: int) -> tuple[Part, ...]:
    """The parts of the ``RewrittenClassifier`` of ``config`` for a text of ``length`` tokens."""
    hidden, heads, inner = config.hidden_size, config.num_attention_heads, config.intermediate_size
    rows = max(1, len(config.markers))
    deep = config.num_hidden_layers - 1
    fixed_query = deep == 0 and config.convolution is None and not config.markers
    projections = 4 * hidden * hidden
    # A fixed query is part of a hidden × heads matrix; otherwise each row asks, with a query and an absorbed key.
    asking = hidden * heads if fixed_query else 2 * hidden * hidden + hidden
    ask_arithmetic = 0 if fixed_query else rows * 2 * hidden * hidden
    pooling = 2 * rows * heads * length * hidden
    # The hidden states stay, with the scores and what is pooled by them; before them, the absorbed queries of the rows.
    pooled = length * hidden + rows * heads * (length + hidden)
    return (
        _embeddings(config, length, tables=config.max_position_embeddings, rows=2 * length),
        *_convolution(config, length),
        _part(
            "attention",
            deep * (projections + 6 * hidden) + asking + 2 * hidden * hidden + 3 * hidden,
            deep * (length * projections + 2 * length * length * hidden)
            + ask_arithmetic
            + pooling
            + rows * 2 * hidden * hidden,
            max(pooled, _attending(config, length) if deep else 0),
        ),
        _part(
            "feed-forward",
            config.num_hidden_layers * _feed_forward(config),
            2 * (deep * length + rows) * hidden * inner,
            (length if deep else rows) * (2 * hidden + inner),
        ),
        *_head(config),
    )


def cost_of_ngrams(config: NgramConfig, length: int) -> tuple[Part, ...]:
    """The only part of an ``NgramClassifier``, which is never rewritten, for a text of ``length`` tokens."""
    labels = len(config.labels)
    read = _FLOAT * (2 * length + 1) * labels
    parameters = (config.vocab_size + config.buckets + 1) * labels
    return (Part("n-grams", parameters, 0, read, _FLOAT * 2 * length * labels),)


def _part(name: str, parameters: int, multiply_adds: int, activations: int) -> Part:
    return Part(name, parameters, multiply_adds, _FLOAT * parameters, _FLOAT * activations)


def _embeddings(config: EncoderConfig, length: int, *, tables: int, rows: int) -> Part:
    """``tables`` are the rows of all tables but the tokens', ``rows`` those that a text looks up."""
    width, hidden = config.embedding_width, config.hidden_size
    if config.bigram_buckets:
        tables, rows = tables + config.bigram_buckets, rows + length
    projected = config.embedding_size is not None
    projection = width * hidden + hidden if projected else 0
    return Part(
        "embeddings",
        (config.vocab_size + tables + 2) * width + projection,
        length * width * hidden if projected else 0,
        _FLOAT * ((rows + 2) * width + projection),
        _FLOAT * length * (width + (hidden if projected else width)),
    )


def _attending(config: EncoderConfig, length: int) -> int:
    """Values alive at once in attention of all rows: they themselves, queries, keys, values, and the scores."""
    return length * (4 * config.hidden_size + config.num_attention_heads * length)


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
    image = length * config.hidden_size
    most = max(before + after for before, after in pairwise(widths))
    return (_part("convolution", sum(taps) + per_channel, sum(taps) * image, most * image),)


def _head(config: EncoderConfig) -> tuple[Part, ...]:
    hidden, labels = config.hidden_size, len(config.labels)
    read = hidden * max(1, len(config.markers))
    arithmetic = read * hidden + hidden * labels
    return (_part("pooler and classifier", arithmetic + hidden + labels, arithmetic, read + hidden),)
