"""The targets: a new one is its module, with a ``TARGET``, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
    "tflite": ("tlm_edge.export.tflite", "tflite"),
    "executorch": ("tlm_edge.export.executorch", "executorch"),
}


#: Means every target.
ALL = "all"

#: Every precision that a target may have, from the one that changes a model the least.
PRECISIONS = ("fp32", "fp16", "int8-weight-only", "int8", "int8-static", "int4")


@dataclass(frozen=True)
class Conversion:
    """What is asked of a target: the precision, the longest input in tokens, and token sequences to calibrate on.

    ``lengths`` are those to prepare where a target's inputs can't vary: each text is padded to the next of them.
    """

    precision: str
    max_length: int
    lengths: tuple[int, ...]
    calibration: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Converted:
    """What a target made: ``lengths`` it runs, empty where any length runs, and how much of it was delegated.

    ``delegated`` is the share of the operators that the runtime's fast backend took, null where it has none.
    """

    lengths: tuple[int, ...] = ()
    delegated: float | None = None


@dataclass(frozen=True)
class OlderRuntime:
    """A runtime besides the target's own that a file can be made to be right in, and is checked in then.

    ``instead`` gives, for a precision that it computes wrongly, the one to make; ``packages`` are its versions;
    ``python()`` is the interpreter of an environment that has it, and raises ``UserError`` if there can't be one.
    """

    name: str
    instead: dict[str, str]
    packages: dict[str, str]
    python: Callable[[], Path]


@dataclass(frozen=True)
class Target:
    """A file format and its runtime.

    ``convert(graph, file, conversion)`` writes a module of ``compile.deployable`` as ``file``; ``packages`` are those
    whose versions shape the file. ``refused`` gives the precisions that other targets have and this one can't do right,
    each with the reason, a clause without a full stop. ``older`` are other runtimes that a file may be for.
    """

    name: str
    precisions: tuple[str, ...]
    model_file: str
    packages: tuple[str, ...]
    convert: Callable[[nn.Module, Path, Conversion], Converted]
    refused: dict[str, str] = field(default_factory=dict)
    older: tuple[OlderRuntime, ...] = ()

    def gentler(self, precision: str) -> tuple[str, ...]:
        """The precisions to be had that change a model less than ``precision`` does, the nearest first."""
        gentler = PRECISIONS[: PRECISIONS.index(precision)]
        return tuple(each for each in reversed(gentler) if each in self.precisions)

    def older_runtime(self, name: str) -> OlderRuntime:
        """The older runtime ``name``. Raises ``UserError`` if files of this target can't be checked in such a one."""
        for older in self.older:
            if older.name == name:
                return older
        known = " or ".join(older.name for older in self.older)
        raise UserError(f"--compat {name}: {self.name} has {f'only {known}' if known else 'no older runtime'}")


def target_names() -> tuple[str, ...]:
    """The names of all targets, whether or not their packages are installed."""
    return tuple(_MODULES)


def require_targets(name: str, precision: str) -> tuple[str, ...]:
    """The names of the targets that ``name`` means: itself, or every one for ``all``.

    Raises ``UserError`` as ``require_target`` does, for ``all`` only if none of them can be had.
    """
    if name != ALL:
        return (require_target(name, precision).name,)
    if precision not in PRECISIONS:
        raise UserError(f"no precision '{precision}': choose {' or '.join(PRECISIONS)}")
    errors = []
    for each in _MODULES:
        try:
            require_target(each, precision)
        except UserError as error:
            errors.append(error)
    if len(errors) == len(_MODULES):
        raise errors[0]
    return target_names()


def require_target(name: str, precision: str) -> Target:
    """The target ``name``, if it can be had in ``precision``.

    Raises ``UserError`` if there is no such target or precision, ``MissingExtraError`` if its packages are missing.
    """
    if name not in _MODULES:
        raise UserError(f"no target '{name}': choose {' or '.join((*_MODULES, ALL))}")
    module, extra = _MODULES[name]
    require_extra(extra, for_what=f"exporting to {name}")
    target: Target = import_module(module).TARGET
    if precision in target.refused:
        raise UserError(
            f"the precision {precision} is refused for {name}: {target.refused[precision]}; "
            f"choose {' or '.join(target.precisions)}"
        )
    if precision not in target.precisions:
        raise UserError(f"the target {name} has no precision '{precision}': choose {' or '.join(target.precisions)}")
    return target
