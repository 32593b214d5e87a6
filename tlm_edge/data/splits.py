"""Where labelled data comes from: a file, a folder with a file a split, or a hub dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.data import hub
from tlm_edge.data.lines import suffix
from tlm_edge.data.rows import SUFFIXES, Row, read_rows
from tlm_edge.runtime.errors import UserError

#: The splits of a task, and the names that files and hub datasets give them.
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class Split:
    """The rows of one split, read as they are iterated (once), and where they come from."""

    rows: Iterator[Row]
    place: str
    #: Class names by number, where a hub dataset declares them.
    class_names: tuple[str, ...] = ()


def open_splits(source: str | Path, columns: Sequence[str] = (), label_column: str | None = None) -> dict[str, Split]:
    """The splits of ``source``: ``train`` for a single file, else what a folder or a hub dataset has.

    Raises ``UserError`` if ``source`` is none of these.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return {"train": Split(read_rows(path, columns), str(path))}
    if path.is_dir():
        if files := split_files(path):
            return {name: Split(read_rows(file, columns), str(file)) for name, file in files.items()}
        if not hub.holds_parquet(path):
            raise UserError(
                f"{path}: no file named train, validation or test in this folder ({', '.join(SUFFIXES)}, or .gz behind)"
            )
        return _hub_splits(hub.HubName(str(path)), label_column)
    name = hub.parse_name(str(source))
    if name is None:
        raise UserError(f"{source}: no such file or folder; check the path (hub datasets are named owner/name)")
    return _hub_splits(name, label_column)


def split_files(folder: Path) -> dict[str, Path]:
    """The files of ``folder`` that hold its splits, by split. Raises ``UserError`` if two claim the same one."""
    files: dict[str, Path] = {}
    candidates = sorted(file for file in folder.iterdir() if file.is_file() and suffix(file) in SUFFIXES)
    for split, names in SPLIT_NAMES.items():
        found = [file for file in candidates if file.name.split(".")[0].lower() in names]
        if len(found) > 1:
            raise UserError(f"{folder}: {found[0].name} and {found[1].name} are both the split {split!r}; keep one")
        files.update((split, file) for file in found)
    return files


def unused_files(source: str | Path) -> tuple[str, ...]:
    """Names of the files of a folder that could hold rows but are no split, such as ``train_extra.csv``."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return ()
    used = set(split_files(folder).values())
    files = sorted(file for file in folder.iterdir() if file.is_file() and suffix(file) in SUFFIXES)
    return tuple(file.name for file in files if used and file not in used)


def _hub_splits(source: hub.HubName, label_column: str | None) -> dict[str, Split]:
    loaded = hub.load_splits(source)
    splits = {}
    for name, dataset in loaded.items():
        split = next((split for split, names in SPLIT_NAMES.items() if name in names), name)
        place = f"{source}, split {name}"
        class_names = hub.class_names(dataset)
        label = label_column or (next(iter(class_names)) if len(class_names) == 1 else None)
        splits[split] = Split(_hub_rows(dataset, place, class_names), place, class_names.get(label or "", ()))
    return splits


def _hub_rows(dataset: hub.Dataset, place: str, class_names: dict[str, tuple[str, ...]]) -> Iterator[Row]:
    for number, cells in enumerate(dataset, 1):
        named = {
            column: names[cells[column]] if isinstance(cells[column], int) and cells[column] >= 0 else None
            for column, names in class_names.items()
        }
        yield Row(cells | named, f"{place}, row {number}")
