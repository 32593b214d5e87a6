"""Classification tasks: labelled texts with their label set, checked before hours are spent on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlm_edge.data.columns import Columns, choose_columns, listed
from tlm_edge.data.corpus import encodable
from tlm_edge.data.fewrel import MARKERS
from tlm_edge.data.rows import Row
from tlm_edge.data.splits import SPLIT_NAMES, Split, open_splits
from tlm_edge.runtime.errors import UserError

#: Seed of the draw that ``draw_rows`` makes where none is given.
ROWS_SEED = 42

# Python refuses to convert numbers of thousands of digits.
_MOST_DIGITS = 1000


@dataclass(frozen=True)
class Examples:
    """Texts with their labels, as indices into the label set."""

    texts: tuple[str, ...]
    #: (n,) int64
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Task:
    """A label set with the examples of each split (``train``, ``validation``, ``test``: those there are)."""

    labels: tuple[str, ...]
    splits: dict[str, Examples]
    #: Special tokens that every text has around its two entities (FewRel); empty for ordinary texts.
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    """A split as read: texts, label names, and the place where each label occurs first."""

    texts: list[str]
    labels: list[str]
    first_places: dict[str, str]


def load_task(
    source: str | Path,
    *,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    columns: Sequence[str] = (),
    labels: Sequence[str] | None = None,
) -> Task:
    """Load the splits of ``source``.

    ``source`` is a CSV, TSV, JSON Lines or FewRel JSON file (gzip'd or not), which is the split ``train``; a folder
    with files named ``train``, ``validation`` and ``test``; or a hub dataset (``owner/name`` or
    ``owner/name:configuration``, or a local copy of one in Parquet).

    Several ``text_columns`` are joined by a space; columns not given are guessed if unambiguous; ``columns`` names
    those of CSV and TSV files without a header. The label set is that of the split ``train``, sorted (numbers by value;
    a hub dataset's classes in their own order), or ``labels``; with names for ``labels``, numbers count into them
    from 0. A task whose texts all hold FewRel's markers has ``markers``, whatever its format.

    Raises ``UserError``, naming file and row, for input that can't be read, empty files, missing columns or values, a
    single class, and labels outside the label set.
    """
    opened = {name: split for name, split in open_splits(source, columns, label_column).items() if name in SPLIT_NAMES}
    splits = {name: _read(split, text_columns, label_column) for name, split in opened.items()}
    if labels is not None:
        owner = "the model's labels"
    elif "train" not in splits:
        raise UserError(f"{source}: no split 'train'; a classifier learns from it ({', '.join(SPLIT_NAMES)})")
    else:
        owner = "those of the split 'train'"
        found = splits["train"].first_places
        labels = [name for name in opened["train"].class_names if name in found] or sort_labels(found)
        if len(labels) < 2:
            raise UserError(
                f"{opened['train'].place}: only one class, {labels[0]!r}; a classifier needs rows of two or more"
            )
    examples = {name: _examples(split, labels, owner) for name, split in splits.items()}
    marked = all(marker in text for split in examples.values() for text in split.texts for marker in MARKERS)
    return Task(tuple(labels), examples, MARKERS if marked and examples else ())


def load_examples(
    source: str | Path,
    labels: Sequence[str],
    *,
    split: str | None = None,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    columns: Sequence[str] = (),
) -> Examples:
    """Load one split of ``source`` (see ``load_task``) with a stored label set, as evaluation needs it.

    ``split`` None takes a file as it is, and the split ``test`` of a folder or a hub dataset.
    Raises ``UserError`` as ``load_task`` does, and for a split that isn't there.
    """
    splits = open_splits(source, columns, label_column)
    if split is None:
        split = next(iter(splits)) if len(splits) == 1 else "test"
    if split not in splits:
        raise UserError(f"{source}: no split {split!r}; there is {', '.join(splits)}")
    return _examples(_read(splits[split], text_columns, label_column), labels, "the model's labels")


def draw_rows(examples: Examples, rows_per_label: int, seed: int = ROWS_SEED) -> Examples:
    """At most so many rows of each label, drawn with ``seed``, in their order; a smaller draw is part of a larger one.

    Raises ``UserError`` for fewer than one.
    """
    if rows_per_label < 1:
        raise UserError(f"--rows-per-label {rows_per_label}: give at least 1")
    order = np.random.default_rng(seed).permutation(len(examples))
    drawn = [order[examples.labels[order] == label][:rows_per_label] for label in np.unique(examples.labels)]
    rows = np.sort(np.concatenate(drawn))
    return Examples(tuple(examples.texts[row] for row in rows), examples.labels[rows])


def sort_labels(names: Iterable[str]) -> list[str]:
    """Label names in the order of their indices: by value if all are whole numbers, else by code point."""
    names = list(names)
    numbers = all(_number(name) is not None for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names)


def _read(split: Split, text_columns: Sequence[str], label_column: str | None) -> _Read:
    read = _Read([], [], {})
    chosen: Columns | None = None
    for row in split.rows:
        chosen = chosen or choose_columns(list(row.cells), text_columns, label_column, row.place)
        label = _label(row, chosen.label)
        read.texts.append(" ".join(part for name in chosen.text if (part := _text(row, name))))
        read.labels.append(label)
        read.first_places.setdefault(label, row.place)
    if chosen is None:
        raise UserError(f"{split.place}: empty, it holds no rows; check that it was written completely")
    return read


def _text(row: Row, column: str) -> str:
    text = _cell(row, column)
    if not isinstance(text, str):
        raise UserError(f"{row.place}: {column!r} is {_shortened(text)}, not text; fill it in or drop the row")
    return encodable(text, row.place)


def _label(row: Row, column: str) -> str:
    value = _cell(row, column)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if isinstance(value, str) and value.strip():
        return encodable(value.strip(), row.place)
    raise UserError(
        f"{row.place}: the label {column!r} is {_shortened(value)}, neither a name nor a whole number; "
        "fill it in or drop the row"
    )


def _cell(row: Row, column: str) -> Any:
    if column not in row.cells:
        raise UserError(f"{row.place}: no {column!r} in this row; it has {listed(list(row.cells))}")
    return row.cells[column]


def _examples(read: _Read, labels: Sequence[str], owner: str) -> Examples:
    index = {name: number for number, name in enumerate(labels)}
    named = all(_number(name) is None for name in labels)
    for name, place in read.first_places.items():
        number = _number(name)
        if name in index:
            continue
        if named and number is not None and 0 <= number < len(labels):
            index[name] = number
            continue
        hint = " (numbers count from 0)" if named and number is not None else ""
        raise UserError(
            f"{place}: the label {_shortened(name)} is not among {owner}: {listed(labels)}{hint}; "
            "correct it, or drop its rows"
        )
    return Examples(tuple(read.texts), np.array([index[name] for name in read.labels], dtype=np.int64))


def _number(name: str) -> int | None:
    digits = name.removeprefix("-")
    return int(name) if digits.isascii() and digits.isdigit() and len(digits) < _MOST_DIGITS else None


def _shortened(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"
