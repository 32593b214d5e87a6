"""Why ``tlm-edge finetune`` does by default what it does: each part left away or changed, on held-out training rows.

    python benchmarks/finetuning.py [--work FOLDER] [--finished]

No test set is touched: of the training rows of AG News, DBPedia and FewRel (a hundred a relation) and of the film
reviews' first split in ``new_tasks.py`` some are learned and others asked. Each change is trained from ``wiki-bert-1``
with several seeds, which draw other orders and, of the rows to learn, another tenth to choose the pass by. In-process,
on one thread. What is trained is kept in FOLDER as one figure a run, and the same command goes on from there;
``--finished`` tells of what is there.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ[variable] = "false" if variable.startswith("TOK") else "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from environment import data_folder, describe_machine, kept_work_options, write_result  # noqa: E402 (beside this file)
from new_tasks import RATED, Rows, fetch, rated, write_rows  # noqa: E402 (beside this file)

from tlm_edge.data.tasks import load_examples, load_task  # noqa: E402
from tlm_edge.files import write_json  # noqa: E402
from tlm_edge.modeling.predict import TorchClassifier  # noqa: E402
from tlm_edge.reproduce.baseline import baseline_probabilities  # noqa: E402
from tlm_edge.reproduce.statistics import paired_difference  # noqa: E402
from tlm_edge.shipped import resolve_model  # noqa: E402
from tlm_edge.training.classification import FinetuneJob  # noqa: E402
from tlm_edge.training.finetune import FinetuneRecipe  # noqa: E402
from tlm_edge.training.finetune_job import run_finetune  # noqa: E402

ENCODER = "wiki-bert-1"
SEEDS = (0, 1)
DEFAULTS = "defaults"
#: What differs from the defaults.
CHANGES: dict[str, dict[str, Any]] = {
    DEFAULTS: {},
    "3 passes": {"epochs": 3},
    "weights of one step": {"averaged": 0.0},
    "15 % of the tokens hidden": {"mask_probability": 0.15},
    "dropout 0.2": {"dropout": 0.2},
    "learning rate 1e-3": {"learning_rate": 1e-3},
}
#: Rows to learn and rows to ask.
LEARNED, ASKED = 4000, 4000
LEARNED_A_RELATION, ASKED_A_RELATION = 100, 60


def main() -> None:
    options = kept_work_options(__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        results = {}
        for name, (learned, asked) in tasks(work).items():
            files = [write_rows(rows, work / f"{name}-{part}") for part, rows in (("train", learned), ("dev", asked))]
            found = {
                change: [score for seed in SEEDS if (score := cell(work, name, change, seed, files, options.finished))]
                for change in CHANGES
            }
            whole = {change: scores for change, scores in found.items() if len(scores) == len(SEEDS)}
            if DEFAULTS not in whole:
                continue
            results[name] = {
                "rows": [len(learned), len(asked)],
                "tfidf": words_alone(files),
                "accuracy": whole,
                "difference": {
                    change: asdict(paired_difference(scores, whole[DEFAULTS])) for change, scores in whole.items()
                },
            }
            print(name, results[name]["tfidf"], whole, flush=True)
    write_result(
        "finetuning",
        {
            "what": "accuracy on held-out training rows with the defaults of fine-tuning, and with one of them changed",
            "provenance": "measured",
            "encoder": ENCODER,
            "defaults": asdict(FinetuneRecipe()),
            "changes": CHANGES,
            "seeds": SEEDS,
            "tasks": results,
            "machine": describe_machine(),
        }
        | ({"took_seconds": None} if options.finished else {}),
    )


def tasks(work: Path) -> dict[str, tuple[Rows, Rows]]:
    """Rows to learn and rows to ask, none of them of a test set."""
    found = {}
    for name in ("agnews", "dbpedia"):
        lines = gzip.decompress((data_folder() / name / "train.jsonl.gz").read_bytes()).decode().splitlines()
        rows: Rows = [(row["label"], row["text"]) for row in map(json.loads, lines)]
        order = np.random.default_rng(0).permutation(len(rows))
        found[name] = ([rows[row] for row in order[:LEARNED]], [rows[row] for row in order[-ASKED:]])
    relations = json.loads(gzip.decompress((data_folder() / "fewrel/train64.json.gz").read_bytes()))
    found["fewrel"] = (
        [(name, one) for name, those in relations.items() for one in those[:LEARNED_A_RELATION]],
        [(name, one) for name, those in relations.items() for one in those[-ASKED_A_RELATION:]],
    )
    films = rated(fetch(work), RATED["film reviews"])
    # Those that the first split of new_tasks.py learns.
    order = np.random.default_rng(0).permutation(len(films))[len(films) // 5 :]
    asked = len(order) // 4
    found["film reviews"] = ([films[row] for row in order[asked:]], [films[row] for row in order[:asked]])
    return found


def cell(work: Path, name: str, change: str, seed: int, files: list[Path], finished: bool) -> float | None:
    """The accuracy of one run; None if it isn't there and nothing is to be trained."""
    kept = work / "cells" / f"{name}-{change.replace(' ', '-').replace('%', 'percent')}-{seed}.json"
    if not kept.is_file():
        if finished:
            return None
        with tempfile.TemporaryDirectory() as folder:
            recipe = replace(FinetuneRecipe(seed=seed), **CHANGES[change])
            job = FinetuneJob((str(files[0]),), Path(folder) / "model", recipe, resolve_model(ENCODER))
            run_finetune(job)
            asked = load_examples(files[1], load_task(files[0]).labels)
            said = TorchClassifier(job.out, 1).probabilities(asked.texts).argmax(axis=1)
        kept.parent.mkdir(exist_ok=True)
        write_json(kept, float((said == asked.labels).mean()))
    return float(json.loads(kept.read_text(encoding="utf-8")))


def words_alone(files: list[Path]) -> float:
    """The accuracy of TF-IDF with logistic regression that learns the same rows."""
    task = load_task(files[0])
    learned, asked = task.splits["train"], load_examples(files[1], task.labels)
    said = baseline_probabilities(learned.texts, learned.labels, asked.texts, len(task.labels), 0).argmax(axis=1)
    return float((said == asked.labels).mean())


if __name__ == "__main__":
    main()
