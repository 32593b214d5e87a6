"""The same model in the three runtimes, which take turns in one process: how many times LiteRT's time each takes.

    python benchmarks/runtimes.py [--blocks 200] [--work FOLDER]

Shipped models and a committee of four, rewritten, in fp32 and int8, one thread, one text at a time, tokenization not
counted: texts of 128 tokens, and AG News texts at their own length. A block is one pass of one runtime over the same
few texts; runtimes alternate block by block, in both orders, so that what else the machine does falls on all alike.
Each turn of the three gives a ratio; the median is quoted, with the range of the middle four fifths.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from deep_against_committee import committee_of, write_sequences  # isort: skip (beside this file)
from environment import describe_machine, write_result  # isort: skip (beside this file)

MODELS: dict[str, str | int] = {
    "bert-1": "agnews-bert-1",
    "committee of 3": "agnews-committee",
    "committee of 4": 4,
    "bert-6": "agnews-bert-6",
}
PRECISIONS = ("fp32", "int8")
TARGETS = ("onnx", "tflite", "executorch")
#: What the others are divided by.
REFERENCE = "tflite"
#: Texts of a block: few, so that a turn of all three is short.
TEXTS = 10


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        sequences = write_sequences(work)
        results: dict[str, Any] = {}
        for name, model in MODELS.items():
            for precision in PRECISIONS:
                files = exported(model, precision, work)
                for kind, path in sequences.items():
                    arguments = [str(options.blocks), str(path), *map(str, files)]
                    done = subprocess.run([sys.executable, __file__, "--worker", *arguments], capture_output=True)
                    if done.returncode:
                        sys.exit(f"error: {name} {precision}: {done.stderr.decode(errors='replace')}")
                    results.setdefault(kind, {})[f"{name} {precision}"] = told = json.loads(done.stdout)
                    print(f"{name} {precision}, {kind}: {told['ratios']}", flush=True)
    write_result(
        "runtimes",
        {
            "what": "model time of a text by itself in three runtimes that take turns in one process, against LiteRT's",
            "provenance": "measured",
            "settings": {"blocks": options.blocks, "texts_a_block": TEXTS, "threads": 1},
            "results": results,
            "machine": describe_machine(),
        },
    )


def exported(model: str | int, precision: str, work: Path) -> list[Path]:
    """The bundles for ``TARGETS``, exported unless they are in ``work``."""
    from tlm_edge.export.export import export_model

    folders = []
    for target in TARGETS:
        folders.append(work / f"{model}-{target}-{precision}")
        if not folders[-1].exists():
            print(f"exporting {folders[-1].name}", flush=True)
            source = committee_of(model, work) if isinstance(model, int) else model
            export_model(source, target, precision, folders[-1])
    return folders


def work_on(blocks: int, sequences: str, folders: list[str]) -> dict[str, Any]:
    """The worker's part: median times in µs by runtime, and the ratios to LiteRT's, block by block."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.sessions import open_session
    from tlm_edge.runtime.tokenize import pad

    bundles = [open_bundle(folder) for folder in folders]
    sessions = {bundle.manifest.target: open_session(bundle, threads=1) for bundle in bundles}
    token_ids = json.loads(Path(sequences).read_text(encoding="utf-8"))
    padding = bundles[0].manifest.pad_token_id
    inputs = [pad([ids], padding) for ids in token_ids[:: max(1, len(token_ids) // TEXTS)][:TEXTS]]
    times: dict[str, list[float]] = {target: [] for target in sessions}
    for number in range(-2, blocks):  # two to warm up
        for target in sessions if number % 2 else reversed(sessions):
            start = time.perf_counter_ns()
            for arrays in inputs:
                sessions[target].run(*arrays)
            if number >= 0:
                times[target].append((time.perf_counter_ns() - start) / len(inputs) / 1e3)
    measured = {target: np.array(values) for target, values in times.items()}
    ratios = {target: measured[target] / measured[REFERENCE] for target in measured if target != REFERENCE}
    return {
        "median_us": {target: round(float(np.median(values)), 1) for target, values in measured.items()},
        "ratios": {target: _interval(values) for target, values in ratios.items()},
        "us": {target: np.round(values, 1).tolist() for target, values in measured.items()},
    }


def _interval(ratios: np.ndarray) -> dict[str, float]:
    low, median, high = np.percentile(ratios, [10, 50, 90])
    return {"median": round(float(median), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--work", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(work_on(int(sys.argv[2]), sys.argv[3], sys.argv[4:])))
    else:
        main()
