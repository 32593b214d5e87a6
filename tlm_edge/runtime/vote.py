"""From logits to probabilities: softmax, and the soft vote of a committee."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis; any shape, float32 or float64 in and out."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    normalized: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return normalized


def soft_vote(member_logits: np.ndarray) -> np.ndarray:
    """Mean of the members' softmax outputs: (batch, members, labels) to (batch, labels).

    The soft committee of Gross et al., *Tiny language models*, Physica A 681 (2026) 131102.
    """
    vote: np.ndarray = softmax(member_logits).mean(axis=1)
    return vote
