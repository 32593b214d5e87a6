"""How long `tlm-edge` takes to answer: every --help, and one text labelled by a bundle, each in a fresh process.

    python benchmarks/startup.py [--repeats 11] [--bundle FOLDER]

Commands take turns, so that what else the machine does falls on all of them alike. Figures are seconds of the whole
process: wall time, and processor time, which other load hardly changes. The aim: every help under 0.3 s at the median,
one text under 1 s. FOLDER is the committee's ready-made bundle if not given.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from environment import describe_machine, write_result

from tlm_edge.bench.machine import busy_seconds
from tlm_edge.shipped import models_folder

HELP_LIMIT, PREDICT_LIMIT = 0.3, 1.0
TEXT = "Rovers win derby after late goal"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--bundle", type=Path, default=models_folder() / "agnews-committee" / "onnx-int8")
    options = parser.parse_args()
    program = Path(sys.executable).with_name("tlm-edge")
    commands = {" ".join(["tlm-edge", *words, "--help"]): [program, *words, "--help"] for words in command_paths()}
    if options.bundle.is_dir():
        commands["tlm-edge predict BUNDLE TEXT"] = [program, "predict", options.bundle, TEXT]
    else:
        print(f"no bundle at {options.bundle}: only the help is timed")
    wall: dict[str, list[float]] = {name: [] for name in commands}
    processor: dict[str, list[float]] = {name: [] for name in commands}
    others, start = busy_seconds(), time.perf_counter()
    for _ in range(options.repeats):
        for name, command in commands.items():
            began, used = time.perf_counter(), children_seconds()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            wall[name].append(time.perf_counter() - began)
            processor[name].append(children_seconds() - used)
    elapsed = time.perf_counter() - start
    results = {
        name: {
            "wall_median": round(median(wall[name]), 4),
            "wall_least": round(min(wall[name]), 4),
            "processor_median": round(median(processor[name]), 4),
        }
        for name in commands
    }
    print("  wall   least   processor   command")
    for name, result in results.items():
        limit = HELP_LIMIT if name.endswith("--help") else PREDICT_LIMIT
        verdict = "" if result["wall_median"] < limit else f"   over {limit} s"
        print("{:6.3f}  {:6.3f}  {:6.3f}  {}{}".format(*result.values(), name, verdict))
    busy = busy_seconds()
    content: dict[str, Any] = {
        "unit": "seconds of a fresh process",
        "repeats": options.repeats,
        "limits": {"help": HELP_LIMIT, "predict": PREDICT_LIMIT},
        "busy_cores": None if busy is None or others is None else round((busy - others) / elapsed, 2),
        "results": results,
        "machine": describe_machine(),
    }
    write_result("startup", content)


def children_seconds() -> float:
    """Processor time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command_paths() -> Iterator[tuple[str, ...]]:
    """The words that name each command and group."""
    import typer.main

    from tlm_edge.cli import app

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    return walk(typer.main.get_command(app), ())


if __name__ == "__main__":
    main()
