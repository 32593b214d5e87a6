"""The tasks: rows to learn from, rows that weight votes and calibrate, and rows that every figure is of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from environment import data_folder

#: The files of each task to learn from, and that with the test rows.
FILES = {
    "agnews": (("agnews/train.jsonl.gz", "agnews/train_extra.jsonl.gz"), "agnews/test.jsonl.gz"),
    "dbpedia": (("dbpedia/train.jsonl.gz", "dbpedia/train_extra.jsonl.gz"), "dbpedia/test.jsonl.gz"),
    "fewrel": (("fewrel/train64.json.gz",), "fewrel/test64.json.gz"),
}


@dataclass(frozen=True)
class Rows:
    """The rows of a task; labels are numbers (rows,) int64 into ``names``."""

    task: str
    names: tuple[str, ...]
    sources: tuple[str, ...]
    texts: list[str]
    labels: np.ndarray
    #: Every other test row, as JSON Lines: no model learns from them, but votes are weighted and cascades calibrated.
    weighing: Path
    #: Their texts.
    other_texts: list[str]
    #: The test rows between, which nothing was chosen by.
    held_out: list[str]
    expected: np.ndarray
    markers: tuple[str, ...]


def read_rows(name: str, work: Path) -> Rows:
    """The rows of the task ``name``; the halves of its test set are written into ``work``."""
    from tlm_edge.data.tasks import load_examples, load_task

    files, test_file = FILES[name]
    sources = tuple(str(data_folder() / file) for file in files)
    task = load_task(sources[0])
    parts = [task.splits["train"], *(load_examples(source, task.labels) for source in sources[1:])]
    test = load_examples(str(data_folder() / test_file), task.labels)
    weighing = work / f"{name}-weighing.jsonl"
    rows = [
        json.dumps({"text": text, "label": task.labels[label]}) + "\n"
        for text, label in zip(test.texts[::2], test.labels[::2].tolist(), strict=True)
    ]
    weighing.write_text("".join(rows), encoding="utf-8")
    return Rows(
        name,
        task.labels,
        sources,
        [text for part in parts for text in part.texts],
        np.concatenate([part.labels for part in parts]),
        weighing,
        list(test.texts[::2]),
        list(test.texts[1::2]),
        test.labels[1::2],
        task.markers,
    )
