"""What a fine-tuning run counts: what it goes on from when it is resumed, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tlm_edge.training.metrics import ClassificationMetrics


@dataclass
class Counters:
    """What a resumed run needs to know besides the weights. ``losses`` are those not reported yet."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_score: tuple[float, float] = (-1.0, 0.0)
    epochs_without_gain: int = 0

    def goes_on(self, steps: int, *, least_steps: int, patience: int) -> bool:
        """Whether a run of ``steps`` isn't over, nor out of ``patience`` after its ``least_steps``."""
        return self.step < steps and (self.step < least_steps or self.epochs_without_gain < patience)

    def rate(self, metrics: ClassificationMetrics, epoch: int) -> bool:
        """Whether ``epoch`` is the best so far: accuracy decides, and among equals the lower loss."""
        score = (metrics.accuracy, -metrics.loss)
        best = score > tuple(self.best_score)
        self.epochs_without_gain = 0 if best else self.epochs_without_gain + 1
        if best:
            self.best_epoch, self.best_score = epoch, score
        return best


class Clock:
    """Seconds of the run over all its sittings, and tokens a second since the last report."""

    def __init__(self, before: float, tokens: int) -> None:
        self._start = time.monotonic() - before
        self._reported, self._tokens = time.monotonic(), tokens
        self.saved = time.monotonic()

    def elapsed(self) -> float:
        """Seconds of all sittings."""
        return time.monotonic() - self._start

    def tokens_per_second(self, tokens: int) -> float:
        """The rate since the last call, ``tokens`` being counted from the start."""
        now = time.monotonic()
        rate = (tokens - self._tokens) / (now - self._reported)
        self._reported, self._tokens = now, tokens
        return rate
