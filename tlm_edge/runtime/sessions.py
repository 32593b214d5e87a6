"""The runtimes by target: a new one is its module and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

import numpy as np

from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import TensorSpec

#: target → module and class, imported only when a bundle asks for it.
_SESSIONS: dict[str, tuple[str, str]] = {
    "onnx": ("tlm_edge.runtime.onnx", "OnnxSession"),
    "tflite": ("tlm_edge.runtime.tflite", "TfliteSession"),
    "executorch": ("tlm_edge.runtime.executorch", "ExecutorchSession"),
}


class Session(Protocol):
    """A loaded model file."""

    runtime: str
    version: str

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for ``input_ids`` and ``attention_mask``, both int64 (batch, length).

        A model of one member gives ``logits`` (batch, labels); a committee ``probabilities`` (batch, labels) and
        ``member_logits`` (batch, members, labels).
        """

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that the file declares."""

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that the file declares."""


def open_session(bundle: Bundle, threads: int | None = None) -> Session:
    """Load the model of ``bundle`` in its target's runtime, with ``threads`` threads (all cores if ``None``).

    Raises ``UserError`` if the target is unknown here or the runtime can't load the file.
    """
    target = bundle.manifest.target
    if target not in _SESSIONS:
        raise UserError(
            f"{bundle.path} is for the target '{target}'; this tlm-edge runs {', '.join(_SESSIONS)}: "
            "export the model for one of these"
        )
    module, name = _SESSIONS[target]
    return cast(Session, getattr(import_module(module), name)(bundle.model_file, threads))
