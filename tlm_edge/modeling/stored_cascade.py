"""A committee's cascade, kept in its ``committee.json`` and bound to the very members that it was calibrated with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.files import sha256_file, write_json
from tlm_edge.modeling.checkpoint import require_weights
from tlm_edge.modeling.committee import COMMITTEE, member_folders
from tlm_edge.runtime.cascade import Cascade
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json


@dataclass(frozen=True)
class StoredCascade:
    """A cascade with what its calibration showed.

    ``members_sha256`` covers the members' weights in voting order; ``max_drop`` (a fraction) is what of the accuracy
    of all members is lost at most, with ``confidence``, shown on ``rows`` of ``data``, where ``mean_members`` were
    asked.
    """

    order: tuple[int, ...]
    margins: tuple[float, ...]
    members_sha256: str
    max_drop: float
    confidence: float
    data: str
    rows: int
    accuracy: float
    full_accuracy: float
    mean_members: float
    p_value: float

    @property
    def cascade(self) -> Cascade:
        """What is run."""
        return Cascade(self.order, self.margins)


def read_cascade(folder: Path) -> StoredCascade | None:
    """The cascade of the committee in ``folder``, ``None`` if it wasn't calibrated.

    Raises ``UserError`` if it is damaged, or belongs to other members.
    """
    content = json.loads((folder / COMMITTEE).read_bytes()).get("cascade")
    if content is None:
        return None
    try:
        stored = from_json(StoredCascade, content)
    except JsonShapeError as error:
        raise UserError(f"{folder / COMMITTEE}: its cascade is damaged ({error}): {_again(folder)}") from error
    if (fault := stored.cascade.fault()) is not None:
        raise UserError(f"{folder / COMMITTEE}: its cascade is damaged ({fault}): {_again(folder)}")
    if len(stored.order) != len(member_folders(folder)) or stored.members_sha256 != members_digest(folder):
        raise UserError(f"{folder / COMMITTEE}: its cascade was calibrated with other members: {_again(folder)}")
    return stored


def write_cascade(folder: Path, stored: StoredCascade) -> None:
    """Store a cascade in the ``committee.json`` of ``folder``, in place of one that is there."""
    content = json.loads((folder / COMMITTEE).read_bytes())
    write_json(folder / COMMITTEE, content | {"cascade": dataclasses.asdict(stored)})


def members_digest(folder: Path) -> str:
    """SHA-256 over the weights of the members of ``folder``, in voting order."""
    digests = [sha256_file(require_weights(member)) for member in member_folders(folder)]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _again(folder: Path) -> str:
    return f"calibrate it again with `tlm-edge committee calibrate {folder} --data FILE`"
