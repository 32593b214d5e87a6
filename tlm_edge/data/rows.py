"""Labelled rows as they stand in a file: CSV, TSV, JSON Lines, JSON; each with its place for messages."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlm_edge.data.fewrel import instances, is_fewrel
from tlm_edge.data.lines import MAX_LINE_BYTES, read_lines, read_text, suffix
from tlm_edge.runtime.errors import UserError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = frozenset({".jsonl", ".ndjson"})
#: Endings of the files that hold labelled rows, before an optional ``.gz``.
SUFFIXES = (*_DELIMITERS, *_JSON_LINES, ".json")


@dataclass(frozen=True)
class Row:
    """One labelled row: its cells by column name, and where it stands."""

    cells: Mapping[str, Any]
    #: ``file, line 12`` or ``file, row 12``, for messages.
    place: str


def read_rows(file: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Stream the rows of a CSV, TSV, JSON Lines or JSON file (an array of objects, or FewRel's layout), gzip'd or not.

    ``columns`` names the columns of a CSV or TSV file that has no header. Blank lines are passed over. The rows of a
    FewRel file have the columns ``text``, with the entities marked, and ``relation``.
    Raises ``UserError``, naming file and line, for whatever can't be read as such a file.
    """
    ending = suffix(file)
    if ending in _DELIMITERS:
        yield from _delimited_rows(file, _DELIMITERS[ending], columns)
        return
    if columns:
        raise UserError(f"{file}: --columns names the columns of CSV and TSV files; JSON has names of its own")
    if ending == ".json" and not _is_json_lines(file):
        content = _parse_json(file)
        yield from _fewrel_rows(file, content) if is_fewrel(content) else _array_rows(file, content)
    elif ending in SUFFIXES:
        yield from _json_lines_rows(file)
    else:
        raise UserError(
            f"{file}: the format is told by the name's ending: {', '.join(SUFFIXES)} (.gz behind it or not)"
        )


def _parse_json(file: Path) -> Any:
    """The content of a JSON file. Raises ``UserError`` naming the line where it isn't JSON."""
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: not JSON ({error.msg}); repair or export it again") from error
    except RecursionError as error:
        raise UserError(f"{file}: nested too deeply to be a table") from error


def _is_json_lines(file: Path) -> bool:
    """Whether the first line is a JSON object by itself, and not the whole of a FewRel file."""
    for _, line in read_lines(file, max_bytes=1 << 30):
        if line.isspace():
            continue
        try:
            first = json.loads(line)
        except ValueError:
            return False
        return isinstance(first, dict) and not is_fewrel(first)
    return True


def _json_lines_rows(file: Path) -> Iterator[Row]:
    for number, line in read_lines(file):
        if line.isspace():
            continue
        place = f"{file}, line {number}"
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}: not JSON ({error}); each line is one JSON object") from error
        if not isinstance(cells, dict):
            raise UserError(f"{place}: not a JSON object; each line is one, with the columns as its fields")
        yield Row(cells, place)


def _fewrel_rows(file: Path, content: dict[str, list[Any]]) -> Iterator[Row]:
    for text, relation, place in instances(content, file):
        yield Row({"text": text, "relation": relation}, place)


def _array_rows(file: Path, content: Any) -> Iterator[Row]:
    if not isinstance(content, list):
        raise UserError(f"{file}: neither JSON Lines, nor an array of objects, nor FewRel's layout")
    for number, cells in enumerate(content, 1):
        if not isinstance(cells, dict):
            raise UserError(f"{file}, row {number}: not a JSON object; each row is one, with the columns as its fields")
        yield Row(cells, f"{file}, row {number}")


def _delimited_rows(file: Path, delimiter: str, columns: Sequence[str]) -> Iterator[Row]:
    # The module's own limit (128 KiB a cell) is lower than that of a line.
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader((line for _, line in read_lines(file)), delimiter=delimiter, strict=True)
    names = list(columns)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{file}, line {line}: {error}; a cell with quotes is quoted, and a quote within it doubled"
            ) from error
        if cells is None:
            return
        if not cells:
            continue
        if not names:
            names = _header(cells, f"{file}, line {line}")
            continue
        if len(cells) != len(names):
            raise UserError(
                f"{file}, line {line}: {_count(len(cells))}, but {_count(len(names))} in the "
                f"{'--columns' if columns else 'header'}; quote cells that hold the delimiter, or repair the row"
            )
        yield Row(dict(zip(names, cells, strict=True)), f"{file}, line {line}")


def _header(cells: list[str], place: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{place}: the header names {min(repeated)!r} twice; is it a header? --columns names them")
    return names


def _count(cells: int) -> str:
    return f"{cells} cell" if cells == 1 else f"{cells} cells"
