"""Which columns of a table are the text and the label: as told, or guessed where only one reading is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tlm_edge.runtime.errors import UserError

# fmt: off
_TEXT_NAMES = frozenset({
    "text", "texts", "sentence", "content", "body", "document", "review", "comment", "message", "tweet", "utterance",
    "question", "query", "abstract", "article", "description", "title", "headline", "subject", "input",
})
_LABEL_NAMES = frozenset({
    "label", "labels", "class", "class index", "class_index", "category", "target", "topic", "intent", "sentiment",
    "emotion", "relation", "tag",
})
# fmt: on


@dataclass(frozen=True)
class Columns:
    """The columns of the text, joined by a space in this order, and that of the label."""

    text: tuple[str, ...]
    label: str


def choose_columns(names: Sequence[str], text: Sequence[str], label: str | None, place: str) -> Columns:
    """Pick the columns from a table's ``names``: those given, or the only candidates by their names.

    Of two columns, one of which is known, the other is the other. Raises ``UserError``, naming ``place``, when a column
    given is missing, or when none or several could be meant.
    """
    for name in (*text, *(() if label is None else (label,))):
        if name not in names:
            raise UserError(f"{place}: no column {name!r}; there are {listed(names)}")
    if label is None:
        rest = [name for name in names if name not in text]
        label = _only(rest, _LABEL_NAMES, certain=bool(text), what="label", option="--label-column", place=place)
    if not text:
        rest = [name for name in names if name != label]
        remedy = "--text-column (repeat it to join several)"
        text = [_only(rest, _TEXT_NAMES, certain=True, what="text", option=remedy, place=place)]
    if label in text:
        raise UserError(f"{place}: the column {label!r} can't be both text and label")
    return Columns(tuple(text), label)


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names for a message, shortened: a file without a header has a row of text in their place."""
    shown = [repr(name if len(name) <= 24 else name[:23] + "…") for name in names[:most]]
    return ", ".join(shown) + (", …" if len(names) > most else "") if names else "none"


def _only(names: list[str], known: frozenset[str], *, certain: bool, what: str, option: str, place: str) -> str:
    candidates = [name for name in names if name.strip().lower() in known]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates and certain and len(names) == 1:
        return names[0]
    if candidates:
        problem = f"several columns could be the {what} ({listed(candidates)})"
    else:
        problem = f"no column is plainly the {what}; there are {listed(names)}"
    raise UserError(f"{place}: {problem}; say which with {option}, and name them with --columns if there is no header")
