"""From labelled text and an encoder to a classifier's checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from tlm_edge.data.tokenizer import save_tokenizer, write_tokenizer
from tlm_edge.files import new_folder, sha256_file
from tlm_edge.interruption import interruption
from tlm_edge.modeling.checkpoint import LowRank, keep_low_rank, require_weights, save_checkpoint
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.training.classification import FinetuneJob, PreparedJob, load_pretrained, prepare
from tlm_edge.training.distillation import Distillation
from tlm_edge.training.finetune import (
    EpochResult,
    FinetuneProgress,
    FinetuneResult,
    finetune,
)
from tlm_edge.training.metrics import ClassificationMetrics
from tlm_edge.training.model_card import classifier_card
from tlm_edge.training.plot import plot_run
from tlm_edge.training.provenance import described_sources, environment, named_source
from tlm_edge.training.run import (
    LOG,
    RunFolder,
    RunInterruptedError,
    RunLog,
    check_out,
    close_run,
    finished_result,
    open_run,
    progress_bar,
    read_log,
)
from tlm_edge.training.scoring import evaluate_examples
from tlm_edge.training.start import has_prediction_head_only, start
from tlm_edge.training.state import stored_step


def run_finetune(job: FinetuneJob, *, resume: bool = False, force: bool = False) -> dict[str, Any]:
    """Fine-tune and write the checkpoint ``job.out``; return the content of its ``training.json``.

    Raises ``UserError`` for input that doesn't fit, ``RunInterruptedError`` when stopped by a signal.
    """
    check_out(job.out, resume=resume, force=force)
    source = job.source
    ready = prepare(job)
    settings = _settings(job, ready)
    if resume and (done := finished_result(job.out, settings)) is not None:
        return done
    torch.manual_seed(job.recipe.seed)
    model = SequenceClassifier(ready.config)
    if job.checkpoint is not None:
        load_pretrained(model, job.checkpoint)
        if not job.recipe.plain_start and has_prediction_head_only(job.checkpoint):
            start(model, ready.train, ready.ids)
    with open_run(job.out, settings, resume=resume, force=force) as run:
        with interruption() as interrupted, _reporting(run, job.out.name) as report:
            result = finetune(
                model,
                ready.train,
                ready.validation,
                ready.ids,
                job.recipe,
                run.work,
                report=report,
                interrupted=lambda: bool(interrupted()),
            )
            if not result.finished:
                raise RunInterruptedError(run, interrupted())
        if (low_rank := _low_rank(job)) is not None:
            keep_low_rank(model, low_rank, half=job.half)
            if ready.validation is not None:
                result = replace(result, validation=evaluate_examples(model, ready.validation, ready.ids.pad))
        test = None if ready.test is None else evaluate_examples(model, ready.test, ready.ids.pad)
        recipe = _recipe(job, settings, ready, result, test)
        if PartialState().is_main_process:
            if ready.config.markers or not (source / "tokenizer.json").is_file():
                source = _stored_tokenizer(source, run, ready)
            _write_checkpoint(job, run, model, source, recipe, result, test)
        close_run(run)
    return recipe


def _settings(job: FinetuneJob, ready: PreparedJob) -> dict[str, Any]:
    """What determines the result, as plain JSON values: a run goes on only with the same."""
    base = None if job.checkpoint is None else sha256_file(require_weights(job.checkpoint))
    return {
        "recipe": asdict(job.recipe),
        "config": asdict(ready.config),
        "base_sha256": base,
        "half": job.half,
        "low_rank": job.low_rank,
        "train_sha256": ready.train.digest(),
        "validation_sha256": None if ready.validation is None else ready.validation.digest(),
        "test_sha256": None if ready.test is None else ready.test.digest(),
    }


def _low_rank(job: FinetuneJob) -> LowRank | None:
    return None if job.low_rank is None or job.checkpoint is None else LowRank(job.checkpoint, job.low_rank)


def _taught(distillation: Distillation) -> dict[str, Any]:
    unlabelled = described_sources([str(file) for file in distillation.unlabelled])
    teacher = named_source(str(distillation.teacher))
    return {"model": teacher, "weight": distillation.weight, "unlabelled": unlabelled}


@contextmanager
def _reporting(run: RunFolder, title: str) -> Iterator[Callable[[FinetuneProgress | EpochResult], None]]:
    """Yield what writes the log and moves the bar."""
    log = RunLog(run.log, from_step=stored_step(run.work)) if PartialState().is_main_process else None
    scored = ""
    with progress_bar(title) as show:

        def report(told: FinetuneProgress | EpochResult) -> None:
            nonlocal scored
            if isinstance(told, EpochResult):
                metrics = told.metrics
                scored = f" · validation accuracy {metrics.accuracy:.4f} after epoch {told.epoch}"
                record = {
                    "event": "epoch",
                    "step": told.step,
                    "epoch": told.epoch,
                    "validation_loss": metrics.loss,
                    "accuracy": metrics.accuracy,
                    "macro_f1": metrics.macro_f1,
                    "calibration_error": metrics.calibration_error,
                    "best": told.best,
                }
            else:
                record = {"event": "steps", **asdict(told)}
                speed = f"{told.tokens_per_second / 1000:.1f}k tokens/s"
                show(told.step, told.steps, f"loss {told.loss:.4f} · {speed}{scored}")
            if log:
                log.write(**record)

        try:
            yield report
        finally:
            if log:
                log.close()


def _recipe(
    job: FinetuneJob,
    settings: Mapping[str, Any],
    ready: PreparedJob,
    result: FinetuneResult,
    test: ClassificationMetrics | None,
) -> dict[str, Any]:
    rows = {"train": len(ready.train), "validation": len(ready.validation) if ready.validation else 0}
    return {
        "schema_version": 1,
        "kind": "finetune",
        "encoder": None if job.checkpoint is None else named_source(str(job.checkpoint)),
        "data": described_sources(job.data),
        "test_data": None if job.test_data is None else described_sources([job.test_data]),
        "teacher": None if job.distillation is None else _taught(job.distillation),
        "rows": rows,
        "rows_per_label": job.rows_per_label,
        "max_length": ready.config.max_position_embeddings,
        "settings": settings,
        "result": {
            "steps": result.step,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
            "tokens": result.tokens,
            "seconds": round(result.seconds, 1),
            "validation": None if result.validation is None else result.validation.to_json(),
            "test": None if test is None else test.to_json(),
        },
        "environment": environment(),
    }


def _stored_tokenizer(source: Path, run: RunFolder, ready: PreparedJob) -> Path:
    """A folder with the tokenizer as the checkpoint needs it: with the task's markers, and as ``tokenizer.json``."""
    folder = run.work / "tokenizer"
    if ready.config.markers:
        folder.mkdir(exist_ok=True)
        ready.tokenizer.no_truncation()
        save_tokenizer(ready.tokenizer, folder, max_length=ready.config.max_position_embeddings)
    else:
        write_tokenizer(source, folder, force=True)
    return folder


def _write_checkpoint(
    job: FinetuneJob,
    run: RunFolder,
    model: SequenceClassifier,
    tokenizer_folder: Path,
    recipe: dict[str, Any],
    result: FinetuneResult,
    test: ClassificationMetrics | None,
) -> None:
    with new_folder(run.out, force=run.force) as folder:
        text = classifier_card(run.out.name, model.config, recipe, result.validation, test)
        stored: dict[str, Any] = {"half": job.half, "low_rank": _low_rank(job)}
        save_checkpoint(folder, model, tokenizer_folder, recipe=recipe, card=text, **stored)
        shutil.copyfile(run.log, folder / LOG)
        plot_run(read_log(run.log), folder / "training.png", run.out.name)
