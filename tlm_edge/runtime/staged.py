"""A committee whose members are files of their own: asked in turn, or all, at once where there are threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tlm_edge.runtime.cascade import Cascade, vote_in_turn
from tlm_edge.runtime.manifest import TensorSpec
from tlm_edge.runtime.session import Session
from tlm_edge.runtime.vote import soft_vote


class StagedSession:
    """The members' sessions as one: what a ``Session`` of a committee gives.

    With a cascade ``run`` gives ``probabilities`` and ``members_used`` (batch,), without one ``probabilities`` and
    ``member_logits``.
    """

    def __init__(
        self, members: Sequence[Session], cascade: Cascade | None, weights: Sequence[float] = (), at_once: int = 1
    ):
        """Join ``members``, in voting order; without ``cascade`` every one is asked of every text.

        ``weights`` are those of ``soft_vote``. ``at_once`` members compute at the same time where all are asked, each
        with the threads of its own session.
        """
        self._members = members
        self._cascade = cascade
        self._weights = weights
        # The calling thread computes, too: to wait for another one would cost it a switch.
        self._helpers = ThreadPoolExecutor(at_once - 1) if at_once > 1 and cascade is None else None
        self._at_once = at_once
        self.runtime, self.version = members[0].runtime, members[0].version
        self.brings = getattr(members[0], "brings", ())

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for ``input_ids`` and ``attention_mask``, both int64 (batch, length)."""
        if self._cascade is None:
            logits = np.stack(self._all_logits(input_ids, attention_mask), axis=1)
            return {"probabilities": soft_vote(logits, self._weights), "member_logits": logits}

        def ask(member: int, rows: np.ndarray) -> np.ndarray:
            if len(rows) == len(input_ids):
                return self._members[member].run(input_ids, attention_mask)["logits"]
            return self._members[member].run(input_ids[rows], attention_mask[rows])["logits"]

        votes = vote_in_turn(self._cascade, len(input_ids), ask, self._weights)
        used = votes.members_used
        return {"probabilities": votes.probabilities} | ({} if used is None else {"members_used": used})

    def _all_logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> list[np.ndarray]:
        """Every member's logits (batch, labels), in voting order."""

        def ask(members: Sequence[Session]) -> list[np.ndarray]:
            return [member.run(input_ids, attention_mask)["logits"] for member in members]

        if self._helpers is None:
            return ask(self._members)
        shares = [self._members[first :: self._at_once] for first in range(self._at_once)]
        others = [self._helpers.submit(ask, share) for share in shares[1:]]
        answers = [ask(shares[0]), *(other.result() for other in others)]
        return [answers[member % self._at_once][member // self._at_once] for member in range(len(self._members))]

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that each member's file declares."""
        return self._members[0].inputs()

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that each member's file declares."""
        return self._members[0].outputs()
