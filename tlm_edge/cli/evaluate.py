"""``tlm-edge evaluate``."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli.options import (
    AllMembersOption,
    ColumnsOption,
    DataOption,
    JsonOption,
    LabelColumnOption,
    ModelArgument,
    TextColumnOption,
    ThreadsOption,
)


def evaluate(
    model: ModelArgument,
    data: DataOption,
    json: JsonOption = False,
    text_column: TextColumnOption = None,
    label_column: LabelColumnOption = None,
    columns: ColumnsOption = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Split of a folder or hub dataset; 'test' if not given."),
    ] = None,
    threads: ThreadsOption = None,
    all_members: AllMembersOption = False,
) -> None:
    """Tell a model's accuracy on labelled texts."""
    from tlm_edge import load
    from tlm_edge.data.tasks import load_examples
    from tlm_edge.runtime.evaluate import evaluate as run

    classifier = load(model, threads, all_members=all_members)
    examples = load_examples(
        data,
        classifier.labels,
        split=split,
        text_columns=text_column or (),
        label_column=label_column,
        columns=columns.split(",") if columns else (),
    )
    evaluation = run(classifier, examples.texts, examples.labels)
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps({"model": model, "data": data} | asdict(evaluation), ensure_ascii=False))
        return
    print(f"accuracy  {evaluation.accuracy:.4f}")
    print(f"macro-F1  {evaluation.macro_f1:.4f}")
    print(f"texts     {evaluation.n} in {evaluation.seconds:.1f} s ({evaluation.n / evaluation.seconds:.0f} a second)")
    if evaluation.members is not None:
        shares = ", ".join(f"{share:.1%} {number}" for number, share in enumerate(evaluation.members.shares, start=1))
        print(f"members   {evaluation.members.mean:.2f} of {len(evaluation.members.shares)} asked on average: {shares}")
    width = max(len(label) for label in evaluation.label_accuracy)
    print("accuracy by label")
    for label, share in evaluation.label_accuracy.items():
        print(f"  {label:<{width}}  {share:.4f}")
