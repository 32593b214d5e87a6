"""Pairs of neighbouring tokens, which share rows of a table by a hash.

As in fastText (Joulin et al., *Bag of Tricks for Efficient Text Classification*, arXiv 1607.01759).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

#: What a pair's tokens are multiplied by; ids below ``LARGEST_VOCABULARY`` keep the sum below 2³¹, so that runtimes
#: with 32-bit integers find the same row.
_FIRST, _SECOND = 7919, 6007
LARGEST_VOCABULARY = 1 << 17

Ids = TypeVar("Ids", "Tensor", np.ndarray)


def bigram_rows(input_ids: Tensor, pad_token_id: int, buckets: int) -> Tensor:
    """The row of each token and the one before it, (batch, length) as ``input_ids``; the first is paired with padding.

    There are as many pairs as tokens.
    """
    # Configurations are read where PyTorch is not installed, too, and they ask this file.
    from torch.nn import functional as F

    before = F.pad(input_ids, (1, 0), value=pad_token_id)[:, :-1]
    return pair_buckets(before, input_ids, buckets)


def pair_buckets(first: Ids, second: Ids, buckets: int) -> Ids:
    """The row of each pair of token ids, integer arrays of any shape."""
    return (first * _FIRST + second * _SECOND) % buckets


def require_vocabulary(vocab_size: int) -> None:
    """Raise ``UserError`` if runtimes could find other rows for the pairs of so many tokens."""
    if vocab_size > LARGEST_VOCABULARY:
        raise UserError(f"n-grams take vocabularies of up to {LARGEST_VOCABULARY:,} tokens, not {vocab_size:,}")
