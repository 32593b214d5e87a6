"""The weights of a committee's votes, found on labelled texts that no member was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tlm_edge.runtime.errors import UserError

#: Rows a member below which weights say more of the rows than of the members.
ROWS_A_MEMBER = 100
_ROUNDS = 1000
_TOLERANCE = 1e-7


def fit_weights(probabilities: NDArray[np.floating], expected: NDArray[np.int64]) -> tuple[float, ...]:
    """The weights, together 1, with which the vote gives the right labels the largest likelihood.

    ``probabilities`` (members, rows, labels) of rows labelled ``expected`` (rows,). The stacking of predictive
    distributions (Yao et al., arXiv 1704.02030), a concave problem that expectation maximisation solves.
    Raises ``UserError`` if there are fewer than ``ROWS_A_MEMBER`` rows a member.
    """
    members, rows, _ = probabilities.shape
    if rows < ROWS_A_MEMBER * members:
        raise UserError(
            f"{rows} rows are too few to weight {members} members by: give at least {ROWS_A_MEMBER * members}, or "
            "leave the votes equal"
        )
    likelihood = probabilities[:, np.arange(rows), expected].astype(np.float64).clip(min=1e-12)
    weights = np.full(members, 1 / members)
    for _ in range(_ROUNDS):
        share = weights[:, None] * likelihood
        updated = (share / share.sum(axis=0)).mean(axis=1)
        moved = np.abs(updated - weights).max()
        weights = updated
        if moved < _TOLERANCE:
            break
    return tuple((weights / weights.sum()).tolist())
