"""Multiply-adds of a text and the bytes of weights that it reads, as defined: least counts, so the roofline is one too.

Multiply-adds are those of matrix products, as in ``tlm_edge.compile.cost``; to look a row up and add it counts by the
bytes read. Weights count in the precision they are kept in, activations not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from contenders.contender import Contender
from contenders.ours import members_asked

_FLOAT, _DOUBLE = 4, 8


@dataclass(frozen=True)
class Work:
    """The mean over texts."""

    multiply_adds: float
    bytes_read: float


def work_of(contender: Contender, texts: Sequence[str]) -> Work:
    """The mean work of ``texts``, each at the length that the contender computes it at."""
    count = {"bundle": _bundle, "tfidf": _tfidf, "fasttext": _fasttext, "static": _static}.get(contender.kind, _written)
    each = np.array(count(contender, texts), dtype=np.float64)
    return Work(*each.mean(axis=0).tolist())


def _bundle(contender: Contender, texts: Sequence[str]) -> list[tuple[float, float]]:
    from tlm_edge.modeling.committee import is_committee, member_folders
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.tokenize import TextEncoder

    bundle = open_bundle(contender.folder)
    assert contender.source is not None
    members = member_folders(contender.source) if is_committee(contender.source) else [contender.source]
    cascade, lengths = bundle.manifest.cascade, sorted(bundle.manifest.lengths)
    asked = [len(members)] * len(texts) if cascade is None else members_asked(contender.folder, texts).tolist()
    order = range(len(members)) if cascade is None else cascade.order
    counts = []
    encoder = TextEncoder(bundle.tokenizer_file, bundle.manifest.max_length)
    for ids, turns in zip(encoder.token_ids(texts), asked, strict=True):
        length = next((each for each in lengths if each >= len(ids)), len(ids))
        used = [members[number] for number in order[:turns]]
        counts.append(_encoders(used, length, "rewritten", contender.settings["precision"]))
    return counts


def _written(contender: Contender, texts: Sequence[str]) -> list[tuple[float, float]]:
    """As BERT is published, by transformers or an export that rewrites nothing."""
    from tlm_edge.runtime.tokenize import TextEncoder

    longest = contender.settings["max_length"]
    padded = str(contender.settings["length"]).startswith("padded")
    assert contender.source is not None
    return [
        _encoders([contender.source], longest if padded else len(ids), "as_written", contender.settings["precision"])
        for ids in TextEncoder(contender.folder / "tokenizer.json", longest).token_ids(texts)
    ]


def _encoders(members: Sequence[Path], length: int, form: str, precision: str) -> tuple[float, float]:
    parts = [_part(member, length, form) for member in members]
    narrower = 4 if precision == "int8" else 1
    return sum(part.multiply_adds for part in parts), sum(part.bytes_read for part in parts) / narrower


@cache
def _part(member: Path, length: int, form: str) -> Any:
    from tlm_edge.compile.inspect import inspect_model

    return getattr(inspect_model(member, length), form)[-1]


def _tfidf(contender: Contender, texts: Sequence[str]) -> list[tuple[float, float]]:
    """A sparse row of doubles times a row of labels for each term, and the term's own weight."""
    from contenders.simple import Tfidf

    fitted = Tfidf(contender.folder)
    labels = len(fitted.model.classes_)
    terms = fitted.vectorizer.transform(texts).getnnz(axis=1).tolist()
    return [(count * labels, _DOUBLE * count * (labels + 1)) for count in terms]


def _fasttext(contender: Contender, texts: Sequence[str]) -> list[tuple[float, float]]:
    """A row for each word, for the end of the line and for each pair; half a byte a value where quantized."""
    from contenders.simple import FastText, words

    model = FastText(contender.folder).model
    width, labels = model.get_dimension(), len(model.get_labels())
    row = width / 2 + 1 if model.is_quantized() else _FLOAT * width
    counts = [2 * (len(words(text).split()) + 1) - 1 for text in texts]
    return [(width * labels, count * row + _FLOAT * width * labels) for count in counts]


def _static(contender: Contender, texts: Sequence[str]) -> list[tuple[float, float]]:
    from contenders.static import Static

    fitted = Static(contender.folder)
    dense = sum(fitted.arrays[name].size for name in ("hidden", "weight") if name in fitted.arrays)
    width = fitted.arrays["table"].shape[1]
    return [(dense, _FLOAT * (len(fitted.prepare(text)) * width + dense)) for text in texts]
