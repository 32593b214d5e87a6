"""ExecuTorch's own Python binding, which brings PyTorch into the process: for where no runner can be built."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.silent import silent

#: Models that are loaded, with their threads: they share one pool, which must not change under them.
_loaded: weakref.WeakKeyDictionary[BindingModel, int] = weakref.WeakKeyDictionary()


class BindingModel:
    """A program loaded by the binding. Runs take turns, from however many threads they are asked for."""

    def __init__(self, model_file: Path, threads: int) -> None:
        """Load ``model_file`` to compute with ``threads`` threads.

        Raises ``UserError`` if the binding isn't installed or can't load the file.
        """
        library = _binding()
        if any(present != threads for present in _loaded.values()):
            present = next(iter(_loaded.values()))
            raise UserError(
                f"ExecuTorch can't load {model_file}: another model of this process computes with {present} threads, "
                "and all share one pool: use as many, or another process"
            )
        self._lock = threading.Lock()
        try:
            with silent():
                if library._threadpool_get_thread_count() != threads:
                    library._unsafe_reset_threadpool(threads)
                self._module = library._load_for_executorch(str(model_file))
            meta = self._module.method_meta("forward")
        except RuntimeError as error:
            raise UserError(f"ExecuTorch can't load {model_file}: {_first_line(error)}") from error
        inputs = [meta.input_tensor_meta(index) for index in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]
        self.input_shapes = [tuple(tensor.sizes()) for tensor in inputs]
        self.output_shapes = [tuple(tensor.sizes()) for tensor in outputs]
        _loaded[self] = threads

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
        """The outputs for every row of ``input_ids`` and ``attention_mask``, both (rows, length), cut to its length.

        Raises ``UserError`` with ExecuTorch's words if it refuses a row.
        """
        import torch

        rows = len(input_ids)
        outputs = [np.empty((rows, *shape[1:]), dtype=np.float32) for shape in self.output_shapes]
        with self._lock:
            for row, length in enumerate(lengths):
                arrays = (array[row : row + 1, :length].astype(np.int64) for array in (input_ids, attention_mask))
                try:
                    values = self._module.forward(tuple(torch.from_numpy(array) for array in arrays))
                except RuntimeError as error:
                    raise UserError(f"ExecuTorch refused the input: {_first_line(error)}") from error
                for output, value in zip(outputs, values, strict=True):
                    output[row] = value.numpy()[0]
        return outputs


@cache
def _binding() -> Any:
    missing = [name for name in ("torch", "executorch") if find_spec(name) is None]
    if missing:
        raise UserError(f"ExecuTorch's Python binding needs {' and '.join(missing)}")
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import executorch.kernels.quantized  # noqa: F401 (registers kernels)
        from executorch.extension.pybindings import portable_lib

        return portable_lib


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
