"""What committees of the shipped encoders reach with all training rows, on three tasks, and what their parts are worth.

    python benchmarks/committees.py [--work FOLDER] [--finished]

Each way is what ``tlm-edge committee train --with-ngrams`` makes of all the rows: a member of each shipped encoder,
n-grams beside them, votes weighted by the held-out tenth. A way differs from another in what its name says: the recipe
that was the default before, and that one with ``--plain-start``. Differences of members are paired by encoder;
McNemar's test is on the test rows. TF-IDF (words and pairs) with logistic regression learns all the rows, too.
In-process, on one thread. What is trained stays in FOLDER, if one is named: the committees can be given to ``rivals.py
--models``; ``--finished`` tells of what is there and trains nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ[variable] = "false" if variable.startswith("TOK") else "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from environment import data_folder, describe_machine, kept_work_options, write_result  # noqa: E402 (beside this file)

from tlm_edge.data.tasks import Examples, load_examples, load_task  # noqa: E402
from tlm_edge.modeling.committee import member_folders, vote_weights  # noqa: E402
from tlm_edge.modeling.members import read_member_config  # noqa: E402
from tlm_edge.modeling.ngrams import NgramConfig  # noqa: E402
from tlm_edge.modeling.predict import TorchClassifier  # noqa: E402
from tlm_edge.reproduce.baseline import baseline_probabilities  # noqa: E402
from tlm_edge.reproduce.statistics import bootstrap_difference, mcnemar, paired_difference  # noqa: E402
from tlm_edge.shipped import ENCODERS, resolve_model  # noqa: E402
from tlm_edge.training.classification import FinetuneJob  # noqa: E402
from tlm_edge.training.committee_training import CommitteeJob, run_committee  # noqa: E402
from tlm_edge.training.finetune import FinetuneRecipe  # noqa: E402
from tlm_edge.training.run import work_folder  # noqa: E402


@dataclass(frozen=True)
class AllRows:
    """A task's files below the data folder, and how its members are fine-tuned where not by the defaults."""

    train: tuple[str, ...]
    test: str
    recipe: Mapping[str, Any]


TASKS = {
    "agnews": AllRows(
        ("agnews/train.jsonl.gz", "agnews/train_extra.jsonl.gz"), "agnews/test.jsonl.gz", {"class_balance": True}
    ),
    "dbpedia": AllRows(("dbpedia/train.jsonl.gz", "dbpedia/train_extra.jsonl.gz"), "dbpedia/test.jsonl.gz", {}),
    "fewrel": AllRows(("fewrel/train64.json.gz",), "fewrel/test64.json.gz", {}),
}
DEFAULTS, FORMER, PLAIN = "defaults", "former recipe", "plain start"
_FORMER = {"epochs": 3, "mask_probability": 0.15, "averaged": 0.0}
#: What differs from the defaults.
WAYS: dict[str, dict[str, Any]] = {
    DEFAULTS: {},
    FORMER: _FORMER,
    PLAIN: {**_FORMER, "plain_start": True},
}
#: What a way is held against.
AGAINST = {FORMER: DEFAULTS, PLAIN: FORMER}
#: Of the former recipe sixty-four labels took more passes.
MORE_PASSES = {"fewrel": {"epochs": 6, "learning_rate": 1e-3}}
#: All members of a task are held out the same rows.
SPLIT_SEED = 0


def main() -> None:
    options = kept_work_options(__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        left = []
        trained: dict[str, dict[str, Path]] = {task: {} for task in TASKS}
        for way in WAYS:
            for task in TASKS:
                out = work / f"{task}-{way.replace(' ', '-')}"
                if options.finished and not out.is_dir():
                    left.append([task, way])
                    continue
                changes = {**WAYS[way], **({} if way == DEFAULTS else MORE_PASSES.get(task, {}))}
                train(task, out, changes)
                trained[task][way] = out
        results = {task: outcome(task, committees) for task, committees in trained.items() if committees}
    write_result(
        "committees",
        {
            "what": "test accuracy of committees of the shipped encoders, all training rows",
            "provenance": "measured",
            "encoders": ENCODERS,
            "settings": {task: {"train": rows.train, "test": rows.test, **rows.recipe} for task, rows in TASKS.items()},
            "ways": WAYS,
            "against": AGAINST,
            "more_passes": MORE_PASSES,
            "tasks": results,
            "not_run": left,
            "machine": describe_machine(),
        }
        | ({"took_seconds": None} if options.finished else {}),
    )


def train(task: str, out: Path, changes: Mapping[str, Any], *, with_ngrams: bool = True, **more: Any) -> None:
    """Train the committee ``out``, or go on with it; nothing if it is there.

    ``changes`` are to the recipe of ``finetune``, ``more`` are other fields of its job.
    """
    rows = TASKS[task]
    finetune = FinetuneJob(
        data=tuple(str(data_folder() / file) for file in rows.train),
        out=out,
        recipe=replace(FinetuneRecipe(seed=SPLIT_SEED), **{**rows.recipe, **changes}),
        half=True,
        **more,
    )
    encoders = tuple(resolve_model(name) for name in ENCODERS)
    started = out.exists() or work_folder(out).exists()
    run_committee(CommitteeJob(len(encoders), out, finetune, encoders, with_ngrams=with_ngrams), resume=started)


def outcome(task: str, committees: Mapping[str, Path]) -> dict[str, Any]:
    """The accuracies of each way to train, of TF-IDF, and the differences between them."""
    names = load_task(data_folder() / TASKS[task].train[0]).labels
    test = load_examples(data_folder() / TASKS[task].test, names)
    right = {"TF-IDF": [words_alone(task, names, test.texts) == test.labels]}
    for way, folder in committees.items():
        right |= {f"{kind}, {way}": each for kind, each in right_answers(folder, test).items()}
    found = {
        "test_rows": len(test),
        "weights": {way: vote_weights(folder) for way, folder in committees.items()},
        "accuracy": {name: [float(one.mean()) for one in each] for name, each in right.items()},
    }
    print(f"{task}: { {name: np.round(each, 4).tolist() for name, each in found['accuracy'].items()} }", flush=True)
    return found | {"differences": list(differences(right))}


def right_answers(folder: Path, test: Examples) -> dict[str, list[np.ndarray]]:
    """Which rows of ``test`` (rows,) each member has right, n-grams by themselves, all members, and these with n-grams.

    ``folder`` is what ``train`` made, with n-grams as its last member or without.
    """
    each = [TorchClassifier(member, 1).probabilities(test.texts) for member in member_folders(folder)]
    with_ngrams = isinstance(read_member_config(member_folders(folder)[-1]), NgramConfig)
    pure = each[:-1] if with_ngrams else each
    votes = {"member": pure, f"committee of {len(pure)}": [np.mean(pure, axis=0)]}
    if with_ngrams:
        votes["n-grams"] = each[-1:]
        weighted = np.average(each, axis=0, weights=vote_weights(folder) or None)
        votes[f"committee of {len(pure)} + n-grams"] = [weighted]
    return {kind: [answer.argmax(axis=1) == test.labels for answer in answers] for kind, answers in votes.items()}


def words_alone(task: str, names: tuple[str, ...], texts: tuple[str, ...]) -> np.ndarray:
    """The labels that TF-IDF with logistic regression gives to ``texts``, learned from all rows."""
    sources = [load_task(data_folder() / file, labels=names) for file in TASKS[task].train]
    learned = [text for source in sources for text in source.splits["train"].texts]
    labels = np.concatenate([source.splits["train"].labels for source in sources])
    return baseline_probabilities(learned, labels, texts, len(names), 0).argmax(axis=1)


def differences(right: Mapping[str, list[np.ndarray]]) -> Iterator[dict[str, Any]]:
    """Members of one way against those of another, and committees against a single member and against TF-IDF."""
    members = f"member, {DEFAULTS}"
    for first, second in ((f"member, {way}", f"member, {other}") for way, other in AGAINST.items()):
        if first not in right or second not in right:
            continue
        yield of_members(right, first, second)
    for name in [name for name in right if name.startswith("committee") and name.endswith(DEFAULTS)]:
        for other in (members, "TF-IDF"):
            yield of_one(right, name, other)


def of_members(right: Mapping[str, list[np.ndarray]], first: str, second: str) -> dict[str, Any]:
    """The difference of as many members of two ways, paired by encoder, with a test of each pair's rows."""
    accuracies = ([float(one.mean()) for one in right[side]] for side in (first, second))
    return {
        "first": first,
        "second": second,
        "difference": asdict(paired_difference(*accuracies)),
        "rows": [asdict(mcnemar(*pair)) for pair in zip(right[first], right[second], strict=True)],
    }


def of_one(right: Mapping[str, list[np.ndarray]], first: str, second: str) -> dict[str, Any]:
    """The difference of one model and one or several others, with a test of the rows against each."""
    return {
        "first": first,
        "second": second,
        "difference": asdict(bootstrap_difference(right[first], right[second])),
        "rows": [asdict(mcnemar(right[first][0], one)) for one in right[second]],
    }


if __name__ == "__main__":
    main()
