"""The commands of the Typer application, found by walking it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def command_paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that name each command and group: ``()``, ``("export",)``, ``("tokenizer", "train")``, …"""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from command_paths(child, (*path, name))
