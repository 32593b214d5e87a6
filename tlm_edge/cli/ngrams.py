"""``tlm-edge ngrams``: labelled text becomes a linear classifier of token n-grams."""

from __future__ import annotations

from typing import Annotated

import typer

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


def ngrams(
    data: training.TrainingDataOption,
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer",
            metavar="DIR",
            help="A tokenizer's folder, a checkpoint or a shipped model: that of the members it is to vote with.",
        ),
    ],
    out: OutOption,
    buckets: Annotated[
        int, typer.Option("--buckets", min=1, metavar="N", help="Rows that pairs of tokens share, by a hash.")
    ] = 65536,
    max_length: Annotated[
        int, typer.Option("--max-length", min=3, metavar="N", help="Tokens that a text is cut to.")
    ] = 128,
    validation_share: training.ValidationShareOption = None,
    test_data: training.TestDataOption = None,
    text_column: TextColumnOption = None,
    label_column: LabelColumnOption = None,
    columns: ColumnsOption = None,
    half: training.HalfOption = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Train a linear classifier of tokens and pairs of them, to stand alone or to vote in a committee.

    It costs two look-ups a token and errs otherwise than a BERT does. Part of the training rows chooses the
    regularisation (unless DATA has a validation split); then all of them are learned from.
    """
    training.begin(threads)
    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.ngrams import NgramJob, train_ngrams

    job = NgramJob(
        data=tuple(data),
        out=out,
        tokenizer=resolve_model(tokenizer),
        buckets=buckets,
        max_length=max_length,
        test_data=test_data,
        text_columns=tuple(text_column or ()),
        label_column=label_column,
        columns=tuple(columns.split(",")) if columns else (),
        validation_share=validation_share,
        half=half,
        seed=seed,
    )
    done = train_ngrams(job, force=force)
    training.print_scores(done)
    print(f"{out}: {done['result']['seconds']:.0f} s")
    print(f"next: tlm-edge committee build MEMBER … {out} --weigh-on FILE --out DIR")
