"""One process or several: what they must agree on, and what each draws for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import Accelerator

from tlm_edge.training.optimizer import bf16_is_native


def mixed_precision(precision: str) -> str:
    """Accelerate's name for ``precision``: "auto" is bf16 where the hardware multiplies it, float32 elsewhere."""
    if precision == "auto":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        precision = "bf16" if bf16_is_native(device) else "fp32"
    return "bf16" if precision == "bf16" else "no"


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Let numbers next to nothing be nothing in this thread meanwhile: they take processors a hundred times as long.

    Afterwards they count again: who called may depend on it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def agreed(accelerator: Accelerator, stop: bool) -> bool:
    """Whether any process wants to stop: all must leave the loop at the same step."""
    if accelerator.num_processes == 1:
        return stop
    return bool(accelerator.reduce(torch.tensor(float(stop), device=accelerator.device), "sum").item())


def shared_seconds(accelerator: Accelerator, seconds: float) -> float:
    """The main process' ``seconds``: clocks differ, but all must follow one schedule."""
    if accelerator.num_processes == 1:
        return seconds
    mine = seconds if accelerator.is_main_process else 0.0
    return float(accelerator.reduce(torch.tensor(mine, device=accelerator.device), "sum").item())


def step_seed(seed: int, step: int, process: int) -> int:
    """The seed of PyTorch's generator (dropout) for one step of one process.

    Reseeding at every step makes a step independent of what ran before it, so that a resumed run draws the same.
    """
    state = np.random.SeedSequence([seed, step, process]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
