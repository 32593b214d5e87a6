"""Logits and accuracy of the shipped models on emulated processors against the same runtimes here.

Every shipped model is exported to every target in fp32 and int8 and labels the same AG News test texts, text by text
and with all members: here, and in the arm64 runtimes on an emulated Cortex-A72 and Cortex-A76.

    python benchmarks/emulated_outputs.py     # needs make setup-emulation and the data; hours on one core

With --work FOLDER the logits are kept there, and an interrupted run goes on with the same command.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tlm_edge.bench.emulation.machine import emulated_machine, emulator_version
from tlm_edge.bench.inputs import open_inputs
from tlm_edge.bench.profiles import profile_of
from tlm_edge.runtime.bundle import Bundle

from environment import data_folder, describe_machine, write_result  # isort: skip (beside this file)

SCRIPT = str(Path(__file__).resolve().parent / "emulated" / "logits.py")
DEVICES = ("rpi4", "rpi5")
#: The shipped classifiers, the quickest first, and how each is exported.
MODELS = ("agnews-bert-1", "agnews-committee", "agnews-bert-6")
PRECISIONS, TARGETS = ("int8", "fp32"), ("onnx", "tflite", "executorch")
#: Texts that are labelled before what is done is kept.
PART = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=500, help="how many of the test texts, evenly over the file")
    parser.add_argument("--work", type=Path, help="keep the logits there, and use those that are there")
    options = parser.parse_args()
    texts, labels = read_texts(options.texts)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.work or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        asked = folder / "texts.json"
        asked.write_text(json.dumps(texts), encoding="utf-8")
        rows = []
        for row in compare(folder, asked, labels):
            rows.append(row)
            print(json.dumps(row), flush=True)
            summary = {"machine": describe_machine(), "emulator": emulator_version(), "texts": len(texts)}
            write_result("emulated_outputs", summary | {"held": held(rows), "bundles": rows})


def read_texts(count: int) -> tuple[list[str], list[str]]:
    """``count`` texts of AG News' test rows and their labels."""
    with gzip.open(data_folder() / "agnews" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    chosen = [rows[index] for index in np.linspace(0, len(rows) - 1, count).round().astype(int)]
    return [row["text"] for row in chosen], [row["label"] for row in chosen]


def compare(folder: Path, asked: Path, labels: list[str]) -> Iterator[dict[str, Any]]:
    """A row for every bundle and processor."""
    for model, precision, target in itertools.product(MODELS, PRECISIONS, TARGETS):
        (bundle,) = (one.bundle for one in open_inputs([model], [precision], [target]))
        expected = np.array([bundle.manifest.labels.index(label) for label in labels])
        here = logits_of(bundle, asked, folder, None)
        for device in DEVICES:
            there = logits_of(bundle, asked, folder, device)
            right, right_here = (labels_of(logits) == expected for logits in (there, here))
            yield {
                "bundle": bundle.manifest.name,
                "precision": precision,
                "target": target,
                "processor": profile_of(device).cores[0].type,
                "texts": len(expected),
                "logits_within": float(np.abs(there - here).max()),
                "accuracy_here": float(right_here.mean()),
                "accuracy_there": float(right.mean()),
                "points": 100 * float(right.mean() - right_here.mean()),
                "same_label": float((labels_of(there) == labels_of(here)).mean()),
            }


def logits_of(bundle: Bundle, asked: Path, folder: Path, device: str | None) -> np.ndarray:
    """Logits, float32 (texts, members, labels), from this machine or an emulated ``device``."""
    texts = json.loads(asked.read_text(encoding="utf-8"))
    answer = folder / f"{bundle.manifest.name}-{device or 'here'}-{len(texts)}.npy"
    if not answer.is_file():
        parts = [logits_of_part(bundle, texts, start, folder, device) for start in range(0, len(texts), PART)]
        making = answer.with_name(f"making-{answer.name}")
        np.save(making, np.concatenate([np.load(part) for part in parts]))
        making.rename(answer)
        for part in parts:
            part.unlink()
    logits: np.ndarray = np.load(answer)
    return logits


def logits_of_part(bundle: Bundle, texts: list[str], start: int, folder: Path, device: str | None) -> Path:
    """The file with the logits of ``PART`` texts from ``start`` on: a deep model's of all take half an hour."""
    stem = f"{bundle.manifest.name}-{device or 'here'}-{len(texts)}-from-{start}"
    answer, asked, making = (folder / name for name in (f"{stem}.npy", f"{stem}.json", f"making-{stem}.npy"))
    if not answer.is_file():
        asked.write_text(json.dumps(texts[start : start + PART]), encoding="utf-8")
        arguments = [SCRIPT, str(bundle.folder.resolve()), str(asked), str(making)]
        if device is None:
            subprocess.run([sys.executable, *arguments], check=True)
        else:
            status, _, errors, _ = emulated_machine(profile_of(device).cores[0]).run(arguments)
            if status:
                sys.exit(f"error: {bundle.manifest.name} on {device}: {errors.strip()[-500:]}")
        making.rename(answer)
        asked.unlink()
    return answer


def labels_of(logits: np.ndarray) -> np.ndarray:
    """The label of each text, int64 (texts,): of the members' mean probability, each member weighing the same."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities.mean(axis=1).argmax(axis=-1)


def held(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The two limits that are to be kept, and whether they are."""
    floats = [row["logits_within"] for row in rows if row["precision"] == "fp32"]
    points = [abs(row["points"]) for row in rows if row["precision"] == "int8"]
    return {
        "fp32_logits_within": max(floats, default=None),
        "fp32_limit": 1e-5,
        "int8_points_within": max(points, default=None),
        "int8_limit": 0.3,
    }


if __name__ == "__main__":
    main()
