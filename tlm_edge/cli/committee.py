"""``tlm-edge committee``: several small classifiers that vote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlm_edge.cli import teacher_options as teaching
from tlm_edge.cli import training_options as training
from tlm_edge.cli.options import (
    ColumnsOption,
    ForceOption,
    LabelColumnOption,
    OutOption,
    RayOption,
    SeedOption,
    TextColumnOption,
    ThreadsOption,
)
from tlm_edge.runtime.errors import UserError

app = typer.Typer(help="Build a committee from checkpoints, or train its members.", no_args_is_help=True)


@app.command()
def build(
    members: Annotated[list[str], typer.Argument(metavar="MEMBER…", help="Two or more checkpoints of classifiers.")],
    out: OutOption,
    weigh_on: Annotated[
        str | None,
        typer.Option(
            "--weigh-on",
            metavar="DATA",
            help="Weight the votes by these labelled texts, which no member was trained on; equal if not given.",
        ),
    ] = None,
    test_data: training.TestDataOption = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Build a committee from classifiers that share labels and tokenizer: fine-tuned checkpoints, and n-grams."""
    training.begin(threads)
    from tlm_edge.modeling.committee import build_committee, member_folders
    from tlm_edge.shipped import resolve_model

    folders = [resolve_model(member) for member in members]
    scores = {}
    if test_data is None and weigh_on is None:
        build_committee(folders, out, force=force)
    else:
        from tlm_edge.training.committee_training import build_measured

        scores = build_measured(folders, out, test_data, weigh_on=weigh_on, threads=threads, force=force)
    training.print_committee_result(out, {"result": scores, "settings": {"members": len(member_folders(out))}}, None)


@app.command()
def calibrate(
    committee: Annotated[str, typer.Argument(metavar="COMMITTEE", help="A committee's folder, or a shipped one.")],
    data: Annotated[
        str, typer.Option("--data", metavar="FILE", help="Labelled texts that no member was trained on, or a hub name.")
    ],
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=1e-3, max=100.0, metavar="P", help="Points of accuracy that may be lost.")
    ] = 0.2,
    confidence: Annotated[
        float, typer.Option("--confidence", min=50.0, max=99.8, metavar="C", help="How surely, in percent.")
    ] = 95.0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Calibrate a copy there, and leave COMMITTEE as it is.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Split of a folder or hub dataset; 'test' if not given."),
    ] = None,
    text_column: TextColumnOption = None,
    label_column: LabelColumnOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Make a cascade of a committee: the next member is asked only while the vote is undecided.

    Order and margins are found on half of the texts; on the other half a bound on the lost accuracy is shown.
    """
    training.begin(threads)
    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.calibrate_committee import CalibrationJob, calibrate_committee

    job = CalibrationJob(
        committee=resolve_model(committee),
        data=data,
        max_drop=max_drop / 100,
        confidence=confidence / 100,
        split=split,
        text_columns=tuple(text_column or ()),
        label_column=label_column,
        columns=tuple(columns.split(",")) if columns else (),
        seed=seed,
    )
    folder, stored = calibrate_committee(job, out=out, force=force)
    print(f"cascade of {folder}, shown on {stored.rows:,} rows that it was not found on:")
    print(f"  asked in the order {', '.join(f'{member:02d}' for member in stored.order)}")
    print(f"  {stored.mean_members:.2f} of {len(stored.order)} members a text")
    print(f"  accuracy {stored.accuracy:.4f}, of all members {stored.full_accuracy:.4f}")
    if stored.p_value <= 1 - stored.confidence:
        print(f"  loses less than {max_drop:g} points with {confidence:g} % confidence (p = {stored.p_value:.3g})")
    else:
        print(f"  no cascade could be shown to lose less than {max_drop:g} points: every member is asked")
    print(f"Next: tlm-edge evaluate {folder} --data FILE")


@app.command()
def train(
    data: training.TrainingDataOption,
    out: OutOption,
    members: Annotated[
        int | None,
        typer.Option(
            "--members",
            min=1,
            metavar="N",
            help="Members to train; one an encoder if not given, and 4 of a single one or of new ones.",
        ),
    ] = None,
    with_ngrams: training.WithNgramsOption = False,
    ray: RayOption = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="CHECKPOINT",
            help="A pre-trained encoder to start from; repeat it to give members different ones, in turn. "
            "If not given, the shipped one-layer encoders, which were pre-trained independently.",
        ),
    ] = None,
    teacher: teaching.TeacherOption = None,
    teacher_weight: teaching.TeacherWeightOption = 0.7,
    unlabelled: teaching.UnlabelledOption = None,
    arch: training.ArchOption = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="DIR", help="The tokenizer of new encoders.")
    ] = None,
    hidden_size: training.HiddenSizeOption = None,
    heads: training.HeadsOption = None,
    layers: training.LayersOption = None,
    corpus: training.OptionalCorpusOption = None,
    encoders_out: Annotated[
        Path | None,
        typer.Option(
            "--encoders-out", metavar="DIR", help="Where encoders pre-trained here are kept; DIR-encoders if not given."
        ),
    ] = None,
    articles: training.ArticlesOption = None,
    first_tokens: training.FirstTokensOption = None,
    max_tokens: training.MaxTokensOption = None,
    max_steps: training.MaxStepsOption = None,
    max_minutes: training.MaxMinutesOption = None,
    pretrain_batch_size: Annotated[
        int, typer.Option("--pretrain-batch-size", min=1, metavar="N", help="Blocks a step of pre-training.")
    ] = 64,
    gradient_accumulation: training.AccumulationOption = 1,
    pretrain_learning_rate: Annotated[
        float, typer.Option("--pretrain-learning-rate", min=1e-9, metavar="X", help="Peak of AdamW in pre-training.")
    ] = 2e-3,
    muon_learning_rate: training.MuonLearningRateOption = 0.02,
    optimizer: training.OptimizerOption = training.OptimizerName.muon,
    compile_model: training.CompileOption = False,
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
    """Train the members of a committee, with seeds that count up from --seed, and build it.

    Members start from --encoder, or the shipped encoders; or, with --corpus, --arch and --tokenizer, each from an
    encoder pre-trained for it (until --max-tokens, --max-steps or --max-minutes, a member); or, with --arch and
    --tokenizer alone, from scratch. --resume goes on with the member that was interrupted.
    """
    if encoder and arch:
        raise UserError("give --encoder CHECKPOINT, or --arch ARCH with --tokenizer, one of the two")
    if corpus and not arch:
        raise UserError("--corpus pre-trains new encoders: give --arch and --tokenizer with it, and no --encoder")
    if tokenizer and not arch:
        raise UserError("--tokenizer is for new encoders: give --arch with it, or leave it away")
    if arch and tokenizer is None:
        raise UserError("--arch needs --tokenizer: a folder made with tlm-edge tokenizer train")
    if arch and low_rank:
        raise UserError("--low-rank stores differences from an encoder, and --arch makes new ones: leave one away")
    training.begin(threads)
    from tlm_edge.shipped import ENCODERS, resolve_model
    from tlm_edge.training.classification import FinetuneJob, scratch_config
    from tlm_edge.training.committee_training import CommitteeJob, run_committee
    from tlm_edge.training.finetune import FinetuneRecipe
    from tlm_edge.training.pretrain import PretrainRecipe
    from tlm_edge.training.pretrain_job import EncoderSizes, Limits, PretrainJob

    encoders = () if arch else tuple(resolve_model(name) for name in encoder or ENCODERS)
    tokenizer_path = resolve_model(tokenizer) if tokenizer else None
    scratch = None
    if arch and tokenizer_path:
        scratch = scratch_config(arch, tokenizer_path, hidden_size=hidden_size, heads=heads, layers=layers)
    finetune = FinetuneJob(
        data=tuple(data),
        out=out,
        recipe=FinetuneRecipe(
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
        ),
        scratch=scratch,
        tokenizer=tokenizer_path,
        test_data=test_data,
        text_columns=tuple(text_column or ()),
        label_column=label_column,
        columns=tuple(columns.split(",")) if columns else (),
        max_length=max_length,
        bigram_buckets=bigrams,
        validation_share=validation_share,
        half=half,
        low_rank=low_rank,
        distillation=teaching.distillation(teacher, teacher_weight, unlabelled),
    )
    pretrain = None
    if corpus and arch:
        tokens = None if max_tokens is None else int(max_tokens)
        pretrain = PretrainJob(
            corpus=tuple(corpus),
            out=out,
            recipe=PretrainRecipe(
                max_steps=1,
                batch_size=pretrain_batch_size,
                gradient_accumulation=gradient_accumulation,
                learning_rate=pretrain_learning_rate,
                muon_learning_rate=muon_learning_rate,
                optimizer=optimizer.value,
                seed=seed,
                precision=precision.value,
                compile=compile_model,
            ),
            limits=Limits(tokens=tokens, steps=max_steps, minutes=max_minutes),
            sizes=EncoderSizes(arch, hidden_size, heads, layers),
            tokenizer=tokenizer_path,
            articles=articles,
            first_tokens=first_tokens,
        )
    kept = encoders_out or out.with_name(out.name + "-encoders")
    members = members or (len(encoders) if len(encoders) > 1 else 4)
    job = CommitteeJob(
        members, out, finetune, encoders, pretrain, kept if pretrain else None, with_ngrams, ray, threads or 1
    )
    with training.resumable():
        done = run_committee(job, resume=resume, force=force)
    training.print_committee_result(out, done, kept if pretrain else None)
