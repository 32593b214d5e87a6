"""What every target of a model has in common: the model, the texts to check on, and PyTorch's answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlm_edge.export.source import SourceModel, load_source
from tlm_edge.export.texts import ODD_TEXTS, CheckTexts, calibration_sequences, sequences_of_many_lengths, texts_for
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.layout import Layout
from tlm_edge.runtime.parity import Reference
from tlm_edge.shipped import resolve_model


@dataclass(frozen=True)
class Prepared:
    """A model to export.

    ``reference`` are token sequences with PyTorch's logits; ``expected`` PyTorch's probabilities (texts, labels) of the
    texts of ``checks`` followed by ``ODD_TEXTS``; ``calibration`` the token sequences to calibrate on.
    """

    source: SourceModel
    checks: CheckTexts
    reference: Reference
    expected: np.ndarray
    calibration: tuple[tuple[int, ...], ...]


def prepare(
    model: str | Path,
    *,
    max_length: int | None = None,
    data: str | None = None,
    calibration_data: Path | None = None,
    layout: Layout | None = None,
) -> Prepared:
    """Load a checkpoint, committee or shipped model with what it takes to check what is made of it.

    Texts are cut to ``max_length`` tokens, the model's positions if ``None``. ``data`` are labelled texts to check
    accuracy on, the shipped evaluation texts if ``None`` and their labels are the model's; ``calibration_data`` texts
    to calibrate on, the sequences that are checked on if ``None``. ``layout`` is that of ``load_source``.
    Raises ``UserError`` if one of these can't be read or doesn't fit the model.
    """
    source = load_source(resolve_model(model), max_length, layout)
    checks = texts_for(source.labels, data)
    sequences = sequences_of_many_lengths(source, checks.texts)
    calibration = sequences if calibration_data is None else calibration_sequences(source, calibration_data)
    return Prepared(
        source=source,
        checks=checks,
        reference=Reference(sequences, source.logits(sequences)),
        expected=source.probabilities((*checks.texts, *ODD_TEXTS)),
        calibration=calibration,
    )


def bucket_lengths(prepared: Prepared, buckets: tuple[int, ...] | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths in tokens to prepare where a target's inputs can't vary: ascending, the last one the maximum.

    They are ``buckets``, or those of ``usual`` that fit the model if ``None``.
    Raises ``UserError`` if one of ``buckets`` is no length, or longer than the model's texts.
    """
    longest = prepared.source.max_length
    for length in buckets or ():
        if not 1 <= length <= longest:
            raise UserError(f"--buckets {length}: {prepared.source.name} takes texts of 1 to {longest} tokens")
    return (*sorted({length for length in buckets or usual if length < longest}), longest)
