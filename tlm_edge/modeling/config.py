"""The shape of an encoder, read from and written to Hugging Face's ``config.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tlm_edge.modeling.bigrams import require_vocabulary
from tlm_edge.modeling.hugging_face import FAMILY, in_berts_words
from tlm_edge.runtime.errors import UserError

#: The activations that the encoder computes, by transformers' names (see ``encoder.ACTIVATIONS``).
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")

#: Fields that keep their name in ``config.json``.
_SHARED_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "pad_token_id",
)


@dataclass(frozen=True)
class Convolution:
    """The convolution block of the paper's shallow variants, placed between embeddings and layer.

    ``layers`` times Conv2d + BatchNorm + GELU with ``channels`` channels over the (length, hidden) image, then one
    such stage that ends in a single channel. ``kernel`` is (rows, columns) of that image.
    """

    layers: int
    kernel: tuple[int, int]
    channels: int


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder of the BERT family (post-LN, absolute positions), and how a classifier reads it.

    ``labels`` is empty for a bare encoder. ``markers`` are the ids of the tokens whose rows the classifier reads
    instead of [CLS] (entity markers of relation classification); empty for the usual [CLS] readout.
    ``activation`` is that of the feed-forward blocks, ``readout_activation`` that between pooler and classifier (BERT:
    tanh, DistilBERT: relu, ELECTRA: gelu). ``embedding_size`` is the width of the embeddings where a projection makes
    them as wide as the layers (ELECTRA), ``None`` where they are that wide by themselves. With ``bigram_buckets`` the
    embedding of a token has a third part, that of the pair it makes with the token before it: a row of a table of so
    many (see ``bigrams``), which lets a shallow encoder see order.
    """

    vocab_size: int
    hidden_size: int = 256
    num_hidden_layers: int = 1
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    max_position_embeddings: int = 128
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int = 0
    activation: str = "gelu"
    readout_activation: str = "tanh"
    embedding_size: int | None = None
    convolution: Convolution | None = None
    bigram_buckets: int = 0
    markers: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden size {self.hidden_size} is not a multiple of {self.num_attention_heads} heads: "
                "choose --hidden-size and --heads so that it is"
            )
        if self.bigram_buckets:
            require_vocabulary(self.vocab_size)

    @property
    def is_plain(self) -> bool:
        """Whether Hugging Face's own BERT classes hold this model as it is."""
        usual_readout = self.readout_activation == "tanh" and not self.markers
        usual_embeddings = self.embedding_size is None and not self.bigram_buckets
        return usual_readout and usual_embeddings and self.convolution is None

    @property
    def embedding_width(self) -> int:
        """The width of the embedding tables."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size

    def to_json(self, head: str) -> dict[str, Any]:
        """The content of ``config.json``; ``head`` is ``"MaskedLM"`` or ``"SequenceClassification"``."""
        content: dict[str, Any] = {
            "model_type": "bert" if self.is_plain else "tlm-bert",
            "architectures": [f"BertFor{head}" if self.is_plain else f"TlmBertFor{head}"],
            "hidden_act": self.activation,
            "position_embedding_type": "absolute",
        }
        content |= {name: getattr(self, name) for name in _SHARED_FIELDS}
        if self.convolution is not None:
            content["convolution"] = asdict(self.convolution)
        if self.bigram_buckets:
            content["bigram_buckets"] = self.bigram_buckets
        if self.markers:
            content["markers"] = list(self.markers)
        if self.readout_activation != "tanh":
            content["readout_activation"] = self.readout_activation
        if self.embedding_size is not None:
            content["embedding_size"] = self.embedding_size
        if self.labels:
            content["id2label"] = {str(index): label for index, label in enumerate(self.labels)}
            content["label2id"] = {label: index for index, label in enumerate(self.labels)}
            content["num_labels"] = len(self.labels)
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any], where: str) -> EncoderConfig:
        """Read the content of a ``config.json``; ``where`` names it in errors.

        Raises ``UserError`` for another model type, activation or kind of positions than this encoder computes.
        """
        if content.get("model_type") not in ("tlm-bert", *FAMILY):
            raise UserError(
                f"{where}: model type {content.get('model_type')!r} is no encoder of the BERT family known here"
            )
        content = in_berts_words(content, where)
        activation = content.get("hidden_act", "gelu")
        if activation not in ACTIVATIONS:
            raise UserError(f"{where}: activation {activation!r} is not supported, only {', '.join(ACTIVATIONS)}")
        missing = [name for name in _SHARED_FIELDS[:6] if name not in content]
        if missing:
            raise UserError(f"{where}: {', '.join(missing)} missing: not a complete BERT configuration")
        fields: dict[str, Any] = {name: content[name] for name in _SHARED_FIELDS if content.get(name) is not None}
        if fields.get("pad_token_id", 0) not in range(content["vocab_size"]):
            raise UserError(
                f"{where}: the pad_token_id {fields['pad_token_id']} is none of {content['vocab_size']} tokens"
            )
        fields |= {"activation": activation, "readout_activation": content.get("readout_activation", "tanh")}
        if content.get("embedding_size", content["hidden_size"]) != content["hidden_size"]:
            fields["embedding_size"] = content["embedding_size"]
        if convolution := content.get("convolution"):
            fields["convolution"] = Convolution(
                convolution["layers"], tuple(convolution["kernel"]), convolution["channels"]
            )
        fields["bigram_buckets"] = content.get("bigram_buckets", 0)
        fields["markers"] = tuple(content.get("markers", ()))
        fields["labels"] = read_labels(content, where)
        return cls(**fields)


def read_config(folder: Path) -> EncoderConfig:
    """The configuration of a checkpoint folder. Raises ``UserError`` if it has none or an unsupported one."""
    return EncoderConfig.from_json(read_content(folder), str(folder / "config.json"))


def read_content(folder: Path) -> dict[str, Any]:
    """The JSON object in a folder's ``config.json``. Raises ``UserError`` if there is none."""
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} is not a checkpoint: it has no config.json") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it or save the checkpoint again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; restore it or save the checkpoint again")
    return content


def read_labels(content: dict[str, Any], where: str) -> tuple[str, ...]:
    """The labels in a ``config.json`` by their numbers, transformers' own where a classifier names none.

    Raises ``UserError`` if the numbers have gaps, or a label is named twice.
    """
    names = content.get("id2label")
    if not names:
        classifies = any(name.endswith("ForSequenceClassification") for name in content.get("architectures") or ())
        return tuple(f"LABEL_{index}" for index in range(content.get("num_labels", 2))) if classifies else ()
    if set(names) != {str(index) for index in range(len(names))}:
        raise UserError(f"{where}: id2label numbers its {len(names)} labels other than from 0 on: repair it")
    labels = tuple(str(names[str(index)]) for index in range(len(names)))
    if len(set(labels)) != len(labels):
        raise UserError(f"{where}: id2label gives several numbers the same label: repair it")
    return labels


def _convolutional(hidden: int, heads: int, layers: int, kernel: tuple[int, int], channels: int) -> EncoderConfig:
    return EncoderConfig(
        vocab_size=0,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        convolution=Convolution(layers, kernel, channels),
    )


#: The architectures by name; ``vocab_size`` comes from the tokenizer. ``bert-6`` and ``bert-1`` are the project's
#: sizes (hidden 256); the ``paper-`` ones are those of arXiv 2507.14871 (hidden = 64 a head, FFN 4 × hidden).
ARCHITECTURES: dict[str, EncoderConfig] = {
    "bert-1": EncoderConfig(vocab_size=0),
    "bert-6": EncoderConfig(vocab_size=0, num_hidden_layers=6),
    "bert-1-bigrams": EncoderConfig(vocab_size=0, bigram_buckets=1 << 14),
    "bert-1-conv2": _convolutional(256, 8, 2, (3, 3), 16),
    "paper-bert-6": EncoderConfig(0, 768, 6, 12, 3072),
    "paper-bert-1": EncoderConfig(0, 768, 1, 12, 3072),
    "paper-bert-1-24-heads": EncoderConfig(0, 1536, 1, 24, 6144),
    "paper-bert-1-conv2": _convolutional(768, 12, 2, (3, 3), 64),
    "paper-bert-1-conv2-8-heads": _convolutional(512, 8, 2, (3, 3), 64),
    "paper-bert-1-conv3": _convolutional(768, 12, 3, (3, 3), 32),
    "paper-bert-1-conv2-16x3": _convolutional(768, 12, 2, (16, 3), 64),
}


def architecture(
    name: str,
    *,
    vocab_size: int,
    hidden_size: int | None = None,
    heads: int | None = None,
    layers: int | None = None,
    max_length: int | None = None,
) -> EncoderConfig:
    """The named architecture for a vocabulary, with sizes overridden; the feed-forward block is 4 × hidden.

    Raises ``UserError`` for an unknown name or sizes that don't fit together.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"no architecture '{name}': choose one of {', '.join(ARCHITECTURES)}")
    preset = ARCHITECTURES[name]
    hidden = hidden_size or preset.hidden_size
    return replace(
        preset,
        vocab_size=vocab_size,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_attention_heads=heads or preset.num_attention_heads,
        num_hidden_layers=layers or preset.num_hidden_layers,
        max_position_embeddings=max_length or preset.max_position_embeddings,
    )
