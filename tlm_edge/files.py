"""Writing files so that nothing half-written stays behind and nothing of the user's is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlm_edge.runtime.errors import UserError


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
    refuse_existing(path, force=force)
    _make_folder(path.parent)
    handle, name = _in_folder(
        path, lambda: tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; rename it to ``path`` on success, delete it on failure.

    With ``force`` the old folder is replaced only once the new one is complete.
    Raises ``UserError`` if ``path`` holds anything and ``force`` is false, or if its parent can't be written.
    """
    refuse_existing(path, force=force)
    _make_folder(path.parent)
    temporary = Path(_in_folder(path, lambda: tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)))
    retired: Path | None = None
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            os.replace(path, retired / path.name)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if retired is not None:
            if not path.exists():
                os.replace(retired / path.name, path)
            shutil.rmtree(retired, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON (UTF-8, trailing newline), atomically."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_file(path: Path) -> str:
    """The SHA-256 digest of a file's content, in lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't make the folder {folder}: {error.strerror}; choose another --out") from error


def _in_folder(path: Path, make: Any) -> Any:
    try:
        return make()
    except OSError as error:
        raise UserError(f"can't write in {path.parent}: {error.strerror}; choose another --out") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
