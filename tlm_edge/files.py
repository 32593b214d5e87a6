"""Writing files so that nothing half-written stays behind and nothing of the user's is lost.

What is being written has a hidden temporary name beside its own, and a lock on it for as long as its writer lives.
What a killed writer left is told by its name and its free lock, and cleared away by the next one that writes there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlm_edge.runtime.errors import UserError

#: How tempfile makes a name unique.
_UNIQUE = "[a-z0-9_]{8}"


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise ``UserError`` if ``path`` holds anything and ``force`` is not given."""
    occupied = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if occupied and not force:
        raise UserError(f"{path} exists already: choose another --out, or replace it with --force")


@contextmanager
def new_file(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, delete it on failure.

    Raises ``UserError`` if ``path`` exists and ``force`` is false, or if its folder can't be written.
    """
    _make_folder(path.parent)
    clear_leftovers(path)
    refuse_existing(path, force=force)
    with _temporary(path, lambda: _make_file(path)) as temporary:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; rename it to ``path`` on success, delete it on failure.

    With ``force`` the old folder is replaced only once the new one is complete.
    Raises ``UserError`` if ``path`` holds anything and ``force`` is false, or if its parent can't be written.
    """
    with scratch_folder(path) as temporary:
        refuse_existing(path, force=force)
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if not path.exists():
            os.replace(temporary, path)
            return
        with _temporary(path, lambda: _make_old_folder(path)) as retired:
            os.replace(path, retired / path.name)
            try:
                os.replace(temporary, path)
            except BaseException:
                os.replace(retired / path.name, path)
                raise


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, which need not exist, and delete it in the end.

    Raises ``UserError`` if the folder of ``path`` can't be written.
    """
    _make_folder(path.parent)
    clear_leftovers(path)
    with _temporary(path, lambda: Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))) as temporary:
        yield temporary


def clear_leftovers(path: Path) -> None:
    """Delete what killed writers of ``path`` left; what one of them was about to replace gets its name back."""
    name = re.escape(path.name)
    for leftover in [entry for entry in path.parent.iterdir() if entry.name.startswith(f".{path.name}.")]:
        is_old = re.fullmatch(rf"\.{name}\.old\.{_UNIQUE}", leftover.name)
        is_new = re.fullmatch(rf"\.{name}\.{_UNIQUE}({re.escape(path.suffix)})?", leftover.name)
        if not is_old and not is_new:
            continue
        try:
            lock = _lock(leftover)
        except OSError:
            continue  # its writer lives, or it is gone already, or it is somebody else's
        if lock is None:
            continue
        try:
            if is_old and (leftover / path.name).exists() and not path.exists():
                os.replace(leftover / path.name, path)
            _delete(leftover)
        finally:
            os.close(lock)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON (UTF-8, trailing newline), atomically."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_file(path: Path) -> str:
    """The SHA-256 digest of a file's content, in lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _temporary(path: Path, make: Callable[[], Path]) -> Iterator[Path]:
    """Yield what ``make`` makes for ``path``, locked, and delete it in the end, if it hasn't been renamed."""
    temporary, lock = _make_locked(path, make)
    try:
        yield temporary
    finally:
        _delete(temporary)
        if lock is not None:
            os.close(lock)


def _make_locked(path: Path, make: Callable[[], Path]) -> tuple[Path, int | None]:
    while True:
        try:
            temporary = make()
        except OSError as error:
            raise UserError(f"can't write in {path.parent}: {error.strerror}; choose another --out") from error
        try:
            lock = _lock(temporary)
        except (BlockingIOError, FileNotFoundError):
            continue  # another writer took it for a leftover in the moment before it was locked
        if lock is None or temporary.exists():
            return temporary, lock
        os.close(lock)


def _lock(path: Path) -> int | None:
    """An open descriptor that holds the lock of ``path``, ``None`` where the file system has no locks.

    Raises ``BlockingIOError`` if another process holds it, ``OSError`` if ``path`` can't be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _make_file(path: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    return Path(name)


def _make_old_folder(path: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't make the folder {folder}: {error.strerror}; choose another --out") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
