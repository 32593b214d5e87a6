"""The built runner, called through ctypes."""

from __future__ import annotations

import ctypes
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.executorch_runner.build import RunnerError, installed_wheel, runner_library, shared_libraries

_WHY = 1024
_LARGEST_RANK = 8


class NativeModel:
    """A program loaded by the runner. Runs take turns, from however many threads they are asked for."""

    def __init__(self, model_file: Path, threads: int) -> None:
        """Load ``model_file`` to compute with ``threads`` threads.

        Raises ``RunnerError`` if there is no runner and none can be built, ``UserError`` if it can't load the file.
        """
        self._library = load_runner()
        why = ctypes.create_string_buffer(_WHY)
        self._model = self._library.tlm_load(str(model_file).encode(), threads, why, _WHY)
        if not self._model:
            raise UserError(f"ExecuTorch can't load {model_file}: {_words(why)}")
        self._free = weakref.finalize(self, self._library.tlm_free, self._model)
        self.input_shapes = self._shapes(output=False)
        self.output_shapes = self._shapes(output=True)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        """The outputs for every row of ``input_ids`` (rows, length), cut to its length; all are contiguous int64.

        Raises ``UserError`` with ExecuTorch's words if it refuses a row.
        """
        rows, stride = input_ids.shape
        outputs = [np.empty((rows, *shape[1:]), dtype=np.float32) for shape in self.output_shapes]
        pointers = (ctypes.c_void_p * len(outputs))(*(output.ctypes.data for output in outputs))
        why = ctypes.create_string_buffer(_WHY)
        arrays = (input_ids.ctypes.data, attention_mask.ctypes.data, lengths.ctypes.data)
        if self._library.tlm_run(self._model, *arrays, rows, stride, pointers, why, _WHY):
            raise UserError(f"ExecuTorch refused the input: {_words(why)}")
        return outputs

    def _shapes(self, *, output: bool) -> list[tuple[int, ...]]:
        sizes, kind = (ctypes.c_int64 * _LARGEST_RANK)(), ctypes.c_int32()
        shapes: list[tuple[int, ...]] = []
        while True:
            arguments = (self._model, int(output), len(shapes), sizes, _LARGEST_RANK, ctypes.byref(kind))
            rank = self._library.tlm_tensor(*arguments)
            if rank < 0:
                return shapes
            shapes.append(tuple(sizes[:rank]))


@cache
def load_runner() -> Any:
    """The runner's library, with ExecuTorch in this process. Raises ``RunnerError`` if it can't be had."""
    wheel, release = installed_wheel()
    file = runner_library(wheel, release)
    try:
        # The runner finds them by their names among what is loaded.
        for library in shared_libraries(wheel):
            ctypes.CDLL(str(library))
        runner = ctypes.CDLL(str(file))
    except OSError as error:
        raise RunnerError(f"it can't be loaded: {error}") from error
    pointer, number, text = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
    runner.tlm_load.argtypes = (text, ctypes.c_uint32, text, ctypes.c_size_t)
    runner.tlm_load.restype = pointer
    runner.tlm_free.argtypes = (pointer,)
    runner.tlm_free.restype = None
    sizes, kind = ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_int32)
    runner.tlm_tensor.argtypes = (pointer, ctypes.c_int32, ctypes.c_int32, sizes, ctypes.c_int32, kind)
    runner.tlm_run.argtypes = (pointer, pointer, pointer, pointer, number, number, pointer, text, ctypes.c_size_t)
    return runner


def _words(why: ctypes.Array[ctypes.c_char]) -> str:
    return why.value.decode(errors="replace").strip()
