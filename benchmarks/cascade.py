"""What the cascade saves and what it loses, in every runtime, on texts that it was not calibrated on.

    python benchmarks/cascade.py [--target onnx …] [--rounds 5] [--work FOLDER]

Every other row of AG News' test set calibrates the shipped committee, the rows between are for the figures: accuracy
with and without the cascade by the same file, members asked, and the time of a text by itself on one thread at its own
length, tokenization not counted, against all members in one file and against BERT-6. Files take turns in rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from deep_against_committee import TEXTS, measure  # isort: skip (beside this file)
from environment import data_folder, describe_machine, interval, write_result  # isort: skip (beside this file)

MAX_DROPS = (0.2, 0.5)
#: What stands beside the cascades; the last two without the committee.
OTHERS = {"all members int8": ("agnews-committee", "int8"), "bert-6 int8": ("agnews-bert-6", "int8")}
DEEP = {"bert-6 fp32": ("agnews-bert-6", "fp32")}


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(exist_ok=True)
        calibrating, held_out = split_rows(work)
        calibrations = {drop: calibrated(drop, calibrating, work) for drop in MAX_DROPS}
        results: dict[str, Any] = {}
        for target in options.target:
            files = export(target, work)
            figures = {name: accuracy(files[name], held_out) for name in files if name.startswith("cascade")}
            results[target] = figures | {"ratios": ratios(files, held_out, work, options.rounds)}
            print(json.dumps({target: results[target]}, indent=1))
    write_result(
        "cascade",
        {
            "what": "a cascade against all members and against BERT-6: accuracy, members asked, ratios of model time",
            "provenance": "measured",
            "settings": {"rounds": options.rounds, "threads": 1, "texts_timed": TEXTS},
            "calibrations": calibrations,
            "results": results,
            "machine": describe_machine(),
        },
    )


def split_rows(work: Path) -> tuple[Path, Path]:
    """Every other row of the test set, and the rows between, as files."""
    import gzip

    with gzip.open(data_folder() / "agnews" / "test.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = list(stream)
    paths = work / "calibrating.jsonl", work / "held-out.jsonl"
    for start, path in enumerate(paths):
        path.write_text("".join(rows[start::2]), encoding="utf-8")
    return paths


def calibrated(max_drop: float, data: Path, work: Path) -> dict[str, Any]:
    """Calibrate a copy of the shipped committee; what its calibration showed."""
    from dataclasses import asdict

    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.calibrate_committee import CalibrationJob, calibrate_committee

    job = CalibrationJob(resolve_model("agnews-committee"), str(data), max_drop / 100, 0.95)
    _, stored = calibrate_committee(job, out=work / f"cascade-{max_drop}", force=True)
    return asdict(stored) | {"data": "every other row of the test set"}


def export(target: str, work: Path) -> dict[str, Path]:
    """The bundles of one runtime by name."""
    from tlm_edge.export.export import export_model

    models: dict[str, tuple[Any, str]] = {
        f"cascade {drop} int8": (work / f"cascade-{drop}", "int8") for drop in MAX_DROPS
    }
    files = {}
    for name, (model, precision) in (models | OTHERS | DEEP).items():
        print(f"exporting {name} to {target}", flush=True)
        out = work / f"{name} {target}".replace(" ", "-")
        files[name] = export_model(model, target, precision, out, force=True).folder
    return files


def accuracy(bundle: Path, data: Path) -> dict[str, Any]:
    """Accuracy with the cascade and without, what the two have apart, and the members asked."""
    from scipy.stats import binomtest

    from tlm_edge.data.tasks import load_examples
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.bundle_classifier import BundleClassifier

    cascade = BundleClassifier(open_bundle(bundle), 1)
    everyone = BundleClassifier(open_bundle(bundle), 1, all_members=True)
    examples = load_examples(str(data), cascade.labels)
    votes = cascade.votes(examples.texts)
    expected = np.asarray(examples.labels)
    own = votes.probabilities.argmax(axis=1) == expected
    full = everyone.probabilities(examples.texts).argmax(axis=1) == expected
    lost, gained = int(np.sum(full & ~own)), int(np.sum(~full & own))
    used = np.asarray(votes.members_used)
    return {
        "rows": len(own),
        "accuracy": round(float(own.mean()), 4),
        "accuracy_of_all_members": round(float(full.mean()), 4),
        "lost": lost,
        "gained": gained,
        "mcnemar_exact_p": float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0,
        "mean_members": round(float(used.mean()), 3),
        "shares": [round(float(np.mean(used == number)), 4) for number in range(1, 4)],
    }


def ratios(files: dict[str, Path], data: Path, work: Path, rounds: int) -> dict[str, Any]:
    """Each file's time over that of each cascade, round by round."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.tokenize import TextEncoder

    texts = [json.loads(line)["text"] for line in data.read_text(encoding="utf-8").splitlines()]
    bundle = open_bundle(files["all members int8"])
    encoder = TextEncoder(bundle.tokenizer_file, bundle.manifest.max_length)
    sequences = work / "sequences.json"
    token_ids = encoder.token_ids(random.Random(0).sample(texts, TEXTS))
    sequences.write_text(json.dumps([ids.tolist() for ids in token_ids]), encoding="utf-8")
    times = {name: np.array(medians) for name, medians in measure(files, sequences, rounds).items()}
    cascades = [name for name in files if name.startswith("cascade")]
    found: dict[str, Any] = {name: round(float(np.median(values)), 1) for name, values in times.items()}
    return {"median_us": found} | {
        f"{slow} / {fast}": interval(times[slow] / times[fast])
        for fast in cascades
        for slow in files
        if slow not in cascades
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", choices=["onnx", "tflite", "executorch"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    options.target = options.target or ["onnx", "tflite", "executorch"]
    return options


if __name__ == "__main__":
    main()
