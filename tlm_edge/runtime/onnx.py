"""Running a bundle's ``model.onnx`` in ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import TensorSpec

_DTYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}


class OnnxSession:
    """A loaded ONNX model: int64 arrays in, named float arrays out; safe to run from several threads."""

    runtime = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(self, model_file: Path, threads: int | None = None):
        """Load ``model_file`` to compute with ``threads`` threads, as many as there are cores if ``None``.

        Raises ``UserError`` if ONNX Runtime can't load the file.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"ONNX Runtime {self.version} can't load {model_file}: {reason}") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for ``input_ids`` and ``attention_mask``, both int64 (batch, length)."""
        values = self._session.run(self._names, {"input_ids": input_ids, "attention_mask": attention_mask})
        return dict(zip(self._names, values, strict=True))

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that the file declares."""
        return tuple(_tensor_spec(argument) for argument in self._session.get_inputs())

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that the file declares."""
        return tuple(_tensor_spec(argument) for argument in self._session.get_outputs())


def _tensor_spec(argument: onnxruntime.NodeArg) -> TensorSpec:
    return TensorSpec(argument.name, _DTYPES.get(argument.type, argument.type), tuple(argument.shape))
