"""Many batches at once: a session of one thread a core, rather than one session whose threads wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from tlm_edge.runtime.session import Session

Batch = TypeVar("Batch")
Answer = TypeVar("Answer")


class SessionPool:
    """``size`` sessions, opened by ``open_one`` when first needed; safe to use from several threads."""

    def __init__(self, open_one: Callable[[], Session], size: int) -> None:
        self._open_one = open_one
        self._size = size
        self._lock = threading.Lock()
        self._idle: SimpleQueue[Session] | None = None

    def map(self, run: Callable[[Session, Batch], Answer], batches: Iterable[Batch]) -> list[Answer]:
        """What ``run`` gives for each of ``batches``, in their order, as many at once as there are sessions.

        The first are worked on while ``batches`` still makes the others.

        Raises what ``run`` or ``open_one`` raises.
        """
        idle = self._sessions()

        def run_one(batch: Batch) -> Answer:
            session = idle.get()
            try:
                return run(session, batch)
            finally:
                idle.put(session)

        with ThreadPoolExecutor(self._size) as workers:
            return list(workers.map(run_one, batches))

    def _sessions(self) -> SimpleQueue[Session]:
        with self._lock:
            if self._idle is None:
                opened = [self._open_one() for _ in range(self._size)]
                self._idle = SimpleQueue()
                for session in opened:
                    self._idle.put(session)
            return self._idle
