"""Opening a bundle, a folder or a zip: nothing in it is loaded before its hash is checked."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE, Manifest, is_inside, parse_manifest

#: A manifest is a few kilobytes; more than this in a zip is not one.
_MANIFEST_BYTES = 1 << 20

#: The signature of a zip's first entry (PKWARE's APPNOTE.TXT, 4.3.7).
_ZIP_BEGINS = b"PK\x03\x04"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose files are those of its manifest.

    A zip, ``archive``, is unpacked into a temporary folder that lives as long as this object.
    """

    folder: Path
    manifest: Manifest
    archive: Path | None = None
    unpacked: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @property
    def path(self) -> Path:
        """What was opened: the folder, or the zip."""
        return self.archive or self.folder

    @property
    def model_file(self) -> Path:
        """The file that the target runtime loads."""
        return self.folder / self.manifest.model_file

    @property
    def tokenizer_file(self) -> Path:
        """The ``tokenizer.json``."""
        return self.folder / self.manifest.tokenizer_file


def is_bundle(path: Path) -> bool:
    """Whether ``path`` looks like a bundle: a folder with a manifest, or a zip, even if only its beginning is left."""
    if not path.is_file():
        return (path / MANIFEST_FILE).is_file()
    with path.open("rb") as file:
        return file.read(len(_ZIP_BEGINS)) == _ZIP_BEGINS or zipfile.is_zipfile(path)


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle and compare every file with the manifest.

    Raises ``UserError`` if there is no manifest or it can't be read (see ``parse_manifest``), if a file is missing or
    isn't the one that was exported, and if a name in a zip leads out of its folder.
    """
    path = Path(path)
    if path.is_dir():
        manifest = _read_manifest(path)
        _check_files(path, manifest)
        return Bundle(path, manifest)
    if not path.exists():
        raise UserError(f"no bundle at {path}")
    unpacked = tempfile.TemporaryDirectory(prefix="tlm-edge-bundle-")
    try:
        manifest = _unpack(path, Path(unpacked.name))
        _check_files(Path(unpacked.name), manifest)
    except BaseException:
        unpacked.cleanup()
        raise
    return Bundle(Path(unpacked.name), manifest, path, unpacked)


def _read_manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST_FILE
    try:
        return parse_manifest(file.read_bytes(), str(file))
    except FileNotFoundError:
        raise UserError(f"{folder} is not a bundle: it has no {MANIFEST_FILE}") from None
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from error


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, record in manifest.files.items():
        file = folder / name
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{file} of the bundle can't be read: {error.strerror}; copy the bundle again") from error
        if digest != record.sha256:
            size = file.stat().st_size
            what = f"is {size} bytes long instead of {record.bytes}" if size != record.bytes else "was altered"
            raise UserError(f"{file} {what}: it is not the file that was exported; copy the bundle again")


def _unpack(path: Path, folder: Path) -> Manifest:
    """Write the files that the manifest in the zip names, and no others, into ``folder``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpack_archive(archive, path, folder)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise UserError(f"{path} is not a readable zip ({error}): copy the bundle again") from error
    except OSError as error:
        raise UserError(f"{path} can't be unpacked: {error.strerror or error}") from error


def _unpack_archive(archive: zipfile.ZipFile, path: Path, folder: Path) -> Manifest:
    entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    for name in entries:
        if not is_inside(name):
            raise UserError(f"{path}: the name {name!r} leads out of the bundle; it is refused")
    # A zip made from the folder, rather than from its content, has everything one level down.
    manifests = [name for name in entries if name == MANIFEST_FILE or name.endswith("/" + MANIFEST_FILE)]
    if not manifests:
        raise UserError(f"{path} is not a bundle: it has no {MANIFEST_FILE}")
    prefix = min(manifests, key=len).removesuffix(MANIFEST_FILE)
    entry = entries[prefix + MANIFEST_FILE]
    if entry.file_size > _MANIFEST_BYTES:
        raise UserError(f"{path}: its {MANIFEST_FILE} has {entry.file_size} bytes; it is not a manifest")
    content = archive.read(entry)
    manifest = parse_manifest(content, f"{path}!{entry.filename}")
    (folder / MANIFEST_FILE).write_bytes(content)
    for name, record in manifest.files.items():
        stored = entries.get(prefix + name)
        if stored is None:
            raise UserError(f"{path} lacks {name}, which its {MANIFEST_FILE} names: copy the bundle again")
        if stored.file_size != record.bytes:
            raise UserError(f"{path}: {name} is {stored.file_size} bytes long instead of {record.bytes}: copy it again")
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(stored) as source, file.open("wb") as sink:
            _copy(source, sink, record.bytes)
    return manifest


def _copy(source: IO[bytes], sink: IO[bytes], size: int) -> None:
    """Copy at most ``size`` bytes: an entry may unpack to more than its header says."""
    left = size
    while left and (chunk := source.read(min(left, 1 << 20))):
        sink.write(chunk)
        left -= len(chunk)
