"""Which tokens a masked language model has to guess (Devlin et al., arXiv 1810.04805: 15 %, 80/10/10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MaskedBatch:
    """``input_ids`` (batch, length) with tokens replaced; ``rows`` to guess and their ``targets``, (batch, chosen)."""

    input_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]


def mask_tokens(
    blocks: NDArray[np.int64],
    *,
    probability: float,
    special: NDArray[np.int64],
    mask: int,
    vocab_size: int,
    generator: np.random.Generator,
) -> MaskedBatch:
    """Choose tokens of ``blocks`` (batch, length) to be guessed, anew at every call (dynamic masking).

    Every block gets the same count, ``probability`` of its length rounded, so that the chosen rows are a rectangle
    and only they need be computed. ``special`` ids are never chosen. 80 % of the chosen become ``mask``, 10 % a
    random token, 10 % stay.
    """
    length = blocks.shape[1]
    chosen = max(1, round(probability * (length - 2)))
    order = generator.random(blocks.shape)
    order[np.isin(blocks, special)] += 1.0
    rows = np.sort(np.argpartition(order, chosen, axis=1)[:, :chosen], axis=1)
    targets = np.take_along_axis(blocks, rows, axis=1)
    fate = generator.random(rows.shape)
    replaced = np.where(fate < 0.8, mask, targets)
    random_tokens = generator.integers(len(special), vocab_size, rows.shape)
    replaced = np.where((fate >= 0.8) & (fate < 0.9), random_tokens, replaced)
    # A block with fewer ordinary tokens than choices leaves the special ones as they are.
    replaced = np.where(np.isin(targets, special), targets, replaced)
    input_ids = blocks.copy()
    np.put_along_axis(input_ids, rows, replaced, axis=1)
    return MaskedBatch(input_ids, rows, targets)
