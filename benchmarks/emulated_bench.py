"""How long ``tlm-edge bench --device rpi4 --emulate`` takes with an empty cache and after, and whether counts repeat.

The first run fetches the arm64 system and runtimes and exports the models; the second finds them in the cache.

    python benchmarks/emulated_bench.py     # needs make setup-emulation; five minutes on two free cores
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.bench.emulation.machine import emulator_version
from tlm_edge.bench.record import Record, read_records

from environment import describe_machine, write_result  # isort: skip (beside this file)

DEVICE = "rpi4"


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = [run(folder, name) for name in ("first", "second")]
        first, second = (read_records([folder / name]) for name in ("first", "second"))
        result = {"machine": describe_machine(), "emulator": emulator_version(), "device": DEVICE}
        write_result("emulated_bench", result | {"runs": runs, "counts": repeated(first, second)})


def run(folder: Path, name: str) -> dict[str, Any]:
    """One benchmark into ``folder/name``, with a cache that ``folder`` holds."""
    words = ["-m", "tlm_edge", "bench", "--device", DEVICE, "--emulate", "--out", str(folder / name)]
    load, before, start = os.getloadavg()[0], cpu_seconds(), time.perf_counter()
    environment = os.environ | {"TLM_EDGE_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, *words], env=environment, check=True)
    seconds = time.perf_counter() - start
    told = {"run": name, "seconds": seconds, "cpu_seconds": cpu_seconds() - before, "load_average_before": load}
    print(told, flush=True)
    return told


def cpu_seconds() -> float:
    """What all processes started here have computed for so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def repeated(first: list[Record], second: list[Record]) -> list[dict[str, Any]]:
    """By how much the instructions of a bundle differ from one run to the other: a text's at most, and the median's."""
    rows = []
    for one, other in zip(first, second, strict=True):
        texts, again = instructions(one), instructions(other)
        rows.append(
            {
                "bundle": one.bundle.name,
                "instructions": float(np.median(texts)),
                "largest_difference": float(np.abs(again / texts - 1).max()),
                "difference_of_median": float(abs(np.median(again) / np.median(texts) - 1)),
            }
        )
    return rows


def instructions(record: Record) -> np.ndarray:
    """Instructions for each counted text, tokenization included, float64 (texts,)."""
    assert record.emulation is not None
    return np.array(
        [text.tokenize_instructions + text.model_instructions for text in record.emulation.counted], dtype=float
    )


if __name__ == "__main__":
    main()
