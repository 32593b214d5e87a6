"""Packed sequences: documents laid end to end and cut into blocks of equal length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class PackedBlocks:
    """A corpus as ``[CLS] content [SEP]`` blocks of ``length`` tokens, with [SEP] behind every document.

    Packing wastes no padding, and lets a block span documents (the full-sentences format of RoBERTa, arXiv
    1907.11692). Blocks are cut from the token store when they are asked for, so memory stays bounded.
    """

    def __init__(
        self, tokens: NDArray[np.unsignedinteger], starts: NDArray[np.int64], *, length: int, cls: int, sep: int
    ) -> None:
        """Take ``tokens`` (total,), the documents' ``starts`` (documents + 1,), and the ids of [CLS] and [SEP]."""
        self._tokens = tokens
        self._starts = starts[:-1]
        self._ends = starts[1:]
        # In the virtual stream each document is one token longer, by its [SEP].
        self._virtual_starts = self._starts + np.arange(len(self._starts))
        self.length = length
        self._content = length - 2
        self._cls, self._sep = cls, sep
        self._count = int(len(tokens) + len(self._starts)) // self._content

    def __len__(self) -> int:
        return self._count

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The blocks at ``indices`` (n,), as token ids (n, length)."""
        positions = indices[:, None] * self._content + np.arange(self._content)
        document = np.searchsorted(self._virtual_starts, positions, side="right") - 1
        source = positions - self._virtual_starts[document] + self._starts[document]
        is_separator = source == self._ends[document]
        blocks = np.empty((len(indices), self._content + 2), dtype=np.int64)
        blocks[:, 0] = self._cls
        blocks[:, -1] = self._sep
        content = self._tokens[np.minimum(source, len(self._tokens) - 1)]
        blocks[:, 1:-1] = np.where(is_separator, self._sep, content)
        return blocks


def shuffled_indices(step: int, batch_size: int, blocks: int, seed: int) -> NDArray[np.int64]:
    """The block indices of optimiser step ``step``, (batch_size,): every epoch a fresh permutation.

    A pure function of its arguments, so that a resumed run reads what the interrupted one would have read. Blocks
    are numbered by a running count that does not restart with the epoch, so no block is dropped at its end.
    """
    first = step * batch_size
    running = np.arange(first, first + batch_size)
    epochs, places = running // blocks, running % blocks
    indices = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = _epoch_order(int(epoch), blocks, seed)
        indices[epochs == epoch] = order[places[epochs == epoch]]
    return indices


_ORDERS: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _epoch_order(epoch: int, blocks: int, seed: int) -> NDArray[np.int64]:
    key = (epoch, blocks, seed)
    if key not in _ORDERS:
        if len(_ORDERS) > 3:
            _ORDERS.clear()
        _ORDERS[key] = np.random.default_rng([seed, epoch, 1]).permutation(blocks)
    return _ORDERS[key]
