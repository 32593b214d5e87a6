"""Datasets of the Hugging Face hub, or local folders in the hub's layout, through the ``datasets`` library."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tlm_edge.extras import require_extra
from tlm_edge.files import sha256_file
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    import datasets

Dataset: TypeAlias = "datasets.Dataset"

_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?")
_FILE_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".gz", ".parquet", ".zip")


@dataclass(frozen=True)
class HubName:
    """A hub dataset ``owner/name``, or a local folder in the hub's layout, with an optional configuration."""

    name: str
    config: str | None = None

    @property
    def folder(self) -> Path | None:
        """The local folder, if it is one."""
        return Path(self.name) if Path(self.name).is_dir() else None

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


def load_splits(source: HubName) -> dict[str, Dataset]:
    """The splits of a dataset, memory-mapped.

    Raises ``MissingExtraError`` without the extra ``hub``, ``UserError`` if the dataset can't be had.
    """
    require_extra("hub", for_what=f"the dataset {source}")
    import datasets
    import huggingface_hub

    # Its warnings of every retry would bury the one line that tells what is wrong.
    huggingface_hub.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        return dict(datasets.load_dataset(source.name, source.config, cache_dir=_library_cache(source)))
    except Exception as error:  # the library raises many kinds, of its own and of the network
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{source}: neither a file or folder here nor a dataset that loads from the hub ({reason}); "
            "check the name, and owner/name:configuration where there are several"
        ) from error


def class_names(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """The names of the classes by number, for each column that declares them."""
    return {name: tuple(feature.names) for name, feature in dataset.features.items() if hasattr(feature, "names")}


def corpus_texts(source: HubName) -> Iterator[str]:
    """The column ``text`` of the split ``train``. Raises ``UserError`` if the dataset lacks either."""
    dataset = _corpus_split(source)
    columns = dataset.column_names
    if "text" not in columns:
        raise UserError(f"{source}: a corpus has a column 'text', this dataset has {', '.join(columns)}")
    number = 0
    for batch in dataset.select_columns(["text"]).iter(batch_size=256):
        for text in batch["text"]:
            number += 1
            if not isinstance(text, str):
                raise UserError(f"{source}, split train, row {number}: 'text' is {text!r}, not text; drop the row")
            yield text


def fingerprint(source: HubName) -> str:
    """What identifies a corpus' content: a hub dataset by its revision, a local folder by its files."""
    if source.folder is not None:
        return f"{_digest(source.folder)}:{source.config}"
    return str(_corpus_split(source)._fingerprint)


def _corpus_split(source: HubName) -> Dataset:
    splits = load_splits(source)
    if "train" not in splits:
        raise UserError(f"{source}: a corpus has a split 'train', this dataset has {', '.join(splits)}")
    return splits["train"]


def _library_cache(source: HubName) -> str | None:
    """Where ``datasets`` keeps what it made of a local folder; None for its own place.

    In its own place it would go on using what it made of files that have changed since.
    """
    return None if source.folder is None else str(cache_root() / "datasets" / _digest(source.folder))


def _digest(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and _is_content(file))
    content = [(str(file.relative_to(folder)), sha256_file(file)) for file in files]
    return sha256(json.dumps(content).encode()).hexdigest()[:32]


def _is_content(file: Path) -> bool:
    return file.suffix == ".parquet" or file.name in ("README.md", "dataset_infos.json")
