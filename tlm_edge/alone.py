"""One process at a time in a folder that is worked in for hours."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlm_edge.runtime.errors import UserError

#: The file that is locked, in the folder itself.
LOCK = ".lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make ``folder``, if there is none, and keep every other process that asks for it out until the block ends.

    The system lifts the lock of a process that dies. Raises ``UserError`` if another process has the folder, or it
    can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / LOCK).open("w")
    except OSError as error:
        raise UserError(f"can't write in {folder}: {error.strerror}; choose another --out") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another process is working in {folder}: wait for it, or stop it") from None
        yield
