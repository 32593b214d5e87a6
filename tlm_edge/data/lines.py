"""Text files read line by line: plain or gzip'd UTF-8, checked as they are read, in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tlm_edge.runtime.errors import UserError

#: Longest line accepted, in bytes. Longer ones are nearly always a file without line ends, and would be held whole.
MAX_LINE_BYTES = 8 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_LINES_PER_REPORT = 64


def suffix(path: Path) -> str:
    """The ending of a file's name in lower case, a ``.gz`` left out of account."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def read_lines(
    path: Path, *, max_bytes: int = MAX_LINE_BYTES, on_read: Callable[[int], None] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield ``(line number from 1, line with its line end)`` of a plain or gzip'd UTF-8 file.

    A byte-order mark is dropped. ``on_read`` is told now and then how many bytes of the file were read since the last
    time. Raises ``UserError``, naming file and line, for bytes that are not UTF-8, NUL bytes,
    a line longer than ``max_bytes``, a damaged or truncated gzip file, and files that can't be read.
    """
    number, position = 0, 0
    with open_bytes(path) as stream:
        on_disk = getattr(stream, "fileobj", stream)
        while True:
            if on_read is not None and number % _LINES_PER_REPORT == 0:
                on_read(on_disk.tell() - position)
                position = on_disk.tell()
            number += 1
            with explain_read_errors(path, number):
                raw = stream.readline(max_bytes + 1)
            if not raw:
                break
            if len(raw) > max_bytes:
                raise UserError(
                    f"{path}, line {number}: longer than {max_bytes >> 20} MiB; "
                    "split it, or check that the file has line ends"
                )
            yield number, decode(raw, path, number)
        if on_read is not None:
            on_read(on_disk.tell() - position)


def read_text(path: Path) -> str:
    """The whole of a plain or gzip'd UTF-8 file, with the same checks as ``read_lines`` except the line length."""
    with open_bytes(path) as stream, explain_read_errors(path, None):
        raw = stream.read()
    return decode(raw, path, None)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, unpacking gzip, which is told by its first two bytes."""
    with explain_read_errors(path, None):
        stream = path.open("rb")
    with stream:
        with explain_read_errors(path, None):
            packed = stream.read(2) == _GZIP_MAGIC
            stream.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast(BinaryIO, unpacked)
        elif path.suffix.lower() == ".gz" and path.stat().st_size > 0:
            raise UserError(f"{path}: named .gz but not gzip'd; compress it with gzip, or rename it")
        else:
            yield stream


@contextmanager
def explain_read_errors(path: Path, line: int | None) -> Iterator[None]:
    """Turn failures of reading ``path`` at ``line`` into ``UserError``."""
    where = f"{path}" if line is None else f"{path}, line {line}"
    try:
        yield
    except EOFError as error:
        raise UserError(f"{where}: the gzip file ends too early; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{where}: the gzip file is damaged ({error}); copy or download it again") from error
    except OSError as error:
        raise UserError(f"{where}: can't be read ({error.strerror or error}); check the path and its rights") from error


def decode(raw: bytes, path: Path, line: int | None) -> str:
    """Decode UTF-8 strictly. Raises ``UserError`` naming the line of the first bad byte; ``line`` None counts it."""
    bad = raw.find(b"\0")
    reason = "a NUL byte; save the file as UTF-8 text (UTF-16 and binary files have NUL bytes)"
    if bad < 0:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            bad = error.start
            reason = f"the byte 0x{raw[bad]:02x} is not UTF-8; save the file as UTF-8 (iconv -t utf-8 converts)"
        else:
            return text.removeprefix("\ufeff") if line in (None, 1) else text
    number = raw.count(b"\n", 0, bad) + 1 if line is None else line
    raise UserError(f"{path}, line {number}: {reason}")
