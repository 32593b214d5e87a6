"""Running a bundle's ``model.pte`` in ExecuTorch on the CPU: in the native runner, or in the Python binding."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tlm_edge.runtime.cores import usable_cores
from tlm_edge.runtime.errors import MissingExtraError, UserError
from tlm_edge.runtime.executorch_runner.binding import BindingModel
from tlm_edge.runtime.executorch_runner.build import RunnerError
from tlm_edge.runtime.executorch_runner.native import NativeModel, load_runner
from tlm_edge.runtime.manifest import TensorSpec

_INPUTS = ("input_ids", "attention_mask")
#: The shortest sequence that programs are made for: [CLS] alone gets a padding token.
_SHORTEST = 2
_OUTPUTS = {1: ("logits",), 2: ("probabilities", "member_logits")}


class ExecutorchSession:
    """A loaded ExecuTorch program: int64 arrays in, named float arrays out; safe to run from several threads.

    A program takes one text at a time; the rows of a batch are run one after the other, each cut to its own length.
    """

    runtime = "executorch"
    provider = "XNNPACK"
    #: What the runtime itself imports of ``probe.FOREIGN_MODULES``.
    brings: tuple[str, ...] = ()

    def __init__(self, model_file: Path, threads: int | None = None):
        """Load ``model_file`` to compute with ``threads`` threads, as many as there are cores if ``None``.

        ``runtime`` says so where the Python binding has to do, and why. Raises ``UserError`` if ExecuTorch can't load
        the file, or if it isn't one of ours; ``MissingExtraError`` if executorch is not installed.
        """
        try:
            self.version = version("executorch")
        except PackageNotFoundError:
            raise MissingExtraError(
                'running an ExecuTorch bundle needs executorch: pip install "tlm-edge[executorch]", or, where PyTorch '
                "is not wanted, pip install --no-deps executorch"
            ) from None
        threads = threads or usable_cores()
        self._model: NativeModel | BindingModel
        try:
            self._model = NativeModel(model_file, threads)
        except RunnerError as reason:
            try:
                self._model = BindingModel(model_file, threads)
            except UserError as error:
                raise UserError(
                    f"ExecuTorch's native runner can't be had: {reason}. And without it: {error}"
                ) from error
            self.runtime = f"executorch's Python binding ({reason})"
            self.brings = ("torch",)
        if len(self._model.input_shapes) != len(_INPUTS) or len(self._model.output_shapes) not in _OUTPUTS:
            raise UserError(f"{model_file} is not a classifier of token ids: export the model again")
        self._names = _OUTPUTS[len(self._model.output_shapes)]

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for ``input_ids`` and ``attention_mask``, both int64 (batch, length).

        Raises ``UserError`` if a text is longer than the program takes, or a token unknown to it.
        """
        if (lacking := _SHORTEST - input_ids.shape[1]) > 0:
            input_ids, attention_mask = (np.pad(array, ((0, 0), (0, lacking))) for array in (input_ids, attention_mask))
        lengths = [max(length, _SHORTEST) for length in own_lengths(attention_mask)]
        values = self._model.run(input_ids, attention_mask, lengths)
        return dict(zip(self._names, values, strict=True))

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that the file declares."""
        return tuple(
            TensorSpec(name, "int64", (shape[0], "length"))
            for name, shape in zip(_INPUTS, self._model.input_shapes, strict=True)
        )

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that the file declares."""
        return tuple(
            TensorSpec(name, "float32", shape)
            for name, shape in zip(self._names, self._model.output_shapes, strict=True)
        )


def own_lengths(attention_mask: np.ndarray) -> list[int]:
    """The length of every row of ``attention_mask`` (batch, length) without the padding at its end.

    Padding has no weight, so cutting it off changes nothing; a row of nothing but padding is left whole.
    """
    batch, length = attention_mask.shape
    if np.count_nonzero(attention_mask[:, -1]) == batch:
        return [length] * batch
    tokens = attention_mask != 0
    padding = np.argmax(tokens[:, ::-1], axis=1)
    lengths: list[int] = np.where(tokens.any(axis=1), length - padding, length).tolist()
    return lengths


def load_runtime() -> None:
    """Bring the runner into this process, as far as it can be had."""
    try:
        load_runner()
    except RunnerError:
        return
