"""From logits to probabilities: softmax, and the soft vote of a committee."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis; any shape, float32 or float64 in and out."""
    shifted: np.ndarray = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= np.add.reduce(shifted, axis=-1, keepdims=True)
    return shifted


def soft_vote(member_logits: np.ndarray, weights: Sequence[float] = ()) -> np.ndarray:
    """Mean of the members' softmax outputs: (batch, members, labels) to (batch, labels).

    ``weights``, one a member, add up to 1; without them all count the same. The soft committee of Gross et al., *Tiny
    language models*, Physica A 681 (2026) 131102.
    """
    votes = softmax(member_logits)
    vote: np.ndarray = (
        np.einsum("bml,m->bl", votes, np.asarray(weights, votes.dtype)) if weights else votes.mean(axis=1)
    )
    return vote


def weights_fault(weights: Sequence[float], members: int) -> str | None:
    """What is wrong with the ``weights`` of a vote, a clause, or ``None``."""
    if weights and (len(weights) != members or not all(weight >= 0 for weight in weights)):
        return f"{members} members have as many weights, none of them negative, not {list(weights)}"
    if weights and abs(sum(weights) - 1) > 1e-6:
        return f"the weights add up to {sum(weights):g}, not to 1"
    return None
