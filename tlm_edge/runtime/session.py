"""What every runtime gives: a loaded model, arrays in and out."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tlm_edge.runtime.manifest import TensorSpec


class Session(Protocol):
    """A loaded model file."""

    runtime: str
    version: str

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for ``input_ids`` and ``attention_mask``, both int64 (batch, length).

        A model of one member gives ``logits`` (batch, labels); a committee ``probabilities`` (batch, labels) and
        ``member_logits`` (batch, members, labels), or with a cascade ``members_used`` (batch,) instead of these.
        """

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that the file declares."""

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that the file declares."""
