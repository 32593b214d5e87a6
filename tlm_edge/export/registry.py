"""The targets: a new one is its module, with a ``TARGET``, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from torch import nn

from tlm_edge.runtime.errors import UserError

#: target → the module that converts to it.
_MODULES = {
    "onnx": "tlm_edge.export.onnx",
}


@dataclass(frozen=True)
class Target:
    """A file format and its runtime.

    ``convert(graph, file, precision)`` writes a module of ``compile.deployable`` as ``file``, for inputs of any batch
    size and length; ``packages`` are those whose versions shape the file; ``extra`` brings them.
    """

    name: str
    precisions: tuple[str, ...]
    extra: str
    model_file: str
    packages: tuple[str, ...]
    convert: Callable[[nn.Module, Path, str], None]


def target_names() -> list[str]:
    """Names of all targets."""
    return list(_MODULES)


def find_target(name: str, precision: str) -> Target:
    """The target ``name``, if it can be had in ``precision``. Raises ``UserError`` otherwise."""
    if name not in _MODULES:
        raise UserError(f"no target '{name}': choose one of {', '.join(_MODULES)}")
    target: Target = import_module(_MODULES[name]).TARGET
    if precision not in target.precisions:
        raise UserError(f"the target {name} has no precision '{precision}': choose {' or '.join(target.precisions)}")
    return target
