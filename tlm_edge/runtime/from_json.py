"""Frozen dataclasses from decoded JSON, with every type checked and every fault named by its place."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

T = TypeVar("T")


class JsonShapeError(ValueError):
    """A JSON value isn't of the declared type; the message begins with where it stands, such as ``files.x.bytes``."""


def from_json(kind: type[T], value: Any, where: str = "") -> T:
    """Build ``kind`` (a dataclass) from a decoded JSON object whose keys are exactly its fields.

    Fields may be ``str``, ``int``, ``float``, ``bool``, ``Literal``, ``tuple[X, ...]``, ``dict[str, X]``, dataclasses,
    and unions of these with ``None``; a field with a default may be absent.
    Raises ``JsonShapeError`` at the first value that doesn't fit.
    """
    built: T = _decode(kind, value, where)
    return built


def _decode(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type, kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise _misfit(where, " or ".join(f"'{argument}'" for argument in arguments), value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _misfit(where, "a list", value)
        return tuple(_decode(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _misfit(where, "an object", value)
        return {key: _decode(arguments[1], item, _inside(where, key)) for key, item in value.items()}
    return _decode_scalar(kind, value, where)


def _decode_dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _misfit(where, "an object", value)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            raise JsonShapeError(f"{_inside(where, key)}: not a known key")
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _decode(hints[name], value[name], _inside(where, name))
        elif field.default is dataclasses.MISSING:
            raise JsonShapeError(f"{_inside(where, name)}: missing")
    return kind(**arguments)


def _decode_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    fault: JsonShapeError | None = None
    for kind in kinds:
        if kind is not type(None):
            try:
                return _decode(kind, value, where)
            except JsonShapeError as error:
                fault = error
    raise fault or _misfit(where, "null", value)


_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
}


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    accepted, name = _SCALARS[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _misfit(where, name, value)
    return kind(value)


def _inside(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _misfit(where: str, wanted: str, value: Any) -> JsonShapeError:
    shown = repr(value)
    return JsonShapeError(f"{where or 'the whole'}: {wanted} expected, {shown[:60]} found")
