"""What the exact rewrite is worth, and committees against the deep model, in every runtime.

    python benchmarks/deep_against_committee.py [--target onnx --target tflite …] [--rounds 7] [--work FOLDER]

Each model is exported (through its gate) as written and rewritten, and timed by itself: token ids in, probabilities
out, one text at a time, one thread, tokenization not counted. In every round each file gets a fresh process and the
order is drawn anew; each round gives one ratio of medians. Inputs are 128 tokens, and real AG News texts at their own
length. Committees of four and eight are the shipped members over again with noise on their weights: an export stores
equal members once, and the time does not depend on the values. The files stay in FOLDER, if one is named, for the next
time.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from environment import data_folder, describe_machine, interval, write_result  # isort: skip (beside this file)

WARM_UP, SECONDS = 0.3, 1.0
LENGTH, TEXTS = 128, 200
#: name → the model and whether it is rewritten; each in fp32 and int8.
MODELS = {
    "bert-1 as written": ("agnews-bert-1", False),
    "bert-1": ("agnews-bert-1", True),
    "committee of 3": ("agnews-committee", True),
    "committee of 4": (4, True),
    "committee of 8": (8, True),
    "bert-6 as written": ("agnews-bert-6", False),
    "bert-6": ("agnews-bert-6", True),
}
PRECISIONS = ("fp32", "int8")
#: What is divided by what: (slower, faster).
RATIOS = (
    ("bert-1 as written fp32", "bert-1 fp32"),
    ("bert-1 as written int8", "bert-1 int8"),
    ("bert-6 as written fp32", "committee of 4 fp32"),
    ("bert-6 fp32", "committee of 3 int8"),
    ("bert-6 fp32", "committee of 4 fp32"),
    ("bert-6 fp32", "committee of 4 int8"),
    ("bert-6 fp32", "committee of 8 int8"),
    ("bert-6 int8", "committee of 4 int8"),
    ("bert-6 int8", "committee of 8 int8"),
)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        files = prepare(options.target, work)
        sequences = write_sequences(work)
        results = {kind: measure(files, path, options.rounds) for kind, path in sequences.items()}
    summary: dict[str, Any] = {}
    for kind, samples in results.items():
        summary[kind] = summarise(samples, options.target)
        print_summary(kind, summary[kind])
    write_result(
        "deep_against_committee",
        {
            "what": "model time of a text by itself, medians of each round in µs, and their ratios round by round",
            "provenance": "measured",
            "settings": {"rounds": options.rounds, "threads": 1, "seconds_a_block": SECONDS, "texts": TEXTS},
            "results": summary,
            "medians_us": results,
            "machine": describe_machine(),
        },
    )


def prepare(targets: list[str], work: Path) -> dict[str, Path]:
    """Export what isn't in ``work`` yet; bundles by "target: model precision"."""
    from tlm_edge.export.export import export_model

    files = {}
    for target in targets:
        for name, (model, rewritten) in MODELS.items():
            for precision in PRECISIONS:
                out = work / f"{name} {target} {precision}".replace(" ", "-")
                if not out.exists():
                    print(f"exporting {out.name}", flush=True)
                    source = committee_of(model, work) if isinstance(model, int) else model
                    export_model(source, target, precision, out, rewritten=rewritten)
                files[f"{target}: {name} {precision}"] = out
    return files


def committee_of(members: int, work: Path) -> Path:
    """A committee of so many members that no two of share a weight."""
    import torch

    from tlm_edge.modeling.checkpoint import load_classifier, save_checkpoint
    from tlm_edge.modeling.committee import build_committee, member_folders
    from tlm_edge.shipped import resolve_model

    out = work / f"committee-{members}"
    if out.exists():
        return out
    shipped = resolve_model("agnews-committee")
    folders = []
    for number, source in enumerate(islice(cycle(member_folders(shipped)), members)):
        torch.manual_seed(number)
        model = load_classifier(source)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 1e-3)
        folder = work / f"member-{members}-{number}"
        folder.mkdir()
        save_checkpoint(folder, model, shipped)
        folders.append(folder)
    build_committee(folders, out)
    return out


def write_sequences(work: Path) -> dict[str, Path]:
    """Token ids to time on: texts of exactly 128 tokens, and texts at their own length."""
    from tlm_edge.data.tasks import load_examples
    from tlm_edge.modeling.config import read_config
    from tlm_edge.runtime.tokenize import TextEncoder
    from tlm_edge.shipped import resolve_model

    model = resolve_model("agnews-bert-1")
    texts = load_examples(str(data_folder() / "agnews" / "test.jsonl.gz"), read_config(model).labels).texts
    encoder = TextEncoder(model / "tokenizer.json", LENGTH)
    chosen = random.Random(0).sample(range(len(texts)), TEXTS)
    own = encoder.token_ids([texts[index] for index in chosen])
    running = [" ".join(texts[index : index + 8]) for index in chosen[:20]]
    full = [ids for ids in encoder.token_ids(running) if len(ids) == LENGTH]
    paths = {}
    for kind, sequences in {f"{LENGTH} tokens": full, "own length": own}.items():
        paths[kind] = work / f"{kind.replace(' ', '-')}.json"
        paths[kind].write_text(json.dumps([ids.tolist() for ids in sequences]), encoding="utf-8")
    return paths


def measure(files: dict[str, Path], sequences: Path, rounds: int) -> dict[str, list[float]]:
    """The median time of a text in each round, in µs, by file."""
    medians: dict[str, list[float]] = {name: [] for name in files}
    for number in range(rounds):
        names = list(files)
        random.Random(number).shuffle(names)
        for name in names:
            worker = [sys.executable, __file__, "--worker", str(files[name]), str(sequences)]
            done = subprocess.run(worker, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"error: {name}: {done.stderr}")
            medians[name].append(float(done.stdout))
        print(f"{sequences.stem}: round {number + 1} of {rounds}", flush=True)
    return medians


def work_on(bundle: str, sequences: str) -> float:
    """The worker's part: the median time of a text in µs."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.sessions import open_session
    from tlm_edge.runtime.tokenize import pad

    opened = open_bundle(bundle)
    session = open_session(opened, threads=1)
    return median_us(
        session.run, [pad([ids], opened.manifest.pad_token_id) for ids in json.loads(Path(sequences).read_text())]
    )


def median_us(run: Callable[[np.ndarray, np.ndarray], Any], inputs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The mean over ``inputs`` of each one's median time over several passes, in µs: one slow moment doesn't count."""
    start = time.perf_counter()
    while time.perf_counter() - start < WARM_UP:
        run(*inputs[0])
    passes = []
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS or len(passes) < 3:
        times = np.empty(len(inputs))
        for index, arrays in enumerate(inputs):
            began = time.perf_counter_ns()
            run(*arrays)
            times[index] = time.perf_counter_ns() - began
        passes.append(times)
    return float(np.median(passes, axis=0).mean() / 1e3)


def summarise(samples: dict[str, list[float]], targets: list[str]) -> dict[str, Any]:
    """Medians over the rounds by file, and the ratios round by round."""
    times = {name: np.array(values) for name, values in samples.items()}
    ratios = {
        f"{target}: {slow} / {fast}": interval(times[f"{target}: {slow}"] / times[f"{target}: {fast}"])
        for target in targets
        for slow, fast in RATIOS
    }
    across = [target for target in targets if target != "tflite"] if "tflite" in targets else []
    for target in across:
        for model in (f"{name} {precision}" for name in MODELS for precision in PRECISIONS):
            ratios[f"{model}: {target} / tflite"] = interval(times[f"{target}: {model}"] / times[f"tflite: {model}"])
    return {"median_us": {name: round(float(np.median(t)), 1) for name, t in times.items()}, "ratios": ratios}


def print_summary(kind: str, summary: dict[str, Any]) -> None:
    print(f"\n{kind}")
    for name, value in summary["median_us"].items():
        print(f"  {value:10.1f} µs  {name}")
    for name, ratio in summary["ratios"].items():
        print(f"  {ratio['median']:7.2f} ({ratio['min']:.2f} … {ratio['max']:.2f})  {name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", choices=["onnx", "tflite", "executorch"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    options.target = options.target or ["onnx", "tflite", "executorch"]
    return options


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(work_on(*sys.argv[2:]))
    else:
        main()
