"""What a worker is asked to do, as JSON; standard library only, since it travels to the device."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Job:
    """One process' work on one bundle.

    ``latency`` warms up, then times whole passes over ``texts`` until both ``inferences`` and ``seconds`` are reached;
    ``labels`` labels every text once; ``count`` does so too, and marks for an emulator what the first ``counted`` texts
    execute: tokenization and model, each a region. With ``length`` every text is cut or repeated to so many tokens.
    """

    task: Literal["latency", "labels", "count"]
    bundle: str
    texts: tuple[str, ...]
    threads: int
    inferences: int = 0
    seconds: float = 0.0
    warm_up_seconds: float = 0.0
    counted: int = 0
    length: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The job as a JSON object."""
        return dataclasses.asdict(self)
