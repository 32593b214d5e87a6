"""BERT's relatives on the Hugging Face hub, told in BERT's own words: their configurations and names of tensors.

RoBERTa, DistilBERT and ELECTRA compute what BERT computes, under other names and with small differences: positions
that begin behind the padding id (RoBERTa), no token types (DistilBERT), a narrower embedding (ELECTRA), and another
activation in front of the classifier. All of these the encoder of this package has, so that the exact rewrite and
every target serve them too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

#: Model types that are RoBERTa but for their tokenizer.
_ROBERTA = ("roberta", "xlm-roberta", "camembert")
#: Model types that the encoder of this package computes.
FAMILY = ("bert", *_ROBERTA, "distilbert", "electra")

#: DistilBERT's fields of ``config.json`` → BERT's.
_DISTILBERT_FIELDS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}

_HEAD = {r"classifier\.dense\.": "bert.pooler.dense.", r"classifier\.out_proj\.": "classifier."}
#: Model type → its names of tensors, behind the model's prefix, → BERT's.
_NAMES: dict[str, dict[str, str]] = {
    **dict.fromkeys(_ROBERTA, _HEAD),
    "electra": {r"bert\.embeddings_project\.": "bert.embeddings.projection.", **_HEAD},
    "distilbert": {
        r"bert\.transformer\.layer\.(\d+)\.attention\.q_lin\.": r"bert.encoder.layer.\1.attention.self.query.",
        r"bert\.transformer\.layer\.(\d+)\.attention\.k_lin\.": r"bert.encoder.layer.\1.attention.self.key.",
        r"bert\.transformer\.layer\.(\d+)\.attention\.v_lin\.": r"bert.encoder.layer.\1.attention.self.value.",
        r"bert\.transformer\.layer\.(\d+)\.attention\.out_lin\.": r"bert.encoder.layer.\1.attention.output.dense.",
        r"bert\.transformer\.layer\.(\d+)\.sa_layer_norm\.": r"bert.encoder.layer.\1.attention.output.LayerNorm.",
        r"bert\.transformer\.layer\.(\d+)\.ffn\.lin1\.": r"bert.encoder.layer.\1.intermediate.dense.",
        r"bert\.transformer\.layer\.(\d+)\.ffn\.lin2\.": r"bert.encoder.layer.\1.output.dense.",
        r"bert\.transformer\.layer\.(\d+)\.output_layer_norm\.": r"bert.encoder.layer.\1.output.LayerNorm.",
        r"pre_classifier\.": "bert.pooler.dense.",
    },
}
#: What a model saved without its head begins its names with.
_BARE = ("embeddings.", "embeddings_project.", "encoder.", "transformer.", "pooler.", "convolution.")


def in_berts_words(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The ``config.json`` of one of ``FAMILY`` as BERT's, with ``readout_activation`` and ``embedding_size`` added.

    ``where`` names it in errors. Raises ``UserError`` if a part of it means something that an encoder's classifier
    doesn't compute: a decoder, relative positions, quantized weights, a head for regression or for several labels.
    """
    if content.get("is_decoder"):
        raise UserError(f"{where}: a decoder, which sees only what stands before a token; give an encoder")
    if content.get("position_embedding_type", "absolute") != "absolute":
        # transformers 5 ignores the others, and computes something else than what was trained.
        raise UserError(f"{where}: only absolute position embeddings are supported")
    if content.get("quantization_config"):
        raise UserError(f"{where}: its weights are quantized already; give the checkpoint they were made from")
    if content.get("problem_type") in ("regression", "multi_label_classification"):
        raise UserError(
            f"{where}: a head for {content['problem_type'].replace('_', ' ')}; only classifiers that choose one of "
            "several labels are supported"
        )
    kind = content.get("model_type")
    if kind == "distilbert":
        renamed = {_DISTILBERT_FIELDS.get(name, name): value for name, value in content.items()}
        return renamed | {"type_vocab_size": 1, "layer_norm_eps": 1e-12, "readout_activation": "relu"}
    if kind == "electra":
        return dict(content) | {"readout_activation": "gelu"}
    if kind in _ROBERTA:
        fields = dict(content) | {"pad_token_id": _roberta_pad(content)}
        if "max_position_embeddings" in fields:
            fields["max_position_embeddings"] -= fields["pad_token_id"] + 1
        return fields
    return dict(content)


def rename_tensors(tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint with the configuration ``content`` by BERT's names of today."""
    kind = content.get("model_type", "bert")
    prefix = "roberta." if kind in _ROBERTA else f"{kind}."
    names = _NAMES.get(kind, {})
    renamed = {}
    for name, tensor in tensors.items():
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        name = "bert." + name.removeprefix(prefix) if name.startswith((prefix, *_BARE)) else name
        for theirs, berts in names.items():
            name = re.sub("^" + theirs, berts, name)
        renamed[name] = tensor
    if "cls.predictions.bias" not in renamed and "cls.predictions.decoder.bias" in renamed:
        renamed["cls.predictions.bias"] = renamed["cls.predictions.decoder.bias"]
    words, positions = "bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"
    if kind == "distilbert" and words in renamed:
        renamed["bert.embeddings.token_type_embeddings.weight"] = renamed[words].new_zeros(1, renamed[words].shape[1])
    if kind in _ROBERTA and positions in renamed:
        # The rows up to that of the padding id belong to padding, which nobody reads.
        renamed[positions] = renamed[positions][_roberta_pad(content) + 1 :]
    return renamed


def _roberta_pad(content: Mapping[str, Any]) -> int:
    pad = content.get("pad_token_id")
    return 1 if pad is None else int(pad)
