"""What an export costs: a committee of four one-layer models to all targets in int8, gates included.

    python benchmarks/export_cost.py [--rounds 3] [--work FOLDER]

Runs ``tlm-edge export COMMITTEE --target all`` in a fresh process on the first two cores, as many times as there are
rounds, and watches it and its children: the wall time from start to end, the processor time, and the largest sum of
their resident memory, which counts pages that they share once for each. What other processes of the machine computed
meanwhile is told too: with them the wall time grows. The committee is that of
``deep_against_committee.py``: the shipped members over again with noise on their weights, so that none is stored once.
The aim: 90 s and 4 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from deep_against_committee import committee_of  # isort: skip (beside this file)
from environment import describe_machine, interval, write_result  # isort: skip (beside this file)

MEMBERS, CORES = 4, 2
SAMPLE_SECONDS = 0.1


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        committee = committee_of(MEMBERS, work)
        rounds = []
        for number in range(options.rounds):
            rounds.append(measure(committee, Path(temporary) / f"bundles-{number}"))
            print(", ".join(f"{name} {value:.3g}" for name, value in rounds[-1].items()), flush=True)
    summary = {name: interval(np.array([each[name] for each in rounds])) for name in rounds[0]}
    write_result(
        "export_cost",
        {
            "what": f"exporting a committee of {MEMBERS} one-layer models to all targets, int8, gates included: wall "
            "and processor time in s, the processes' resident memory together in MB, the cores that others kept busy",
            "provenance": "measured",
            "settings": {"rounds": options.rounds, "cores": CORES, "members": MEMBERS},
            "results": summary,
            "rounds": rounds,
            "machine": describe_machine(),
        },
    )


def measure(committee: Path, out: Path) -> dict[str, float]:
    """The cost of one export, all bundles of which have to pass their gates."""
    cores = sorted(psutil.Process().cpu_affinity() or range(os.cpu_count() or 1))[:CORES]
    command = [sys.executable, "-m", "tlm_edge", "export", str(committee), "--target", "all", "--out", str(out)]
    before, busy, start, peak = os.times(), busy_seconds(), time.perf_counter(), 0
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process.cpu_affinity(cores)
    while process.poll() is None:
        peak = max(peak, resident_bytes(process))
        time.sleep(SAMPLE_SECONDS)
    wall, after = time.perf_counter() - start, os.times()
    if process.returncode:
        sys.exit(f"error: the export failed:\n{process.stdout.read()}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    others = max((busy_seconds() - busy - spent) / wall, 0.0)
    return {"wall_s": wall, "processor_s": spent, "resident_mb": peak / 1e6, "others_cores": others}


def busy_seconds() -> float:
    """What all processes of the machine have computed so far, in seconds of one core."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def resident_bytes(process: psutil.Process) -> int:
    """The resident memory of a process and all that it started."""
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_info().rss
    except psutil.NoSuchProcess:  # it ended in this moment
        pass
    return total


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path)
    options: Any = parser.parse_args()
    return options


if __name__ == "__main__":
    main()
