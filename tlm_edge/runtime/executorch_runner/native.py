"""The built runner, called through ctypes."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Sequence
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
        self._lock = threading.Lock()
        self._call = _Call(self.input_shapes, self.output_shapes)

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
        """The outputs for every row of ``input_ids`` and ``attention_mask``, both (rows, length), cut to its length.

        Raises ``UserError`` with ExecuTorch's words if it refuses a row.
        """
        outputs = [np.empty((len(lengths), *shape[1:]), dtype=np.float32) for shape in self.output_shapes]
        call = self._call
        with self._lock:
            for row, length in enumerate(lengths):
                if length > call.longest:
                    raise UserError(
                        f"ExecuTorch refused the input: a text of {length} tokens, {call.longest} are the most"
                    )
                call.input_ids[:length] = input_ids[row, :length]
                call.attention_mask[:length] = attention_mask[row, :length]
                if self._library.tlm_run(self._model, call.ids_at, call.mask_at, length, *call.rest):
                    raise UserError(f"ExecuTorch refused the input: {_words(call.why)}")
                for output, values in zip(outputs, call.outputs, strict=True):
                    output[row] = values
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


class _Call:
    """The arrays of one call, where they stay: to ask NumPy for an address takes as long as half of such a call."""

    def __init__(self, input_shapes: Sequence[tuple[int, ...]], output_shapes: Sequence[tuple[int, ...]]) -> None:
        self.longest = max((shape[-1] for shape in input_shapes), default=0)
        self.input_ids, self.attention_mask = np.zeros((2, self.longest), dtype=np.int64)
        self.outputs = [np.zeros(shape[1:], dtype=np.float32) for shape in output_shapes]
        self.why = ctypes.create_string_buffer(_WHY)
        self.ids_at, self.mask_at = (array.ctypes.data for array in (self.input_ids, self.attention_mask))
        pointers = (ctypes.c_void_p * len(self.outputs))(*(output.ctypes.data for output in self.outputs))
        self.rest = (pointers, self.why, _WHY)


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
    runner.tlm_run.argtypes = (pointer, pointer, pointer, number, pointer, text, ctypes.c_size_t)
    return runner


def _words(why: ctypes.Array[ctypes.c_char]) -> str:
    return why.value.decode(errors="replace").strip()
