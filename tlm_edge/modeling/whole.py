"""Checkpoints and committees made independent of the encoders whose weights theirs are stored as differences from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors.torch import save

from tlm_edge.modeling.checkpoint import WEIGHTS, load_tensors
from tlm_edge.modeling.committee import is_committee
from tlm_edge.modeling.difference import DIFFERENCE
from tlm_edge.modeling.stored_cascade import members_digest, read_cascade, write_cascade


def make_whole(folder: Path) -> None:
    """Replace every ``difference.safetensors`` under ``folder`` by the weights it stands for, in float32.

    They are the same numbers, so that a calibrated cascade holds of them. Raises ``UserError`` if an encoder is
    missing.
    """
    cascade = read_cascade(folder) if is_committee(folder) else None
    for difference in sorted(folder.rglob(DIFFERENCE)):
        tensors = {name: tensor.float().contiguous() for name, tensor in load_tensors(difference.parent).items()}
        difference.with_name(WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
        difference.unlink()
    if cascade is not None:
        write_cascade(folder, replace(cascade, members_sha256=members_digest(folder)))
