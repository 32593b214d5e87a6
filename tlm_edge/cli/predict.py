"""``tlm-edge predict``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tlm_edge.cli.options import AllMembersOption, JsonOption, ModelArgument, ThreadsOption


def predict(
    model: ModelArgument,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]…", help="Texts to classify.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE", help="A text a line, or JSON Lines with 'text'; .gz too; - is a pipe."),
    ] = None,
    json: JsonOption = False,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, metavar="N", help="Keep the N best labels.")] = None,
    threads: ThreadsOption = None,
    all_members: AllMembersOption = False,
) -> None:
    """Label texts: those given, those of a file, or what comes through a pipe."""
    from tlm_edge import load
    from tlm_edge.predict import format_json, format_line, input_texts, predict_stream

    stream = input_texts(texts or [], source, sys.stdin)
    classifier = load(model, threads, all_members=all_members)
    for prediction in predict_stream(classifier, stream, top_k):
        print(format_json(prediction) if json else format_line(prediction, classifier.labels, top_k or 1))
