"""A bundle as one zip, the same to the byte for the same files."""

from __future__ import annotations

import zipfile
from pathlib import Path

#: The earliest time a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)


def write_archive(folder: Path, file: Path) -> None:
    """Write every file of ``folder`` into the zip ``file``: by name, deflated, with one time and one mode for all.

    The bytes then depend on the content alone (and on the version of zlib).
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _TIME)
            entry.create_system = 3  # Unix, on which the mode is read
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
