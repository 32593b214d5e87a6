"""``tlm-edge evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    from tlm_edge.data.tasks import Examples
    from tlm_edge.runtime.classifier import Classifier


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
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also on the same texts with typing errors, in lower case, cut, …")
    ] = False,
    other_topics: Annotated[
        Path | None,
        typer.Option(
            "--other-topics", metavar="FILE", help="Texts of none of the labels: how sure is the model of these?"
        ),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Put what --robustness and --other-topics tell into the model's card.")
    ] = False,
) -> None:
    """Tell a model's accuracy on labelled texts."""
    if card and not robustness:
        raise UserError("--card needs --robustness: what else would it put there")
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
    more: dict[str, Any] = {}
    if robustness or other_topics is not None:
        more = _beyond(classifier, examples, model, data, robustness, other_topics, card)
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps({"model": model, "data": data} | asdict(evaluation) | more, ensure_ascii=False))
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
    _print_beyond(more)


def _beyond(
    classifier: Classifier,
    examples: Examples,
    model: str,
    data: str,
    robustness: bool,
    other_topics: Path | None,
    card: bool,
) -> dict[str, Any]:
    """What ``--robustness`` and ``--other-topics`` tell, as JSON values."""
    from dataclasses import asdict
    from itertools import islice

    from tlm_edge import robustness as measuring
    from tlm_edge.data.texts import stream_texts

    topics = None
    if other_topics is not None:
        others = list(islice(stream_texts(other_topics), len(examples)))
        topics = measuring.on_other_topics(classifier, examples.texts, others)
    changed = measuring.robustness(classifier, examples.texts, examples.labels) if robustness else ()
    if card:
        from tlm_edge.shipped import resolve_model

        measuring.add_to_card(resolve_model(model), "/".join(Path(data).parts[-2:]), len(examples), changed, topics)
    told: dict[str, Any] = {"robustness": [asdict(one) for one in changed]} if robustness else {}
    return told | ({} if topics is None else {"other_topics": asdict(topics)})


def _print_beyond(told: dict[str, Any]) -> None:
    if changed := told.get("robustness"):
        width = max(len(one["change"]) for one in changed)
        print("accuracy on the same texts, changed")
        for one in changed:
            points = f"{one['points_lost']:+.1f} points lost, {one['low']:+.1f} to {one['high']:+.1f}"
            print(f"  {one['change']:<{width}}  {one['accuracy']:.4f}  ({points} with 95 % confidence)")
    if topics := told.get("other_topics"):
        print(f"on {topics['n']} texts on other topics")
        print(
            f"  confidence  {topics['mean_confidence']:.3f} on average, {topics['mean_confidence_here']:.3f} on these"
        )
        print(f"  told apart  {topics['told_apart']:.3f} (AUROC of the confidence; 0.5: not at all)")
