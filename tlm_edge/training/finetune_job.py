"""From labelled text and an encoder to a classifier's checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from tokenizers import Tokenizer

from tlm_edge.data.tasks import Task, load_examples, load_task
from tlm_edge.data.tokenizer import load_tokenizer, save_tokenizer, write_tokenizer
from tlm_edge.files import new_folder, sha256_file
from tlm_edge.modeling.checkpoint import (
    WEIGHTS,
    hugging_face_name,
    load_weights,
    read_weights,
    save_checkpoint,
    tokenizer_vocabulary,
)
from tlm_edge.modeling.config import EncoderConfig, architecture, read_config
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.examples import EncodedExamples, encode_examples, split_validation
from tlm_edge.training.finetune import (
    EpochResult,
    FinetuneProgress,
    FinetuneRecipe,
    FinetuneResult,
    FinetuneTokenIds,
    evaluate_examples,
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
    interruption,
    open_run,
    progress_bar,
    read_log,
)
from tlm_edge.training.state import stored_step
from tlm_edge.training.tokens import special_id, special_ids


@dataclass(frozen=True)
class FinetuneJob:
    """What to fine-tune on what.

    Either ``checkpoint`` is given, or ``scratch``, the configuration of a new encoder, with its ``tokenizer``.
    Several sources of ``data`` share the labels of the first. ``validation_share`` of the training rows is held out
    unless the first source has a validation split. ``test_data`` is only measured on, at the end.
    """

    data: tuple[str, ...]
    out: Path
    recipe: FinetuneRecipe
    checkpoint: Path | None = None
    scratch: EncoderConfig | None = None
    tokenizer: Path | None = None
    test_data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    columns: tuple[str, ...] = ()
    max_length: int | None = None
    validation_share: float = 0.1
    half: bool = False


@dataclass(frozen=True)
class _Splits:
    labels: tuple[str, ...]
    train: EncodedExamples
    validation: EncodedExamples | None
    test: EncodedExamples | None


def scratch_config(
    name: str, tokenizer: Path, *, hidden_size: int | None, heads: int | None, layers: int | None
) -> EncoderConfig:
    """The configuration of a new encoder for the vocabulary of ``tokenizer``."""
    loaded = load_tokenizer(tokenizer)
    config = architecture(name, vocab_size=loaded.get_vocab_size(), hidden_size=hidden_size, heads=heads, layers=layers)
    return replace(config, pad_token_id=special_id(loaded, "[PAD]", tokenizer))


def run_finetune(job: FinetuneJob, *, resume: bool = False, force: bool = False) -> dict[str, Any]:
    """Fine-tune and write the checkpoint ``job.out``; return the content of its ``training.json``.

    Raises ``UserError`` for input that doesn't fit, ``RunInterruptedError`` when stopped by a signal.
    """
    check_out(job.out, resume=resume, force=force)
    source = job.checkpoint or job.tokenizer
    if source is None or (job.scratch is None) == (job.checkpoint is None):
        raise ValueError("a job needs a checkpoint, or a new encoder's configuration with its tokenizer")
    tokenizer = load_tokenizer(source)
    task, more = _load_tasks(job)
    markers = _add_markers(tokenizer, task)
    config = _config(job, tokenizer, task, markers)
    ids = _token_ids(tokenizer, source)
    splits = _encode(job, task, more, tokenizer, config)
    settings = _settings(job, config, splits)
    if resume and (done := finished_result(job.out, settings)) is not None:
        return done
    torch.manual_seed(job.recipe.seed)
    model = SequenceClassifier(config)
    if job.checkpoint is not None:
        _load_pretrained(model, job.checkpoint)
    with open_run(job.out, settings, resume=resume, force=force) as run:
        with interruption() as interrupted, _reporting(run, job.out.name) as report:
            result = finetune(
                model,
                splits.train,
                splits.validation,
                ids,
                job.recipe,
                run.work,
                report=report,
                interrupted=lambda: bool(interrupted()),
            )
            if not result.finished:
                raise RunInterruptedError(run, interrupted())
        test = None if splits.test is None else evaluate_examples(model, splits.test, ids.pad)
        recipe = _recipe(job, settings, splits, result, test)
        if PartialState().is_main_process:
            if markers or not (source / "tokenizer.json").is_file():
                source = _stored_tokenizer(source, tokenizer, run, config, marked=bool(markers))
            _write_checkpoint(job, run, model, source, recipe, result, test)
        close_run(run)
    return recipe


def _load_tasks(job: FinetuneJob) -> tuple[Task, list[Task]]:
    options: dict[str, Any] = {
        "text_columns": job.text_columns,
        "label_column": job.label_column,
        "columns": job.columns,
    }
    task = load_task(job.data[0], **options)
    more = [load_task(source, **options, labels=task.labels) for source in job.data[1:]]
    for source, other in zip(job.data[1:], more, strict=True):
        if other.markers != task.markers:
            raise UserError(f"{source}: its texts mark entities otherwise than those of {job.data[0]}: convert one")
        if "train" not in other.splits:
            raise UserError(f"{source}: no split 'train' to learn from: leave it out, or name the file itself")
    if job.test_data is not None:
        test = load_examples(job.test_data, task.labels, **options)
        task = replace(task, splits=task.splits | {"test": test})
    return task, more


def _add_markers(tokenizer: Tokenizer, task: Task) -> tuple[int, ...]:
    """Make the task's markers special tokens; the ids of those that open an entity, whose rows are read."""
    if not task.markers:
        return ()
    tokenizer.add_special_tokens(list(task.markers))
    return tuple(tokenizer.token_to_id(marker) for marker in task.markers if not marker.startswith("[/"))


def _token_ids(tokenizer: Tokenizer, source: Path) -> FinetuneTokenIds:
    pad, mask = (special_id(tokenizer, token, source) for token in ("[PAD]", "[MASK]"))
    return FinetuneTokenIds(pad, mask, special_ids(tokenizer, source))


def _config(job: FinetuneJob, tokenizer: Tokenizer, task: Task, markers: tuple[int, ...]) -> EncoderConfig:
    base = job.scratch or read_config(job.checkpoint)  # type: ignore[arg-type]
    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    if not markers:
        tokenizer_vocabulary(base, vocabulary, job.checkpoint or job.tokenizer)  # type: ignore[arg-type]
    if job.max_length is not None and job.max_length > base.max_position_embeddings:
        raise UserError(
            f"--max-length {job.max_length}: the encoder has only {base.max_position_embeddings} positions; give less"
        )
    return replace(
        base,
        vocab_size=max(base.vocab_size, vocabulary),
        hidden_dropout_prob=job.recipe.dropout,
        attention_probs_dropout_prob=job.recipe.dropout,
        markers=markers,
        labels=task.labels,
    )


def _load_pretrained(model: SequenceClassifier, checkpoint: Path) -> None:
    """Copy the encoder's weights; what the checkpoint lacks (new tokens, pooler, classifier) keeps its start."""
    weights = read_weights(checkpoint)
    own = model.state_dict()
    for name in ("pooler.weight", "pooler.bias", "classifier.weight", "classifier.bias"):
        theirs = hugging_face_name(name)
        if theirs in weights and (
            weights[theirs].shape != own[name].shape or read_config(checkpoint).labels != model.config.labels
        ):
            del weights[theirs]
    words = hugging_face_name("encoder.embeddings.word.weight")
    missing = model.config.vocab_size - len(weights[words]) if words in weights else 0
    if missing > 0:
        fresh = own["encoder.embeddings.word.weight"][-missing:]
        weights[words] = torch.cat([weights[words].float(), fresh])
    load_weights(model, weights, checkpoint, optional=r"bert\.pooler\.|classifier\.")


def _encode(job: FinetuneJob, task: Task, more: list[Task], tokenizer: Tokenizer, config: EncoderConfig) -> _Splits:
    max_length = job.max_length or config.max_position_embeddings
    parts = [task.splits["train"], *(other.splits["train"] for other in more)]
    train = encode_examples(
        tokenizer,
        [text for part in parts for text in part.texts],
        np.concatenate([part.labels for part in parts]),
        max_length,
        sources=np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)]),
    )
    held = {
        name: encode_examples(tokenizer, task.splits[name].texts, task.splits[name].labels, max_length)
        for name in ("validation", "test")
        if name in task.splits
    }
    validation = held.get("validation")
    if validation is None and job.validation_share:
        rows, held_out = split_validation(train.labels, job.validation_share, job.recipe.seed)
        if len(held_out):
            train, validation = train.select(rows), train.select(held_out)
    return _Splits(task.labels, train, validation, held.get("test"))


def _settings(job: FinetuneJob, config: EncoderConfig, splits: _Splits) -> dict[str, Any]:
    """What determines the result, as plain JSON values: a run goes on only with the same."""
    base = None if job.checkpoint is None else sha256_file(job.checkpoint / WEIGHTS)
    return {
        "recipe": asdict(job.recipe),
        "config": asdict(config),
        "base_sha256": base,
        "half": job.half,
        "train_sha256": splits.train.digest(),
        "validation_sha256": None if splits.validation is None else splits.validation.digest(),
        "test_sha256": None if splits.test is None else splits.test.digest(),
    }


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
    splits: _Splits,
    result: FinetuneResult,
    test: ClassificationMetrics | None,
) -> dict[str, Any]:
    rows = {"train": len(splits.train)}
    rows["validation"] = len(splits.validation) if splits.validation else 0
    return {
        "schema_version": 1,
        "kind": "finetune",
        "encoder": None if job.checkpoint is None else named_source(str(job.checkpoint)),
        "data": described_sources(job.data),
        "test_data": None if job.test_data is None else described_sources([job.test_data]),
        "rows": rows,
        "max_length": job.max_length or settings["config"]["max_position_embeddings"],
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


def _stored_tokenizer(
    source: Path, tokenizer: Tokenizer, run: RunFolder, config: EncoderConfig, *, marked: bool
) -> Path:
    folder = run.work / "tokenizer"
    if marked:
        folder.mkdir(exist_ok=True)
        tokenizer.no_truncation()
        save_tokenizer(tokenizer, folder, max_length=config.max_position_embeddings)
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
        save_checkpoint(folder, model, tokenizer_folder, recipe=recipe, card=text, half=job.half)
        shutil.copyfile(run.log, folder / LOG)
        plot_run(read_log(run.log), folder / "training.png", run.out.name)
