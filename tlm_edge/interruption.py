"""Signals that ask to stop, noted instead of obeyed: whoever works looks at them where stopping loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interruption() -> Iterator[Callable[[], int]]:
    """Yield a function that tells the number of the signal (SIGINT, SIGTERM) that asked to stop, 0 if none did.

    The second Ctrl-C interrupts at once, as usual.
    """
    received = 0
    previous: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        previous[number] = signal.signal(number, note)
    try:
        yield lambda: received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
