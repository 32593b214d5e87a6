"""The process of one contender: it loads it and does what it is told, a line of JSON each way.

    python -m contenders.worker JOB        with benchmarks/ as the working folder or on the path

Nothing of another contender is imported here, so that the memory is its own: Python, NumPy, its library, itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contenders.contender import Rival
from tlm_edge.bench.machine import peak_resident_mb, resident_mb


def load(job: dict[str, Any]) -> Rival:
    """The contender that ``job`` describes (``process.job_of``)."""
    kind, folder, threads, labels = job["kind"], Path(job["folder"]), job["threads"], job["labels"]
    if kind == "bundle":
        from contenders.ours import Bundled

        return Bundled(folder, threads, labels)
    if kind == "static":
        from contenders.static import Static

        return Static(folder)
    if kind == "pipeline":
        from contenders.others import Pipeline

        return Pipeline(folder, threads, labels)
    if kind.startswith("plain-"):
        from contenders.others import Plain

        return Plain(folder, labels, kind.removeprefix("plain-"), job["own_labels"])
    from contenders import simple

    return {"tfidf": simple.Tfidf, "fasttext": simple.FastText}[kind](folder)


class Worker:
    """Holds the contender and the texts that are timed."""

    def __init__(self, rival: Rival) -> None:
        self.rival = rival
        self.texts: list[str] = []
        self.others: list[str] = []

    def label(self, texts: list[str]) -> list[int]:
        return [int(label) for label in self.rival.label(texts)]

    def hold(self, texts: list[str], others: list[str]) -> None:
        """Keep ``texts`` for the turns that follow, before each of which ``others`` alone have been met."""
        self.texts, self.others = texts, others

    def turn(self, warm_up: int) -> dict[str, Any]:
        """Each text by itself, in µs; the first few go before, untimed, since others had the caches meanwhile."""
        rival, prepare_us, answer_us = self.rival, [], []
        rival.forget(self.others)
        for text in self.texts[:warm_up]:
            rival.answer(rival.prepare(text))
        for text in self.texts:
            start = time.perf_counter_ns()
            prepared = rival.prepare(text)
            between = time.perf_counter_ns()
            rival.answer(prepared)
            end = time.perf_counter_ns()
            prepare_us.append((between - start) / 1e3)
            answer_us.append((end - between) / 1e3)
        return {"prepare_us": prepare_us, "answer_us": answer_us, "separates": rival.separates}

    def speed(self, seconds: float) -> float:
        """Texts a second over whole passes of at least so many seconds."""
        done, start = 0, time.perf_counter()
        while done == 0 or time.perf_counter() - start < seconds:
            self.rival.label(self.texts)
            done += len(self.texts)
        return done / (time.perf_counter() - start)

    def memory(self) -> dict[str, Any]:
        return {"resident_mb": resident_mb(), "peak_mb": peak_resident_mb()}


def main() -> None:
    # A runtime may print to standard output: that must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    bare, start = resident_mb(), time.perf_counter()
    worker = Worker(load(job))
    worker.rival.answer(worker.rival.prepare("A text that has the libraries load all that they put off."))
    told: Any = {"bare_mb": bare, "loaded_mb": resident_mb(), "load_ms": (time.perf_counter() - start) * 1e3}
    ways: dict[str, Callable[..., Any]] = {
        name: getattr(worker, name) for name in ("label", "hold", "turn", "speed", "memory")
    }
    while True:
        answers.write(json.dumps(told) + "\n")
        answers.flush()
        asked = sys.stdin.readline()
        if not asked:
            return
        way, *arguments = json.loads(asked)
        told = ways[way](*arguments)


if __name__ == "__main__":
    main()
