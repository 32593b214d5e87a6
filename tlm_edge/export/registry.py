"""The targets: a new one is its module, with a ``TARGET``, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tlm_edge.extras import require_extra
from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    from torch import nn

#: The shipped model that is exported when none is named.
DEFAULT_MODEL = "agnews-committee"

#: target → the module that converts to it, and the extra that brings what it needs.
_MODULES = {
    "onnx": ("tlm_edge.export.onnx", "onnx"),
}


@dataclass(frozen=True)
class Target:
    """A file format and its runtime.

    ``convert(graph, file, precision)`` writes a module of ``compile.deployable`` as ``file``, for inputs of any batch
    size and length; ``packages`` are those whose versions shape the file.
    """

    name: str
    precisions: tuple[str, ...]
    model_file: str
    packages: tuple[str, ...]
    convert: Callable[[nn.Module, Path, str], None]


def require_target(name: str, precision: str) -> Target:
    """The target ``name``, if it can be had in ``precision``.

    Raises ``UserError`` if there is no such target or precision, ``MissingExtraError`` if its packages are missing.
    """
    if name not in _MODULES:
        raise UserError(f"no target '{name}': choose {' or '.join(_MODULES)}")
    module, extra = _MODULES[name]
    require_extra(extra, for_what=f"exporting to {name}")
    target: Target = import_module(module).TARGET
    if precision not in target.precisions:
        raise UserError(f"the target {name} has no precision '{precision}': choose {' or '.join(target.precisions)}")
    return target
