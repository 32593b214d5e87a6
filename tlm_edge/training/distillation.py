"""Learning from a teacher: its probabilities beside the labels, and in their place on texts that have none.

Hinton et al., *Distilling the Knowledge in a Neural Network*, arXiv 1503.02531, at temperature 1: a committee's vote is
soft by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tlm_edge.data.texts import stream_texts
from tlm_edge.files import new_file, sha256_file
from tlm_edge.loading import load_model
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.examples import EncodedExamples, encode_examples


@dataclass(frozen=True)
class Distillation:
    """Any classifier as the ``teacher``, and the share (0 … 1) of its probabilities in what is learned.

    The rest are the labels. Texts of the files ``unlabelled`` are learned too, by the teacher's probabilities alone.
    """

    teacher: Path
    weight: float = 0.7
    unlabelled: tuple[Path, ...] = ()


class Teacher:
    """A classifier that is asked for the probabilities of a task's labels, whatever order it has them in."""

    def __init__(self, distillation: Distillation, labels: Sequence[str]) -> None:
        """Load it. Raises ``UserError`` if its labels aren't those of the task."""
        self.settings = distillation
        self._classifier = load_model(distillation.teacher)
        own = list(self._classifier.labels)
        if sorted(own) != sorted(labels):
            raise UserError(
                f"the teacher {distillation.teacher} has the labels {', '.join(own[:6])}, the data "
                f"{', '.join(labels[:6])}: they have to be the same"
            )
        self._columns = [own.index(label) for label in labels]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What it says of ``texts``, (texts, labels); what it was asked before, by whichever student, is remembered."""
        kept = cache_root() / "teachers" / f"{self._digest(texts)}.npy"
        if (known := _read(kept, (len(texts), len(self._columns)))) is not None:
            return known
        given: NDArray[np.float32] = self._classifier.probabilities(texts)[:, self._columns]
        with new_file(kept) as temporary, temporary.open("wb") as file:
            np.save(file, given, allow_pickle=False)
        return given

    def _digest(self, texts: Sequence[str]) -> str:
        """Of all that determines the answers to ``texts``: the teacher's files, the order of labels, the texts."""
        content = hashlib.sha256(json.dumps([self._columns, *texts]).encode())
        folder = self.settings.teacher
        for file in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if file.is_file():
                content.update(f"{file.relative_to(folder)} {sha256_file(file)}".encode())
        return content.hexdigest()

    def targets(self, texts: Sequence[str], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """What is to be learned of labelled ``texts``, (texts, labels)."""
        given = self.probabilities(texts)
        share = np.float32(self.settings.weight)
        return share * given + (1 - share) * np.eye(given.shape[1], dtype=np.float32)[labels]

    def unlabelled(self, tokenizer: Tokenizer, max_length: int, source: int) -> EncodedExamples | None:
        """The unlabelled texts that aren't blank, labelled by the teacher, as the source of that number; or none."""
        texts = [text for file in self.settings.unlabelled for text in stream_texts(file) if text.strip()]
        if not texts:
            return None
        given = self.probabilities(texts)
        labels, sources = given.argmax(axis=1), np.full(len(texts), source)
        return encode_examples(tokenizer, texts, labels, max_length, sources=sources, targets=given)


def _read(kept: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Answers that are remembered; None if there are none, or none that can be read."""
    try:
        rows: NDArray[np.float32] = np.load(kept, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == shape and rows.dtype == np.float32 else None
