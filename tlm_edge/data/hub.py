"""Datasets of the Hugging Face hub, or local folders in the hub's layout, through the ``datasets`` library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlm_edge.extras import require_extra
from tlm_edge.runtime.errors import UserError

_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?")
_FILE_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".gz", ".parquet", ".zip")


@dataclass(frozen=True)
class HubName:
    """A hub dataset ``owner/name``, or a local folder in the hub's layout, with an optional configuration."""

    name: str
    config: str | None = None

    def __str__(self) -> str:
        return self.name if self.config is None else f"{self.name}:{self.config}"


def parse_name(source: str) -> HubName | None:
    """``owner/name`` or ``owner/name:configuration`` as a ``HubName``; None for anything else, files included."""
    match = _NAME.fullmatch(source)
    if match is None or source.startswith(".") or source.lower().endswith(_FILE_SUFFIXES):
        return None
    return HubName(match["name"], match["config"])


def holds_parquet(folder: Path) -> bool:
    """Whether a folder is a copy of a hub dataset: Parquet files in it or below it."""
    return next(folder.rglob("*.parquet"), None) is not None


def load_splits(source: HubName) -> dict[str, Any]:
    """The splits of a dataset as ``datasets.Dataset`` objects (memory-mapped Arrow).

    Raises ``MissingExtraError`` without the extra ``hub``, ``UserError`` if the dataset can't be had.
    """
    require_extra("hub", for_what=f"the dataset {source}")
    import datasets

    try:
        return dict(datasets.load_dataset(source.name, source.config))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{source}: not a local file or folder, and not loaded from the hub: {reason}") from error


def corpus_texts(source: HubName) -> Iterator[str]:
    """The column ``text`` of the split ``train``. Raises ``UserError`` if the dataset lacks either."""
    splits = load_splits(source)
    if "train" not in splits:
        raise UserError(f"{source}: no split 'train' (it has {', '.join(splits)})")
    column = splits["train"].column_names
    if "text" not in column:
        raise UserError(f"{source}: no column 'text' (it has {', '.join(column)})")
    for batch in splits["train"].select_columns(["text"]).iter(batch_size=256):
        yield from batch["text"]


def fingerprint(source: HubName) -> str:
    """What identifies the content of a corpus' split ``train``: the library's fingerprint of revision and files."""
    return "".join(split._fingerprint for name, split in load_splits(source).items() if name == "train")
