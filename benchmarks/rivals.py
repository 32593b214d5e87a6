"""Committees, pure and mixed, beside BERT-6, its plain exports and the strong simple rivals: accuracy, time, memory.

    python benchmarks/rivals.py [--task agnews|dbpedia|fewrel] [--committee COMMITTEE] [--models DIR …]
        [--rounds 20] [--speed-rounds 3] [--work FOLDER]

All learn from the same rows. Every other row of the test set weights votes, calibrates cascades and chooses where
BERT-6 may exit early; every figure is of the rows between. Each contender is a process of its own. For the time of a
text they take turns in rounds, one thread, the same texts one by one at their own length; then in rounds again for
texts a second, in batches, with one thread and on all cores. Ratios are to the reference, by rounds. What is fitted
and exported stays in FOLDER, if one is named. Only AG News has a BERT-6, and with it plain exports and early exits;
``--models`` adds checkpoints or committees of one's own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from contenders import early_exit, figures, members, ours, timing  # noqa: E402 (beside this file)
from contenders.arithmetic import work_of  # noqa: E402
from contenders.contender import Contender  # noqa: E402
from contenders.limits import measure_limits, roofline_ms  # noqa: E402
from contenders.others import other_contenders  # noqa: E402
from contenders.process import process_of  # noqa: E402
from contenders.rows import FILES, Rows, read_rows  # noqa: E402
from contenders.simple import simple_contenders  # noqa: E402
from environment import data_folder, describe_machine, write_result  # noqa: E402

#: Texts that are timed one by one in each round.
TEXTS = 64


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        rows = read_rows(options.task, work)
        lined = line_up(rows, work, options)
        reference = f"{lined.whole} + n-grams, onnx int8"
        timed = texts_to_time(rows)
        results = figures.accuracies(label_all(lined.contenders, rows), rows.expected, reference)
        measured = timing.measure(
            lined.contenders,
            rows.names,
            timed,
            rows.held_out[: timing.BATCHED],
            rows.other_texts,
            cores=os.cpu_count() or 1,
            rounds=options.rounds,
            speed_rounds=options.speed_rounds,
        )
        limits = measure_limits()
        print("timing is done", flush=True)
        turns = {name: each.turns for name, each in measured.items()}
        times = figures.times(turns, reference)
        for contender in lined.contenders:
            name = contender.name
            results[name] |= times[name]
            results[name] |= others(contender, rows, timed, results[name], measured[name], limits)
        told: dict[str, Any] = {"refused": lined.refused}
        if lined.exits:
            told |= members_told(lined.contenders, rows, reference, results)
            told["early_exit"] = early_exit.told(lined.exits, lined.contenders, turns, timed)
    name = "rivals" if rows.task == "agnews" else f"rivals_{rows.task}"
    write_result(name, record(rows, reference, options, timed, limits, results) | told)


@dataclass(frozen=True)
class LineUp:
    """Everyone who takes part, ready to be loaded; who can't, and why.

    ``whole`` names the committee of all members and ``exits`` are those of BERT-6 that were tried, where there are any.
    """

    contenders: list[Contender]
    refused: dict[str, str]
    whole: str
    exits: tuple[early_exit.Exit, ...] = ()


def line_up(rows: Rows, work: Path, options: argparse.Namespace) -> LineUp:
    """Have everyone fitted and exported, unless ``work`` holds it."""
    from tlm_edge.shipped import resolve_model

    contenders = simple_contenders(rows, work)
    models, whole = ours.shipped_models(rows, work, options.committee or f"{rows.task}-committee")
    exits: tuple[early_exit.Exit, ...] = ()
    if "BERT-6" in models:
        contenders += other_contenders({name: models[name] for name in ("BERT-1", "BERT-6")}, work)
        exits = early_exit.exits(rows, work, models["BERT-6"])
        models |= early_exit.models(early_exit.cheapest(exits), models["n-grams"], rows, work, models["BERT-6"])
    models |= {resolve_model(model).name: resolve_model(model) for model in options.models}
    exported, refused = ours.bundles(models, rows, work)
    return LineUp(contenders + exported, refused, whole, exits)


def texts_to_time(rows: Rows) -> list[str]:
    """Held-out texts evenly spaced over their distribution of lengths."""
    from tlm_edge.bench import protocol

    profile = protocol.Profile("rivals", 0, 0.0, 1, TEXTS, 0.0)
    return protocol.texts_to_time(rows.held_out, profile, seed=0)


def label_all(contenders: list[Contender], rows: Rows) -> dict[str, np.ndarray]:
    """The label of each held-out row by everyone, as many at once as there are cores."""

    def label(contender: Contender) -> np.ndarray:
        with process_of(contender, rows.names, 1) as process:
            found = np.array(process.ask("label", rows.held_out))
        print(f"{contender.name}: {(found == rows.expected).mean():.4f}", flush=True)
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip([each.name for each in contenders], pool.map(label, contenders), strict=True))


def others(
    contender: Contender,
    rows: Rows,
    timed: list[str],
    times: dict[str, Any],
    measured: timing.Measured,
    limits: dict[str, Any],
) -> dict[str, Any]:
    """Speed, memory, size, multiply-adds, how far from what the machine could do, and how many members are asked."""
    work = work_of(contender, timed)
    least = roofline_ms(limits, work.multiply_adds, work.bytes_read, contender.settings.get("precision", "fp32"))
    told = {
        "texts_per_second": measured.texts_per_second,
        "memory_mb": measured.memory_mb,
        "load_ms": measured.load_ms,
        "size_mb": round(contender.size_mb(), 3),
        "multiply_adds": round(work.multiply_adds),
        "bytes_read": round(work.bytes_read),
        "roofline_ms": least,
        "times_roofline": (times["model_ms"] or times["text_ms"])["mean"] / least,
        "settings": contender.settings,
    }
    if "margins" in contender.settings:
        texts = {"timed": timed, "held_out": rows.held_out}
        asked = {name: ours.members_asked(contender.folder, each) for name, each in texts.items()}
        told["members_asked"] = {name: float(each.mean()) for name, each in asked.items()}
    return told


def members_told(
    contenders: list[Contender], rows: Rows, mixed: str, results: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    (bundle,) = (each.folder for each in contenders if each.name == mixed)
    curve = members.curve(bundle, rows)
    return {
        "members": curve,
        "members_time": {target: members.crossover(results, len(curve), target) for target in ours.CURVE_TARGETS},
    }


def record(
    rows: Rows,
    reference: str,
    options: argparse.Namespace,
    timed: list[str],
    limits: dict[str, Any],
    results: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What is kept."""
    from importlib.metadata import version

    packages = ("fasttext-numpy2-wheel", "onnx", "optimum", "scipy", "safetensors")
    return {
        "what": "accuracy, time, memory, size and arithmetic of committees, BERT-6, plain exports and simple rivals",
        "provenance": "measured; multiply-adds and bytes counted; how many members are as slow as BERT-6, and the "
        "time of an early exit with a shared trunk, estimated",
        "task": rows.task,
        "settings": {
            "rounds": options.rounds,
            "speed_rounds": options.speed_rounds,
            "texts_timed": len(timed),
            "characters_timed": [len(text) for text in timed],
            "texts_batched": timing.BATCHED,
            "warm_up_texts": timing.WARM_UP,
            "texts_read_before": len(rows.other_texts),
            "least_seconds_of_speed": timing.SPEED_SECONDS,
            "threads": 1,
            "all_cores": os.cpu_count(),
            "training_rows": len(rows.texts),
            "training_files": [str(Path(source).relative_to(data_folder())) for source in rows.sources],
            "labels": len(rows.names),
            "rows": len(rows.held_out),
            "rows_for_weights_and_thresholds": "every other row of the test set, from the first",
            "seed": 0,
        },
        "reference": reference,
        "limits": limits,
        "results": results,
        "machine": describe_machine(),
        "more_versions": {package: version(package) for package in packages},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(FILES), default="agnews")
    parser.add_argument("--committee", help="the task's pure committee; the shipped one if not named")
    parser.add_argument("--models", nargs="*", default=[], help="checkpoints or committees of the task")
    parser.add_argument("--rounds", type=int, default=20, help="at least 3, for the intervals of the ratios")
    parser.add_argument("--speed-rounds", type=int, default=3)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error(f"--rounds {options.rounds}: the interval of a ratio needs at least 3")
    return options


if __name__ == "__main__":
    main()
