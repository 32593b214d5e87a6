"""``tlm-edge pretrain``: text becomes an encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli import training_options as training
from tlm_edge.cli.options import ForceOption, OutOption, SeedOption, ThreadsOption
from tlm_edge.runtime.errors import UserError


def pretrain(
    corpus: training.CorpusOption,
    out: OutOption,
    arch: training.ArchOption = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="DIR", help="A folder made with tlm-edge tokenizer train.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Go on training this checkpoint, on this corpus."),
    ] = None,
    grow_from: Annotated[
        str | None,
        typer.Option("--grow-from", metavar="CHECKPOINT", help="Start a deeper --arch from this shallower checkpoint."),
    ] = None,
    hidden_size: training.HiddenSizeOption = None,
    heads: training.HeadsOption = None,
    layers: training.LayersOption = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=4, metavar="N", help="Tokens of a block, and positions.")
    ] = None,
    max_tokens: training.MaxTokensOption = None,
    max_steps: training.MaxStepsOption = None,
    max_minutes: training.MaxMinutesOption = None,
    batch_size: training.BlocksOption = 64,
    gradient_accumulation: training.AccumulationOption = 1,
    learning_rate: training.PretrainLearningRateOption = 2e-3,
    muon_learning_rate: training.MuonLearningRateOption = 0.02,
    optimizer: training.OptimizerOption = training.OptimizerName.muon,
    dropout: training.DropoutOption = 0.0,
    mask_probability: Annotated[
        float,
        typer.Option("--mask-probability", min=0.01, max=0.9, metavar="X", help="Share of the tokens to be guessed."),
    ] = 0.15,
    articles: training.ArticlesOption = None,
    first_tokens: training.FirstTokensOption = None,
    precision: training.PrecisionOption = training.Precision.auto,
    compile_model: training.CompileOption = False,
    half: training.HalfOption = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    resume: training.ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Pre-train an encoder as a masked language model.

    The run ends at the first of --max-tokens, --max-steps and --max-minutes, after one pass over the corpus if none
    is given. DIR gets the checkpoint with its model card, log, plot and recipe; until it is whole the run lives in
    DIR.unfinished, and --resume goes on from there. Several processes: torchrun --nproc-per-node N -m tlm_edge
    pretrain ….
    """
    if (checkpoint is None) == (arch is None):
        raise UserError("give --arch for a new encoder, or --from CHECKPOINT to go on training one")
    if arch is not None and tokenizer is None and grow_from is None:
        raise UserError("--arch needs --tokenizer: a folder made with tlm-edge tokenizer train")
    fixed = {
        "--tokenizer": tokenizer,
        "--grow-from": grow_from,
        "--hidden-size": hidden_size,
        "--heads": heads,
        "--layers": layers,
        "--max-length": max_length,
    }
    given = [name for name, value in fixed.items() if value is not None]
    if checkpoint is not None and given:
        raise UserError(f"{given[0]} can't be chosen with --from: the checkpoint has its own")
    training.begin(threads)
    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.pretrain import PretrainRecipe
    from tlm_edge.training.pretrain_job import EncoderSizes, Limits, PretrainJob, run_pretrain

    recipe = PretrainRecipe(
        max_steps=1,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        learning_rate=learning_rate,
        muon_learning_rate=muon_learning_rate,
        optimizer=optimizer.value,
        dropout=dropout,
        mask_probability=mask_probability,
        seed=seed,
        precision=precision.value,
        compile=compile_model,
    )
    tokens = None if max_tokens is None else int(max_tokens)
    job = PretrainJob(
        corpus=tuple(corpus),
        out=out,
        recipe=recipe,
        limits=Limits(tokens=tokens, steps=max_steps, minutes=max_minutes),
        sizes=None if arch is None else EncoderSizes(arch, hidden_size, heads, layers, max_length),
        tokenizer=None if tokenizer is None else resolve_model(tokenizer),
        checkpoint=None if checkpoint is None else resolve_model(checkpoint),
        grow_from=None if grow_from is None else resolve_model(grow_from),
        articles=articles,
        first_tokens=first_tokens,
        half=half,
    )
    with training.resumable():
        done = run_pretrain(job, resume=resume, force=force)
    training.print_pretrain_result(out, done)
