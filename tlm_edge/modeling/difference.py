"""Checkpoints stored as what fine-tuning changed: each matrix as a low-rank difference from the encoder's own.

Fine-tuning moves a matrix by little, and mostly in few directions (Hu et al., *LoRA*, arXiv 2106.09685), so that a
product of two thin matrices says nearly all of it. Classifiers of many tasks then share the weights of one encoder on
disk, and each is made whole when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tlm_edge.runtime.errors import UserError

#: The file that stands in for a checkpoint's weights.
DIFFERENCE = "difference.safetensors"
#: What the two factors of a tensor's difference are called behind its name: (rows, rank) and (rank, columns).
_LEFT, _RIGHT = ".difference_left", ".difference_right"


@dataclass(frozen=True)
class Base:
    """The encoder that differences are taken from: a name that ``resolve_model`` knows, and its weights' SHA-256."""

    name: str
    sha256: str

    def metadata(self) -> dict[str, str]:
        """As safetensors stores it."""
        return {"base": self.name, "base_sha256": self.sha256}


def read_base(metadata: Mapping[str, str] | None, path: Path) -> Base:
    """The base that the metadata of the file ``path`` names. Raises ``UserError`` if there is none."""
    try:
        return Base(str((metadata or {})["base"]), str((metadata or {})["base_sha256"]))
    except KeyError as error:
        raise UserError(f"{path}: its metadata lack {error}: fetch or save the checkpoint again") from None


def differences(weights: Mapping[str, Tensor], base: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """``weights`` as they are stored: two factors of ``rank`` where that is smaller, and the tensor itself elsewhere.

    The factors' product is the nearest of that rank to the difference from ``base``, in the sum of squares (Eckart and
    Young, 1936). Rows that ``base`` lacks, of new tokens, count as zeros there; of its rows only the first are taken if
    it has more.
    """
    stored = {}
    for name, tensor in weights.items():
        ground = _ground(tensor.shape, base.get(name))
        if ground is None or rank * sum(tensor.shape) >= tensor.numel():
            stored[name] = tensor
            continue
        left, sizes, right = torch.linalg.svd(tensor.float() - ground, full_matrices=False)
        roots = sizes[:rank].sqrt()  # shared by both factors, so that neither leaves float16's range
        stored[name + _LEFT] = left[:, :rank] * roots
        stored[name + _RIGHT] = roots[:, None] * right[:rank]
    return stored


def restored(stored: Mapping[str, Tensor], base: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights that ``differences`` gave ``stored`` for, differences in float32; ``path`` names them in errors.

    Raises ``UserError`` for factors that don't fit together or ``base``.
    """
    weights = {}
    for name, tensor in stored.items():
        if name.endswith(_RIGHT) and name.removesuffix(_RIGHT) + _LEFT in stored:
            continue
        if not name.endswith((_LEFT, _RIGHT)):
            weights[name] = tensor
            continue
        whole = name.removesuffix(_LEFT)
        right = stored.get(whole + _RIGHT)
        if right is None or tensor.ndim != 2 or right.ndim != 2 or tensor.shape[1] != right.shape[0]:
            raise UserError(f"{path}: the factors of {whole} don't fit together: the file is damaged, fetch it again")
        ground = _ground(torch.Size((len(tensor), right.shape[1])), base.get(whole))
        if ground is None:
            raise UserError(f"{path}: {whole} doesn't fit that of its base: the file is damaged, fetch it again")
        weights[whole] = ground + tensor.float() @ right.float()
    return weights


def _ground(shape: torch.Size, base: Tensor | None) -> Tensor | None:
    """The matrix of ``shape`` that differences are taken from, in float32; None if ``base`` gives none."""
    if base is None or len(shape) != 2 or base.ndim != 2 or base.shape[1] != shape[1]:
        return None
    ground = torch.zeros(shape)
    rows = min(len(base), shape[0])
    ground[:rows] = base[:rows]
    return ground
