"""Running a bundle's ``model.tflite`` in LiteRT, or where only that is installed in tflite-runtime, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.runtime.cores import usable_cores
from tlm_edge.runtime.errors import MissingExtraError, UserError
from tlm_edge.runtime.manifest import TensorSpec
from tlm_edge.runtime.silent import silent

try:
    from ai_edge_litert.interpreter import Interpreter

    _RUNTIME = "ai-edge-litert"
except ImportError:
    try:
        from tflite_runtime.interpreter import Interpreter

        _RUNTIME = "tflite-runtime"
    except ImportError:
        raise MissingExtraError(
            "running a TFLite bundle needs ai-edge-litert: pip install ai-edge-litert, "
            'or pip install "tlm-edge[tflite]" to export such bundles too'
        ) from None

_INPUTS = ("input_ids", "attention_mask")
#: What a runtime says of a file that is too new for it.
_TOO_OLD = "Didn't find op for builtin opcode"


class TfliteSession:
    """A loaded TFLite model: int64 arrays in, named float arrays out; safe to run from several threads, in turn.

    The file has a signature a length, for one text each. A text is padded to the next length, which changes nothing:
    the mask hides what is added.
    """

    runtime = _RUNTIME
    version = metadata.version(_RUNTIME)

    def __init__(self, model_file: Path, threads: int | None = None):
        """Load ``model_file`` to compute with ``threads`` threads, as many as there are cores if ``None``.

        Raises ``UserError`` if the runtime can't load the file or it has no signatures of ours.
        """
        try:
            with silent():
                self._interpreter = Interpreter(str(model_file), num_threads=threads or usable_cores())
                # Delegates are applied here and nowhere else: a signature run without it would never see XNNPACK.
                self._interpreter.allocate_tensors()
                self._signatures = _signatures(self._interpreter)
        except (ValueError, RuntimeError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            newer = "; it is for newer runtimes, see --compat of tlm-edge export" if _TOO_OLD in reason else ""
            raise UserError(f"{self.runtime} {self.version} can't load {model_file}: {reason}{newer}") from error
        if not self._signatures:
            raise UserError(f"{model_file} has no signature with {' and '.join(_INPUTS)}: export the model again")
        self._lock = threading.Lock()

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for ``input_ids`` and ``attention_mask``, both int64 (batch, length).

        Raises ``UserError`` if a text is longer than the longest signature.
        """
        with self._lock:
            if len(input_ids) == 1:
                return self._run_row(input_ids[0], attention_mask[0])
            rows = [self._run_row(*row) for row in zip(input_ids, attention_mask, strict=True)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _run_row(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        seen = attention_mask.nonzero()[0]
        tokens = int(seen[-1]) + 1 if len(seen) else 0
        for signature in self._signatures:
            if tokens <= signature.length:
                return signature.run(input_ids[:tokens], attention_mask[:tokens])
        raise UserError(
            f"a text of {tokens} tokens: this file runs texts of at most {self._signatures[-1].length}; "
            "cut it, or export with a larger --max-length"
        )

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that the file declares, the same in every signature but for the length."""
        return tuple(TensorSpec(name, "int32", (1, "length")) for name in _INPUTS)

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that the file declares, the same in every signature."""
        return self._signatures[-1].outputs

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths in tokens of the file's signatures, ascending."""
        return tuple(signature.length for signature in self._signatures)


@dataclass(frozen=True)
class _Signature:
    """One signature with its input arrays, int32 (1, length), which every call fills anew."""

    length: int
    outputs: tuple[TensorSpec, ...]
    input_ids: np.ndarray
    attention_mask: np.ndarray
    call: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of one text of at most ``length`` tokens, two arrays (tokens,)."""
        tokens = len(input_ids)
        self.input_ids[0, :tokens] = input_ids
        self.input_ids[0, tokens:] = 0
        self.attention_mask[0, :tokens] = attention_mask
        self.attention_mask[0, tokens:] = 0
        return self.call(self.input_ids, self.attention_mask)


def _signatures(interpreter: Interpreter) -> tuple[_Signature, ...]:
    """The signatures for one text, shortest first."""
    found = []
    for key, names in interpreter.get_signature_list().items():
        if set(names["inputs"]) != set(_INPUTS):
            continue
        runner = interpreter.get_signature_runner(key)
        shapes = {tuple(details["shape"].tolist()) for details in runner.get_input_details().values()}
        ((batch, length),) = shapes
        if batch == 1:
            arrays = np.zeros((2, 1, length), dtype=np.int32)
            runner(input_ids=arrays[0], attention_mask=arrays[1])  # allocates its tensors, once
            outputs = tuple(
                TensorSpec(name, np.dtype(details["dtype"]).name, tuple(details["shape"].tolist()))
                for name, details in runner.get_output_details().items()
            )
            found.append(_Signature(length, outputs, arrays[0], arrays[1], _caller(interpreter, runner)))
    return tuple(sorted(found, key=lambda signature: signature.length))


def _caller(interpreter: Interpreter, runner: Any) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """What runs a signature whose tensors are allocated.

    ``SignatureRunner`` resizes and allocates before every call, which costs an eighth of a short text's time (5 of
    43 µs); its own steps without these are taken where the interpreter still has them.
    """
    try:
        wrapper, subgraph = interpreter._interpreter, runner._subgraph_index
        set_tensor, invoke, get_tensor = wrapper.SetTensor, wrapper.Invoke, wrapper.GetTensor
    except AttributeError:
        return lambda input_ids, attention_mask: dict(runner(input_ids=input_ids, attention_mask=attention_mask))
    indices = {name: details["index"] for name, details in runner.get_input_details().items()}
    ids_index, mask_index = (indices[name] for name in _INPUTS)
    outputs = [(name, details["index"]) for name, details in runner.get_output_details().items()]

    def call(input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        set_tensor(ids_index, input_ids, subgraph)
        set_tensor(mask_index, attention_mask, subgraph)
        invoke(subgraph)
        return {name: get_tensor(index, subgraph) for name, index in outputs}

    return call
