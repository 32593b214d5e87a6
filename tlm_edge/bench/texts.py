"""The texts that are timed and labelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tlm_edge.shipped import evaluation_texts

#: The task whose shipped texts are measured on where no data is given, and how records name them.
SHIPPED_TASK = "agnews"
SHIPPED_DATA = f"models/evaluation/{SHIPPED_TASK}.jsonl"


@dataclass(frozen=True)
class BenchTexts:
    """Texts with the names of their labels; ``smoke_test`` where accuracy on them proves little."""

    data: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    smoke_test: bool

    @property
    def sha256(self) -> str:
        """Digest of texts and labels, in their order."""
        content = json.dumps([self.texts, self.labels], ensure_ascii=True).encode()
        return hashlib.sha256(content).hexdigest()

    def sample(self, count: int, seed: int) -> BenchTexts:
        """``count`` of the texts, drawn at random; all of them if there are no more."""
        if count >= len(self.texts):
            return self
        chosen = np.random.default_rng(seed).permutation(len(self.texts))[:count].tolist()
        texts, labels = (tuple(each[index] for index in chosen) for each in (self.texts, self.labels))
        return replace(self, texts=texts, labels=labels)

    def expected(self, labels: Sequence[str]) -> tuple[int, ...] | None:
        """Every text's label as an index into ``labels``; ``None`` where one of them isn't among ``labels``."""
        indices = {label: index for index, label in enumerate(labels)}
        if not set(self.labels) <= set(indices):
            return None
        return tuple(indices[label] for label in self.labels)


def shipped_texts() -> BenchTexts:
    """The shipped evaluation texts. Raises ``UserError`` if the installation has none."""
    rows = [json.loads(line) for line in evaluation_texts(SHIPPED_TASK).read_text("utf-8").splitlines()]
    texts, labels = (tuple(row[column] for row in rows) for column in ("text", "label"))
    return BenchTexts(SHIPPED_DATA, texts, labels, smoke_test=True)


def read_texts(
    data: str,
    labels: tuple[str, ...],
    *,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    columns: Sequence[str] = (),
) -> BenchTexts:
    """Labelled texts from what ``--data`` names, with the label set ``labels``.

    Raises ``UserError`` where they can't be read or have a label that isn't in the set.
    """
    from tlm_edge.data.tasks import load_examples

    examples = load_examples(
        data, labels, text_columns=tuple(text_columns), label_column=label_column, columns=tuple(columns)
    )
    names = tuple(labels[index] for index in examples.labels.tolist())
    return BenchTexts(data, tuple(examples.texts), names, smoke_test=False)
