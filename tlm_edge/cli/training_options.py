"""Options of the training commands, declared once, and what they all do before and after."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class OptimizerName(StrEnum):
    """The optimisers of pre-training."""

    muon = "muon"
    adamw = "adamw"


class Precision(StrEnum):
    """Arithmetic of a training run."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


TrainingDataOption = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="DATA",
        help="Labelled text: a CSV, TSV or JSON Lines file, a folder, or a hub name. Repeat it to train on several "
        "sources with the labels of the first.",
    ),
]
TestDataOption = Annotated[
    str | None,
    typer.Option("--test-data", metavar="DATA", help="Labelled text to measure the finished classifier on."),
]
HiddenSizeOption = Annotated[
    int | None, typer.Option("--hidden-size", min=1, metavar="N", help="Width, where the architecture's won't do.")
]
HeadsOption = Annotated[int | None, typer.Option("--heads", min=1, metavar="N", help="Attention heads.")]
LayersOption = Annotated[int | None, typer.Option("--layers", min=1, metavar="N", help="Layers.")]
RowsPerLabelOption = Annotated[
    int | None,
    typer.Option("--rows-per-label", min=1, metavar="N", help="Only N rows of each label, always the same ones."),
]
#: Passes over the training rows, and steps that fewer rows are passed over more often for, where --epochs isn't given.
FINETUNE_EPOCHS, FINETUNE_LEAST_STEPS = 8, 100
EpochsOption = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        min=1,
        metavar="N",
        help=f"Passes over the training rows; if not given {FINETUNE_EPOCHS}, or of few rows as many more as make "
        f"{FINETUNE_LEAST_STEPS} steps.",
    ),
]
PlainStartOption = Annotated[
    bool,
    typer.Option(
        "--plain-start",
        help="Begin with [CLS] as it was pre-trained and a random head, instead of with [MASK] in its place, and a "
        "regression on what the encoder says there.",
    ),
]
FinetuneLearningRateOption = Annotated[
    float, typer.Option("--learning-rate", min=1e-9, metavar="X", help="Peak learning rate.")
]
FinetuneBatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="N", help="Rows an optimiser step, over all processes.")
]
DropoutOption = Annotated[float, typer.Option("--dropout", min=0.0, max=0.9, metavar="X", help="Dropout.")]
MaskProbabilityOption = Annotated[
    float,
    typer.Option(
        "--mask-probability",
        min=0.0,
        max=0.9,
        metavar="X",
        help="Share of the tokens hidden at random as augmentation; 0 for none.",
    ),
]
LabelSmoothingOption = Annotated[
    float, typer.Option("--label-smoothing", min=0.0, max=0.9, metavar="X", help="Share of the target spread evenly.")
]
LowRankOption = Annotated[
    int | None,
    typer.Option(
        "--low-rank",
        min=1,
        metavar="N",
        help="Store what fine-tuning changed, as differences of rank N from the encoder's weights, and not the whole: "
        "a sixth of the size with 32. The encoder is needed to load it.",
    ),
]
ClassBalanceOption = Annotated[
    bool,
    typer.Option(
        "--class-balance",
        help="Draw every label equally often within each --data source, by repeating or leaving out rows.",
    ),
]
ValidationShareOption = Annotated[
    float | None,
    typer.Option(
        "--validation-share",
        min=0.0,
        max=0.9,
        metavar="X",
        help="Share of the training rows held out for validation if DATA has no validation split; 0 for none. If not "
        "given a tenth, or none of fewer than 2,000 rows: then the last epoch is kept, and folds choose for n-grams.",
    ),
]
PatienceOption = Annotated[
    int, typer.Option("--patience", min=1, metavar="N", help="Epochs without improvement before stopping early.")
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option("--max-length", min=3, metavar="N", help="Tokens a text is cut to; the encoder's if not given."),
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="auto is bf16 where the hardware multiplies it.")
]
AveragedOption = Annotated[
    float,
    typer.Option(
        "--averaged",
        min=0.0,
        max=1.0,
        metavar="X",
        help="Keep the mean of the weights over about the last X of all steps; 0 keeps those of the last step.",
    ),
]
HalfOption = Annotated[bool, typer.Option("--half", help="Store the weights in fp16.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the unfinished run at DIR, with the same losses.")
]


CorpusOption = Annotated[
    list[str],
    typer.Option(
        "--corpus",
        metavar="TEXT",
        help="Text: a .txt or JSON Lines file (.gz too), a folder, a glob, or a hub name. Repeatable.",
    ),
]
OptionalCorpusOption = Annotated[
    list[str] | None,
    typer.Option("--corpus", metavar="TEXT", help="Text to pre-train an encoder on for each member. Repeatable."),
]
ArchOption = Annotated[
    str | None,
    typer.Option("--arch", metavar="ARCH", help="bert-1, bert-6, bert-1-conv2, or one of the paper's paper-… sizes."),
]
ArticlesOption = Annotated[
    int | None,
    typer.Option("--articles", min=1, metavar="N", help="Only so many documents, drawn as the paper draws them."),
]
FirstTokensOption = Annotated[
    int | None, typer.Option("--first-tokens", min=1, metavar="N", help="Only the first tokens of each document.")
]
MaxTokensOption = Annotated[
    float | None, typer.Option("--max-tokens", min=1, metavar="N", help="Stop after so many tokens (1e8 will do).")
]
MaxStepsOption = Annotated[
    int | None, typer.Option("--max-steps", min=1, metavar="N", help="Stop after so many optimiser steps.")
]
MaxMinutesOption = Annotated[
    float | None, typer.Option("--max-minutes", min=0.001, metavar="N", help="Stop after so many minutes of training.")
]
BlocksOption = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="N", help="Blocks an optimiser step, over all processes.")
]
AccumulationOption = Annotated[
    int, typer.Option("--gradient-accumulation", min=1, metavar="N", help="Parts a batch is computed in.")
]
PretrainLearningRateOption = Annotated[
    float, typer.Option("--learning-rate", min=1e-9, metavar="X", help="Peak learning rate of AdamW.")
]
MuonLearningRateOption = Annotated[
    float, typer.Option("--muon-learning-rate", min=1e-9, metavar="X", help="Peak learning rate of Muon.")
]
OptimizerOption = Annotated[
    OptimizerName, typer.Option("--optimizer", help="muon moves the layers' matrices by Muon, the rest by AdamW.")
]
CompileOption = Annotated[bool, typer.Option("--compile", help="Compile the model (a minute first; pays on GPUs).")]


BigramsOption = Annotated[
    int | None,
    typer.Option(
        "--bigrams", min=1, metavar="N", help="Let the encoder see pairs of tokens, too, in a table of N rows."
    ),
]
WithNgramsOption = Annotated[
    bool,
    typer.Option(
        "--with-ngrams",
        help="Let a linear classifier of n-grams vote, too; a hundred held-out rows a member weight the votes. With "
        "fewer it has half of the vote.",
    ),
]


def begin(threads: int | None) -> None:
    """Check that training can run here, and set the number of threads to compute with."""
    from tlm_edge.extras import require_extra

    require_extra("train", for_what="training")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def resumable() -> Iterator[None]:
    """When a signal stops a run, say how to go on and exit as the shell expects: 128 + the signal's number."""
    from tlm_edge.training.run import RunInterruptedError

    try:
        yield
    except RunInterruptedError as stop:
        if is_main_process():
            arguments = [argument for argument in sys.argv[1:] if argument not in ("--resume", "--force")]
            print(f"\n{stop}\ngo on with: {shlex.join(['tlm-edge', *arguments, '--resume'])}", file=sys.stderr)
        raise typer.Exit(128 + stop.signal_number) from None


def is_main_process() -> bool:
    """Whether this is the one process that speaks, of several started by torchrun."""
    return os.environ.get("RANK", "0") == "0"


def print_pretrain_result(out: Path, done: dict[str, Any]) -> None:
    """Print how a pre-training run ended and where its checkpoint lies."""
    if not is_main_process():
        return
    result = done["result"]
    loss = result["validation_loss"]
    measured = "no held-out loss, the corpus is too small" if loss is None else f"held-out loss {loss:.4f}"
    print(f"{out}: {result['tokens']:,} tokens in {result['steps']:,} steps, {result['seconds']:.0f} s; {measured}")
    print(f"next: tlm-edge finetune {out} --data DATA --out DIR")


def print_finetune_result(out: Path, done: dict[str, Any]) -> None:
    """Print the scores of a fine-tuned checkpoint and where it lies."""
    if not is_main_process():
        return
    print_scores(done)
    result = done["result"]
    print(f"{out}: epoch {result['best_epoch']} of {result['epochs']} kept, {result['seconds']:.0f} s")
    print(f"next: tlm-edge predict {out} TEXT, or tlm-edge export --target onnx {out}")


def print_scores(done: dict[str, Any]) -> None:
    """Print the scores of a classifier on each split that was measured."""
    for split in ("validation", "test"):
        if scores := done["result"][split]:
            print(
                f"{split:<10} accuracy {scores['accuracy']:.4f}  macro-F1 {scores['macro_f1']:.4f}  "
                f"calibration error {scores['calibration_error']:.4f}  ({scores['n']:,} rows)"
            )


def print_committee_result(out: Path, done: dict[str, Any], encoders: Path | None) -> None:
    """Print the scores of a trained committee beside its members' and where it lies."""
    if not is_main_process():
        return
    for split, scored in done["result"].items():
        together, single = scored["committee"], [member["accuracy"] for member in scored["members"]]
        members = ", ".join(f"{accuracy:.4f}" for accuracy in single)
        print(f"{split:<10} accuracy {together['accuracy']:.4f}  (members {members}; {together['n']:,} rows)")
    if encoders is not None:
        print(f"{encoders}: the pre-trained encoders")
    size = done["settings"]["members"]
    kind = f"a committee of {size}" if size > 1 else "a classifier"
    print(f"{out}: {kind}{', and n-grams that vote with it' if done['settings'].get('with_ngrams') else ''}")
    print(f"next: tlm-edge evaluate {out} --data DATA, or tlm-edge export --target onnx {out}")
