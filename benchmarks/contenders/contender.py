"""What takes part: a folder with all that it loads, and what it does with a text once it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Contender:
    """A row of the table.

    ``folder`` holds what it needs at run time and nothing else, so that its size is the folder's; ``kind`` is the key
    of what loads it (``worker.load``); ``source`` the checkpoint or committee that it was made from. ``settings``
    tell the reader how it was made and is run. Where ``parallel``, it uses several cores by itself.
    """

    name: str
    kind: str
    folder: Path
    source: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    parallel: bool = False

    def size_mb(self) -> float:
        """What ``folder`` takes, in MB (10⁶ bytes)."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6


class Rival(Protocol):
    """A contender that is loaded, in a process of its own."""

    #: Whether ``prepare`` tokenizes, so that ``answer`` can be timed without it.
    separates: bool

    def forget(self, others: Sequence[str]) -> None:  # noqa: ARG002
        """Remember nothing of any text but ``others``; most never do."""
        return

    def prepare(self, text: str) -> Any:
        """The text as ``answer`` takes it."""

    def answer(self, prepared: Any) -> int:
        """The label's number."""

    def label(self, texts: Sequence[str]) -> np.ndarray:
        """The numbers of the labels of many texts, int64 (texts,), in the batches that suit it best."""
