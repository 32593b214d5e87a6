"""One run of a plan, done in this process by what ``tlm-edge pretrain`` and ``tlm-edge finetune`` call."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlm_edge.reproduce.folder import log_file, running_file
from tlm_edge.reproduce.jobs import Place, command, finetune_job, pretrain_job
from tlm_edge.reproduce.outcome import OUTCOMES, Outcome, write_outcome
from tlm_edge.reproduce.prepare import prepare
from tlm_edge.reproduce.runs import Run
from tlm_edge.runtime.errors import UserError

#: Seconds between two notes of the time spent.
_NOTE = 5.0
#: Seconds that an attempt which is being stopped has to end.
_PATIENCE = 60.0


def execute(place: Place, run: Run, *, threads: int, keep: bool = False) -> None:
    """Do ``run``, going on where an earlier attempt stopped, and write its outcome.

    A classifier's checkpoint is deleted once its answers are written, unless ``keep``. Raises ``UserError`` for
    input that doesn't fit, ``RunInterruptedError`` when stopped by a signal.
    """
    import torch

    torch.set_num_threads(threads)
    with _alone(log_file(place.folder, run.name)), _spending(running_file(place.folder, run.name)) as spent:
        if run.kind == "prepare":
            prepare(place, run)
        elif run.kind == "pretrain":
            _pretrain(place, run, spent)
        else:
            _finetune(place, run, spent, keep=keep)
    running_file(place.folder, run.name).unlink(missing_ok=True)


def _pretrain(place: Place, run: Run, spent: Callable[[], dict[str, float]]) -> None:
    from tlm_edge.training.pretrain_job import run_pretrain

    job = pretrain_job(place, run)
    done = run_pretrain(job, resume=_begun(job.out))
    write_outcome(
        place.folder / OUTCOMES,
        Outcome(
            run=run.name,
            kind="pretrain",
            architecture=run.architecture,
            corpus=run.corpus,
            corpus_tokens=done["corpus_tokens"],
            tokens_seen=done["result"]["tokens"],
            task=None,
            rows_per_label=None,
            seed=run.seed,
            command=command(place, run),
            **spent(),
            loss=done["result"]["validation_loss"],
            labels=(),
            expected="",
            probabilities=None,
            accuracy=None,
            macro_f1=None,
            machine=done["environment"],
        ),
    )


def _finetune(place: Place, run: Run, spent: Callable[[], dict[str, float]], *, keep: bool) -> None:
    import numpy as np

    from tlm_edge.runtime.metrics import accuracy, macro_f1
    from tlm_edge.training.finetune_job import run_finetune

    job, task = finetune_job(place, run), run.task or ""
    done = run_finetune(job, resume=_begun(job.out))
    labels, expected, probabilities = _answers(place, run, job.out)
    # As they are stored, so that whoever reads them finds these scores.
    predicted = probabilities.astype(np.float16).argmax(axis=1)
    encoder = _encoder_recipe(place, run)
    write_outcome(
        place.folder / OUTCOMES,
        Outcome(
            run=run.name,
            kind="finetune",
            architecture=run.architecture,
            corpus=run.corpus,
            corpus_tokens=encoder["corpus_tokens"],
            tokens_seen=encoder["result"]["tokens"],
            task=task,
            rows_per_label=place.plan.tasks[task].rows_per_label,
            seed=run.seed,
            command=command(place, run),
            **spent(),
            loss=None,
            labels=labels,
            expected=f"{task}.expected.npy",
            probabilities=f"{run.name}.npy",
            accuracy=accuracy(expected, predicted),
            macro_f1=macro_f1(expected, predicted),
            machine=done["environment"],
        ),
        expected=expected,
        probabilities=probabilities,
    )
    if not keep:
        shutil.rmtree(job.out)


def _answers(place: Place, run: Run, classifier: Path) -> tuple[tuple[str, ...], Any, Any]:
    """The labels, the right ones' numbers (rows,) and the probabilities (rows, labels) of the task's test rows."""
    import torch

    from tlm_edge.data.tasks import load_examples
    from tlm_edge.data.tokenizer import load_tokenizer
    from tlm_edge.modeling.checkpoint import load_classifier
    from tlm_edge.training.examples import encode_examples
    from tlm_edge.training.scoring import example_probabilities

    task = place.plan.tasks[run.task or ""]
    model = load_classifier(classifier).to("cuda" if torch.cuda.is_available() else "cpu")
    config = model.config
    rows = load_examples(
        place.source(task.test), config.labels, text_columns=task.text_columns, label_column=task.label_column
    )
    tokenizer = load_tokenizer(classifier)
    encoded = encode_examples(tokenizer, rows.texts, rows.labels, config.max_position_embeddings)
    return config.labels, rows.labels, example_probabilities(model, encoded, config.pad_token_id)


def _encoder_recipe(place: Place, run: Run) -> dict[str, Any]:
    """What ``training.json`` tells of the encoder that ``run`` starts from; nothing seen if from scratch."""
    if run.corpus is None:
        return {"corpus_tokens": 0, "result": {"tokens": 0}}
    recipe: dict[str, Any] = json.loads((place.encoder(run) / "training.json").read_text(encoding="utf-8"))
    return recipe


def _begun(out: Path) -> bool:
    from tlm_edge.training.run import work_folder

    return out.exists() or work_folder(out).exists()


@contextmanager
def _alone(log: Path) -> Iterator[None]:
    """Keep other attempts at the same run out, and wait for one that is being stopped and saves its state."""
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as stream:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise UserError(f"another process still does {log.stem}: wait for it, or stop it") from error
            except OSError:
                break  # a file system without locks
            time.sleep(0.2)
        yield


@contextmanager
def _spending(file: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """Yield what tells the processor and wall seconds spent so far, those of earlier attempts included.

    They are noted in ``file`` every few seconds, so that not even a killed attempt is free.
    """
    from tlm_edge.files import write_json

    before = _noted(file)
    processor, wall = time.process_time(), time.monotonic()

    def spent() -> dict[str, float]:
        return {
            "seconds": round(before["seconds"] + time.process_time() - processor, 1),
            "wall_seconds": round(before["wall_seconds"] + time.monotonic() - wall, 1),
        }

    ended = threading.Event()

    def note() -> None:
        while not ended.wait(_NOTE):
            write_json(file, spent())

    write_json(file, spent())
    noting = threading.Thread(target=note, daemon=True)
    noting.start()
    try:
        yield spent
    finally:
        ended.set()
        noting.join()
        write_json(file, spent())


def _noted(file: Path) -> dict[str, float]:
    try:
        content = json.loads(file.read_bytes())
        return {name: float(content[name]) for name in ("seconds", "wall_seconds")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"seconds": 0.0, "wall_seconds": 0.0}
