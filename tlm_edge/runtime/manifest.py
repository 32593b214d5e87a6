"""What a bundle says about itself: ``manifest.json``, schema version 1 (``manifest.schema.json`` beside this file)."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tlm_edge.runtime.cascade import Cascade
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json
from tlm_edge.runtime.layout import Layout
from tlm_edge.runtime.vote import weights_fault

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
PARITY_FILE = "parity.json"
SCHEMA_FILE = Path(__file__).with_name("manifest.schema.json")


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of the model file; a dimension is a size, or a name where it varies."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class FileRecord:
    """A file of the bundle: its SHA-256 in lower-case hexadecimal and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Source:
    """The checkpoint or committee that was exported; ``sha256`` covers its weights and configuration."""

    name: str
    kind: Literal["checkpoint", "committee"]
    architecture: str
    members: int
    parameters: int
    sha256: str


@dataclass(frozen=True)
class Parity:
    """The file's logits against PyTorch's of the source, on token sequences of ``shortest`` to ``longest`` tokens.

    Every sequence was run alone and, padded, in a batch; ``max_logit_difference`` is the largest absolute difference
    of any logit, ``tolerance`` what was allowed (null where the precision isn't held to one), ``agreement`` the share
    of whole texts that get the same label.
    """

    sequences: int
    shortest: int
    longest: int
    max_logit_difference: float
    tolerance: float | None
    texts: int
    agreement: float
    required_agreement: float


@dataclass(frozen=True)
class Accuracy:
    """Accuracy and macro-F1 of the file on the labelled texts of ``data``; a folder or hub name has no digest.

    ``allowed_drop`` is how far, as a fraction, it may fall behind the source's accuracy in PyTorch.
    """

    data: str
    sha256: str | None
    texts: int
    accuracy: float
    macro_f1: float
    source_accuracy: float
    allowed_drop: float


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    ``parity`` is null only in a bundle that is still being written; ``accuracy`` where no evaluation text has the
    model's labels. ``lengths`` are the only ones the file runs, empty where any up to ``max_length`` will do.
    ``delegated`` is the share of operators that the runtime's fast backend took, null where it has none.
    ``member_files`` are the members' files in voting order where each has its own, of which ``model_file`` is the
    first; ``cascade`` tells when which of them is asked, null where all are. ``weights`` are those of the members'
    votes, empty where all count the same.
    """

    schema_version: int
    name: str
    target: str
    precision: str
    rewrite: str
    delegated: float | None
    labels: tuple[str, ...]
    max_length: int
    lengths: tuple[int, ...]
    pad_token_id: int
    model_file: str
    tokenizer_file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    files: dict[str, FileRecord]
    source: Source
    versions: dict[str, str]
    parity: Parity | None
    accuracy: Accuracy | None
    member_files: tuple[str, ...] = ()
    cascade: Cascade | None = None
    weights: tuple[float, ...] = ()

    @property
    def layout(self) -> Layout:
        """How the members lie in the bundle."""
        return "cascade" if self.cascade is not None else "apart" if self.member_files else "fused"

    @property
    def model_files(self) -> tuple[str, ...]:
        """The files that the runtime loads: one, or one a member."""
        return self.member_files or (self.model_file,)

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON object, in the order of the fields."""
        content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return content


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """The manifest that ``text`` (JSON) holds; ``where`` names it in messages.

    Raises ``UserError`` if it isn't JSON, is of another schema version, lacks a field, has one too many or one of the
    wrong type, or names a file outside the bundle.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}): export the model again") from error
    if not isinstance(content, dict):
        raise UserError(f"{where} is not a JSON object: export the model again")
    _check_version(content.get("schema_version"), where)
    try:
        manifest = from_json(Manifest, content)
        _check_values(manifest)
    except JsonShapeError as error:
        raise UserError(f"{where} is not a manifest: {error}; export the model again") from error
    return manifest


def _check_version(version: Any, where: str) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UserError(f"{where} gives no schema_version: it is not the manifest of a bundle")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{where} is of schema version {version}, this tlm-edge reads up to {SCHEMA_VERSION}: "
            "pip install --upgrade tlm-edge"
        )


def _check_values(manifest: Manifest) -> None:
    if not manifest.labels or len(set(manifest.labels)) != len(manifest.labels):
        raise JsonShapeError("labels: at least one, all different, expected")
    if manifest.max_length < 1:
        raise JsonShapeError("max_length: at least 1 expected")
    if any(length < 1 for length in manifest.lengths):
        raise JsonShapeError("lengths: each at least 1 expected")
    if manifest.delegated is not None and not 0 <= manifest.delegated <= 1:
        raise JsonShapeError("delegated: a share between 0 and 1 expected")
    for name, record in manifest.files.items():
        if not is_inside(name):
            raise JsonShapeError(f"files: the name {name!r} leads out of the bundle")
        if not re.fullmatch("[0-9a-f]{64}", record.sha256) or record.bytes < 0:
            raise JsonShapeError(f"files.{name}: a SHA-256 and a size expected")
    _check_members(manifest)
    for name in (manifest.model_file, manifest.tokenizer_file, *manifest.member_files):
        if name not in manifest.files:
            raise JsonShapeError(f"files: {name!r} is not among them")


def _check_members(manifest: Manifest) -> None:
    files, cascade = manifest.member_files, manifest.cascade
    if files and (len(files) != manifest.source.members or files[0] != manifest.model_file):
        raise JsonShapeError("member_files: none, or one a member, model_file the first, expected")
    if (fault := weights_fault(manifest.weights, manifest.source.members)) is not None:
        raise JsonShapeError(f"weights: {fault}")
    if cascade is None:
        return
    if (fault := cascade.fault()) is not None:
        raise JsonShapeError(f"cascade: {fault}")
    if len(cascade.order) != len(files):
        raise JsonShapeError("cascade: it has to order the member_files")


def is_inside(name: str) -> bool:
    """Whether a file name of a bundle stays in its folder: relative, of plain parts, on any operating system."""
    path = PurePosixPath(name)
    plain = bool(name) and not any(character in name for character in "\\:\0") and path.as_posix() == name
    return plain and not path.is_absolute() and ".." not in path.parts and name != "."
