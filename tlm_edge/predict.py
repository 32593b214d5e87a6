"""Labelling a stream of texts in bounded memory, and how predictions are written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TextIO

from tlm_edge.data.texts import stream_texts, stream_texts_of_pipe
from tlm_edge.runtime.classifier import Classifier, Prediction
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.evaluate import CHUNK
from tlm_edge.runtime.tokenize import well_formed

#: Texts and characters of the first chunk: small, so that a slow pipe's first answers come at once.
_FIRST_CHUNK = 1
_GROWTH = 4
_CHUNK_CHARACTERS = 1 << 24


def input_texts(texts: Sequence[str], source: str | None, pipe: TextIO) -> Iterator[str]:
    """The texts given, or those of the file ``source`` (``-`` is the pipe), or those of the pipe.

    Raises ``UserError`` if there are both or neither, or if the file can't be read.
    """
    if texts and source is not None:
        raise UserError("give texts or --input, not both")
    if texts:
        return iter(texts)
    if source is not None and source != "-":
        return stream_texts(Path(source))
    if source is None and pipe.isatty():
        raise UserError("no texts: give some after the model, or a file with --input, or a pipe")
    return stream_texts_of_pipe(pipe.buffer)


def predict_stream(classifier: Classifier, texts: Iterable[str], top_k: int | None = None) -> Iterator[Prediction]:
    """One prediction a text, in their order, holding no more than a chunk of texts at a time."""
    texts = iter(texts)
    size = _FIRST_CHUNK
    while chunk := _take(texts, size):
        yield from classifier.predict(chunk, top_k)
        size = min(size * _GROWTH, CHUNK)


def format_json(prediction: Prediction) -> str:
    """One line of JSON: ``text``, ``label``, ``score``, ``scores``, and of a cascade ``members_used``."""
    content = asdict(prediction)
    if prediction.members_used is None:
        del content["members_used"]
    line = json.dumps(content, ensure_ascii=False)
    # Half a surrogate pair can't be written as UTF-8, but as an escape.
    return line if _is_well_formed(line) else json.dumps(content)


def format_line(prediction: Prediction, labels: Sequence[str], top_k: int = 1) -> str:
    """One line for people: the best ``top_k`` labels with their probabilities, and as much of the text as fits."""
    width = max(map(len, labels))
    best = "  ".join(f"{label:<{width}} {score:.3f}" for label, score in list(prediction.scores.items())[:top_k])
    text = " ".join(well_formed(prediction.text).split())
    room = max(20, shutil.get_terminal_size().columns - len(best) - 2)
    return f"{best}  {text if len(text) <= room else text[: room - 1] + '…'}"


def _take(texts: Iterator[str], size: int) -> list[str]:
    chunk: list[str] = []
    characters = 0
    for text in islice(texts, size):
        chunk.append(text)
        characters += len(text)
        if characters > _CHUNK_CHARACTERS:
            break
    return chunk


def _is_well_formed(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
