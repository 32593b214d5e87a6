"""What a classifier can be, alone or in a committee: an encoder of ours, one of transformers', or n-grams."""

from __future__ import annotations

from pathlib import Path

from tlm_edge.modeling.checkpoint import load_classifier
from tlm_edge.modeling.config import EncoderConfig, read_config, read_content
from tlm_edge.modeling.foreign import FOREIGN, ForeignClassifier, load_foreign_classifier
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.modeling.ngrams import NGRAMS, NgramClassifier, NgramConfig, load_ngrams

#: A member of a committee, or a plain checkpoint's model.
Member = SequenceClassifier | ForeignClassifier | NgramClassifier


def load_member(folder: Path) -> Member:
    """Load a classifier's checkpoint in float32, ready for inference.

    Raises ``UserError`` if it is none, or of no kind known here; ``MissingExtraError`` if it takes transformers and
    that is missing.
    """
    if read_content(folder).get("model_type") in FOREIGN:
        return load_foreign_classifier(folder)
    return load_ours(folder)


def load_ours(folder: Path) -> SequenceClassifier | NgramClassifier:
    """Load a classifier that is trained here. Raises ``UserError`` as ``load_member``."""
    return load_ngrams(folder) if read_content(folder).get("model_type") == NGRAMS else load_classifier(folder)


def read_member_config(folder: Path) -> EncoderConfig | NgramConfig:
    """The configuration of an encoder's or n-grams' checkpoint. Raises ``UserError`` if it is neither."""
    content = read_content(folder)
    if content.get("model_type") == NGRAMS:
        return NgramConfig.from_json(content, str(folder / "config.json"))
    return read_config(folder)
