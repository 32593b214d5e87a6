"""Texts a second on all cores: ``predict`` from texts to labels, against the runtime's own loop on ready arrays.

    python benchmarks/throughput.py [--rounds 5] [--model agnews-committee …] [--target onnx …] [--work FOLDER]

The loop is the fastest that there is here: batches of similar length, already tokenized and padded, on a session of one
thread a core. Beside it stand the same batches on one session that has all the threads, and tokenization alone. They
take turns in rounds, on AG News' test texts, whose words are known from the second round on; what words that were not
met before cost is told by itself, for texts one by one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from environment import data_folder, describe_machine, interval, write_result  # isort: skip (beside this file)

TEXTS = 3800


def main() -> None:
    from tlm_edge.data.tasks import load_examples, load_task

    options = _options()
    folder = data_folder() / "agnews"
    labels = load_task(str(folder / "train.jsonl.gz")).labels
    texts = list(load_examples(str(folder / "test.jsonl.gz"), labels).texts[:TEXTS])
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(exist_ok=True)
        results = {
            f"{target}: {model}": measure(bundle(model, target, work), texts, options.rounds)
            for model in options.model
            for target in options.target
        }
        us = tokenization(bundle(options.model[0], options.target[0], work), texts, options.rounds)
    write_result(
        "throughput",
        {
            "what": "texts a second on all cores, int8: predict against the runtime's own loop",
            "provenance": "measured",
            "settings": {"rounds": options.rounds, "texts": len(texts)},
            "results": results,
            "tokenization_us": us,
            "machine": describe_machine(),
        },
    )


def bundle(model: str, target: str, work: Path) -> Path:
    from tlm_edge.export.export import export_model

    out = work / f"{model}-{target}"
    return out if out.exists() else export_model(model, target, "int8", out).folder


def measure(folder: Path, texts: list[str], rounds: int) -> dict[str, Any]:
    """Texts a second of each way, round by round, and what share of the loop ``predict`` reaches."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.bundle_classifier import BundleClassifier
    from tlm_edge.runtime.classifier import batches_by_length
    from tlm_edge.runtime.cores import usable_cores
    from tlm_edge.runtime.pool import SessionPool
    from tlm_edge.runtime.sessions import open_session
    from tlm_edge.runtime.tokenize import pad

    opened = open_bundle(folder)
    classifier = BundleClassifier(opened)
    pool = SessionPool(lambda: open_session(opened, 1), usable_cores())
    token_ids = classifier.encoder.token_ids(texts)
    batches = [
        pad([token_ids[index] for index in batch], opened.manifest.pad_token_id)
        for batch in batches_by_length([len(ids) for ids in token_ids], 2048)
    ]
    ways: dict[str, Callable[[], object]] = {
        "predict": lambda: classifier.predict(texts),
        "loop": lambda: pool.map(lambda session, batch: session.run(*batch), batches),
        "one session": lambda: [classifier.session.run(*batch) for batch in batches],
        "tokenization": lambda: classifier.encoder.token_ids(texts),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:  # the first round warms up
                speeds[name].append(len(texts) / (time.perf_counter() - start))
    shares = {name: interval(np.array(speeds[name]) / np.array(speeds["loop"])) for name in ways if name != "loop"}
    print(folder.name, {name: round(float(np.median(each))) for name, each in speeds.items()})
    return {"texts_per_second": speeds, "share_of_loop": shares}


def tokenization(folder: Path, texts: list[str], rounds: int) -> dict[str, list[float]]:
    """µs a text of the second half, one by one, in each round: by the library, after the first half, and once more."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.tokenize import TextEncoder

    opened = open_bundle(folder)
    library, ours = (TextEncoder(opened.tokenizer_file, opened.manifest.max_length) for _ in range(2))
    assert ours.words is not None
    library.words = None
    half = len(texts) // 2
    found: dict[str, list[float]] = {"library": [], "new texts": [], "known texts": []}
    for _ in range(rounds):
        ours.words.known = {}
        ours.token_ids(texts[:half])
        for way, encoder in zip(found, (library, ours, ours), strict=True):
            start = time.perf_counter()
            for text in texts[half:]:
                encoder.token_ids([text])
            found[way].append(1e6 * (time.perf_counter() - start) / half)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--target", action="append")
    options = parser.parse_args()
    options.model = options.model or ["agnews-bert-1", "agnews-committee"]
    options.target = options.target or ["onnx", "tflite", "executorch"]
    return options


if __name__ == "__main__":
    main()
