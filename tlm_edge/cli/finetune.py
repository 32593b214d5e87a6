"""``tlm-edge finetune``: an encoder and labelled text become a classifier."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli import teacher_options as teaching
from tlm_edge.cli import training_options as training
from tlm_edge.cli.options import (
    ColumnsOption,
    ForceOption,
    LabelColumnOption,
    OutOption,
    SeedOption,
    TextColumnOption,
    ThreadsOption,
)
from tlm_edge.runtime.errors import UserError


def finetune(
    data: training.TrainingDataOption,
    out: OutOption,
    checkpoint: Annotated[
        str | None,
        typer.Argument(metavar="[CHECKPOINT]", help="The encoder to start from: a folder or a shipped model."),
    ] = None,
    from_scratch: Annotated[
        str | None, typer.Option("--from-scratch", metavar="ARCH", help="Start from random weights instead.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="DIR", help="The tokenizer for --from-scratch.")
    ] = None,
    teacher: teaching.TeacherOption = None,
    teacher_weight: teaching.TeacherWeightOption = 0.7,
    unlabelled: teaching.UnlabelledOption = None,
    hidden_size: training.HiddenSizeOption = None,
    heads: training.HeadsOption = None,
    layers: Annotated[
        int | None,
        typer.Option(
            "--layers", min=1, metavar="N", help="Layers from scratch, or the first N of CHECKPOINT and no more."
        ),
    ] = None,
    rows_per_label: training.RowsPerLabelOption = None,
    epochs: training.EpochsOption = None,
    learning_rate: training.FinetuneLearningRateOption = 5e-4,
    batch_size: training.FinetuneBatchSizeOption = 32,
    dropout: training.DropoutOption = 0.1,
    mask_probability: training.MaskProbabilityOption = 0.3,
    label_smoothing: training.LabelSmoothingOption = 0.0,
    class_balance: training.ClassBalanceOption = False,
    validation_share: training.ValidationShareOption = None,
    patience: training.PatienceOption = 3,
    max_length: training.MaxLengthOption = None,
    plain_start: training.PlainStartOption = False,
    averaged: training.AveragedOption = 0.125,
    bigrams: training.BigramsOption = None,
    with_ngrams: training.WithNgramsOption = False,
    precision: training.PrecisionOption = training.Precision.auto,
    test_data: training.TestDataOption = None,
    text_column: TextColumnOption = None,
    label_column: LabelColumnOption = None,
    columns: ColumnsOption = None,
    half: training.HalfOption = False,
    low_rank: training.LowRankOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    resume: training.ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Fine-tune a classifier from a pre-trained encoder, or from scratch.

    Part of the training rows is held out for validation (unless DATA has a validation split); the best epoch is
    kept. DIR gets the checkpoint with its model card, log, plot and recipe; until it is whole the run lives in
    DIR.unfinished, and --resume goes on from there. With --with-ngrams DIR is a committee of the two: where single
    words settle the label, as they often do in reviews, that is worth several points.
    """
    if (checkpoint is None) == (from_scratch is None):
        raise UserError("name the CHECKPOINT to start from, or give --from-scratch ARCH, one of the two")
    if checkpoint is not None and (hidden_size or heads):
        raise UserError("--hidden-size and --heads are for --from-scratch: those of a checkpoint stay")
    if from_scratch is not None and low_rank:
        raise UserError("--low-rank stores differences from an encoder, and --from-scratch has none: leave one away")
    training.begin(threads)
    taught = teaching.distillation(teacher, teacher_weight, unlabelled)
    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.classification import FinetuneJob, scratch_config
    from tlm_edge.training.committee_training import CommitteeJob, run_committee
    from tlm_edge.training.finetune import FinetuneRecipe
    from tlm_edge.training.finetune_job import run_finetune

    scratch, tokenizer_path = None, None
    if from_scratch is not None:
        if tokenizer is None:
            raise UserError("--from-scratch needs --tokenizer: a folder made with tlm-edge tokenizer train")
        tokenizer_path = resolve_model(tokenizer)
        scratch = scratch_config(from_scratch, tokenizer_path, hidden_size=hidden_size, heads=heads, layers=layers)
    recipe = FinetuneRecipe(
        epochs=epochs or training.FINETUNE_EPOCHS,
        least_steps=0 if epochs else training.FINETUNE_LEAST_STEPS,
        plain_start=plain_start,
        averaged=averaged,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        mask_probability=mask_probability,
        label_smoothing=label_smoothing,
        class_balance=class_balance,
        patience=patience,
        seed=seed,
        precision=precision.value,
    )
    job = FinetuneJob(
        data=tuple(data),
        out=out,
        recipe=recipe,
        checkpoint=None if checkpoint is None else resolve_model(checkpoint),
        scratch=scratch,
        tokenizer=tokenizer_path,
        test_data=test_data,
        text_columns=tuple(text_column or ()),
        label_column=label_column,
        columns=tuple(columns.split(",")) if columns else (),
        rows_per_label=rows_per_label,
        max_length=max_length,
        bigram_buckets=bigrams,
        layers=None if checkpoint is None else layers,
        validation_share=validation_share,
        half=half,
        low_rank=low_rank,
        distillation=taught,
    )
    with training.resumable():
        if with_ngrams:
            encoders = (job.checkpoint,) if job.checkpoint else ()
            mixed = CommitteeJob(1, out, job, encoders, with_ngrams=True)
            training.print_committee_result(out, run_committee(mixed, resume=resume, force=force), None)
        else:
            training.print_finetune_result(out, run_finetune(job, resume=resume, force=force))
