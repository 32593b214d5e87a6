"""``tlm-edge data``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tlm_edge.cli.options import (
    ArticlesOption,
    ColumnsOption,
    FirstTokensOption,
    JsonOption,
    LabelColumnOption,
    OptionalCorpusOption,
    TextColumnOption,
)

if TYPE_CHECKING:
    from tlm_edge.data.describe import Description, SplitDescription

app = typer.Typer(help="Look at labelled text before training on it.", no_args_is_help=True)

_LABELS_SHOWN = 16


@app.callback()
def data() -> None:
    """Look at labelled text before training on it."""


@app.command()
def describe(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Labelled text: a CSV, TSV, JSON Lines or FewRel file, a folder, or a hub name."
        ),
    ],
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="DIR", help="Tokenizer to count with; a shipped model's if not given."),
    ] = None,
    corpus: OptionalCorpusOption = None,
    articles: ArticlesOption = None,
    first_tokens: FirstTokensOption = None,
    text_column: TextColumnOption = None,
    label_column: LabelColumnOption = None,
    columns: ColumnsOption = None,
    json: JsonOption = False,
) -> None:
    """Tell rows, labels, lengths, duplicates, unknown tokens, and the token overlap with a corpus."""
    from tlm_edge.data.describe import describe as describe_task
    from tlm_edge.data.describe import tokenizer_or_default
    from tlm_edge.data.tasks import load_task

    task = load_task(
        data,
        text_columns=text_column or (),
        label_column=label_column,
        columns=columns.split(",") if columns else (),
    )
    description = describe_task(
        task,
        data,
        tokenizer=tokenizer_or_default(tokenizer),
        corpus=corpus or (),
        articles=articles,
        first_tokens=first_tokens,
    )
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps(asdict(description), ensure_ascii=False))
    else:
        _print(description, chosen=tokenizer is not None)


def _print(description: Description, *, chosen: bool) -> None:
    print(f"{description.source}: {', '.join(f'{s.rows:,} rows in {n}' for n, s in description.splits.items())}")
    if description.unused:
        print(f"not a split by their names, and left out: {', '.join(description.unused)}")
    _print_labels(description)
    _print_lengths(description, chosen=chosen)
    for overlap in description.overlap:
        print(
            f"seen {overlap.seen_at_least:>5,} times or more in the corpus: "
            f"{overlap.types:7.2%} of the task's distinct tokens, {overlap.occurrences:7.2%} of all of them"
        )
    for warning in description.warnings:
        print(f"warning: {warning}")


def _print_labels(description: Description) -> None:
    splits = list(description.splits.values())
    labels = list(splits[0].labels)
    print(f"{len(labels)} labels" + "".join(f"; {n}: {_balance(s)}" for n, s in description.splits.items()))
    width = max(len(label) for label in labels)
    for label in labels[:_LABELS_SHOWN]:
        print(f"  {label:<{width}}" + "".join(f"  {split.labels[label]:>9,}" for split in splits))
    if len(labels) > _LABELS_SHOWN:
        print(f"  … and {len(labels) - _LABELS_SHOWN} more (--json lists all)")


def _balance(split: SplitDescription) -> str:
    return f"{min(split.labels.values()):,} to {max(split.labels.values()):,} rows a label"


def _print_lengths(description: Description, *, chosen: bool) -> None:
    if description.tokenizer is None:
        print("no lengths: no model is shipped here to take the tokenizer of; name one with --tokenizer")
        return
    print(f"tokens a text, by {description.tokenizer}{'' if chosen else ' (shipped; --tokenizer takes another)'}")
    for name, split in description.splits.items():
        if lengths := split.lengths:
            shown = "  ".join(f"p{q} {value}" for q, value in lengths.percentiles.items())
            print(
                f"  {name:<10}  mean {lengths.mean:.1f}  {shown}  longest {lengths.longest}  "
                f"unknown {lengths.unknown_rate:.3%}"
            )
