"""Texts to classify, one after another: from a file or a pipe, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tlm_edge.data.lines import MAX_LINE_BYTES, decode, read_lines, suffix
from tlm_edge.data.rows import SUFFIXES, read_rows
from tlm_edge.runtime.errors import UserError

_TEXT = "text"


def stream_texts(file: Path) -> Iterator[str]:
    """The texts of a file: the column ``text`` of CSV, TSV or JSON Lines (told by the name), else one a line.

    A file of another name whose first line is a JSON object with ``text`` is read as JSON Lines. Gzip is unpacked.
    Blank lines of a plain file are texts too. Raises ``UserError``, naming file and line, for what can't be read.
    """
    if suffix(file) in SUFFIXES:
        for row in read_rows(file):
            yield _text_of(row.cells, row.place)
    else:
        yield from _texts_of_lines(read_lines(file), str(file))


def stream_texts_of_pipe(stream: BinaryIO) -> Iterator[str]:
    """The texts of standard input, one a line, or JSON Lines as in ``stream_texts``."""
    return _texts_of_lines(_pipe_lines(stream), "standard input")


def _pipe_lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    where = Path("standard input")
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise UserError(f"{where}, line {number}: longer than {MAX_LINE_BYTES >> 20} MiB; split it")
        yield number, decode(raw, where, number)


def _texts_of_lines(lines: Iterable[tuple[int, str]], where: str) -> Iterator[str]:
    as_json = False
    for number, line in lines:
        line = line.rstrip("\r\n")
        if number == 1:
            as_json = _is_json_row(line)
        if not as_json:
            yield line
        elif line:
            yield _text_of(_parse(line, f"{where}, line {number}"), f"{where}, line {number}")


def _is_json_row(line: str) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and isinstance(row.get(_TEXT), str)


def _parse(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON ({error}); the first line was, so every line has to be") from error


def _text_of(cells: Any, place: str) -> str:
    text = cells.get(_TEXT) if isinstance(cells, dict) else None
    if not isinstance(text, str):
        raise UserError(f"{place}: no '{_TEXT}' in it; give rows with a column of that name, or a plain text a line")
    return text
