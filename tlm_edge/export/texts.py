"""The texts that an exported file is checked on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from tlm_edge.data.tasks import load_examples
from tlm_edge.data.texts import stream_texts
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.tokenize import well_formed
from tlm_edge.shipped import models_folder

if TYPE_CHECKING:
    from tlm_edge.export.source import SourceModel

#: Token sequences to compare logits on; all lengths, if the maximum is no larger.
SEQUENCES = 64

#: Texts to calibrate on; more make no figure any better.
CALIBRATION_TEXTS = 512

#: Texts that trip tokenizers and runtimes up; they join the others in every check.
ODD_TEXTS = (
    "",
    " ",
    "\t\n \u00a0",
    "a",
    "?!",
    "NUL \0 and \x07 bell",
    "half of a pair: \ud83d",
    "emoji 👩‍👩‍👧‍👦 🇪🇺 👍🏽",
    "مرحبا بالعالم، كيف حالكم اليوم؟",
    "שלום עולם",
    "今日の天気は晴れです。明日は雨が降るでしょう。",
    "Ünïcödé façade naïve Ångström ﬁn",
    "e\u0301 as two code points, é as one",
    "supercalifragilisticexpialidocious" * 5,
    "https://example.org/a/b?c=d&e=f#g user@example.org $1,234.56 +3.2% 10:45",
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "word " * 600,
)


@dataclass(frozen=True)
class CheckTexts:
    """Whole texts, and their labels as indices, int64 (texts,), where they have the model's labels, else ``None``.

    ``data`` names the file they come from.
    """

    texts: tuple[str, ...]
    labels: np.ndarray | None
    data: str
    file: Path | None


def texts_for(labels: tuple[str, ...], data: str | None) -> CheckTexts:
    """The texts of ``data``, or else the shipped evaluation texts, with labels if these are the model's.

    Raises ``UserError`` if ``data`` can't be read or has other labels.
    """
    if data is not None:
        examples = load_examples(data, labels)
        file = Path(data)
        return CheckTexts(examples.texts, examples.labels, file.name or data, file if file.is_file() else None)
    unlabelled: list[str] = []
    for file in sorted((models_folder() / "evaluation").glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        texts = tuple(row["text"] for row in rows)
        if {row["label"] for row in rows} == set(labels):
            indices = np.array([labels.index(row["label"]) for row in rows], dtype=np.int64)
            return CheckTexts(texts, indices, f"evaluation/{file.name}", file)
        unlabelled += texts
    return CheckTexts(tuple(unlabelled) or ODD_TEXTS, None, "evaluation texts without labels", None)


def sequences_of_many_lengths(source: SourceModel, texts: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Real token sequences from 1 token, [CLS] alone, to the maximum, and those of ``ODD_TEXTS``.

    Each is a stretch of running text between [CLS] and [SEP]; markers, if the model reads any, stand within.
    """
    special = len(source.tokenizer.encode("").ids)
    first, last = _around(source)
    running = [token for text in texts[:200] for token in source.tokenizer.encode(text, add_special_tokens=False).ids]
    longest = source.max_length
    lengths = sorted({round(length) for length in np.linspace(1, longest, min(SEQUENCES, longest))})
    random = Random(0)  # noqa: S311
    sequences = []
    start = 0
    for length in lengths:
        inner = length - special
        body = [running[(start + offset) % len(running)] for offset in range(max(inner, 0))]
        start += len(body)
        for marker in source.members[0].config.markers:
            if body:
                body[random.randrange(len(body))] = marker
        sequences.append(tuple([*first, *body, *last][:length]))
    odd = [source.tokenizer.encode(well_formed(text)).ids for text in ODD_TEXTS]
    return (*sequences, *(tuple(ids) for ids in odd))


def calibration_sequences(source: SourceModel, file: Path) -> tuple[tuple[int, ...], ...]:
    """The token sequences of the first ``CALIBRATION_TEXTS`` texts of ``file`` (see ``data.texts.stream_texts``).

    Raises ``UserError`` if it can't be read or holds no text.
    """
    texts = [well_formed(text) for text in islice(stream_texts(file), CALIBRATION_TEXTS)]
    if not texts:
        raise UserError(f"{file}: no texts to calibrate on; give a text a line, or rows with a column 'text'")
    return tuple(tuple(encoding.ids) for encoding in source.tokenizer.encode_batch_fast(texts))


def _around(source: SourceModel) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    inner = source.tokenizer.encode("a", add_special_tokens=False).ids
    whole = source.tokenizer.encode("a").ids
    before = next(index for index in range(len(whole)) if whole[index : index + len(inner)] == inner)
    return whole[:before], whole[before + len(inner) :]
