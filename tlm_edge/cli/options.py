"""Arguments and options that several commands share, declared once.

A parameter annotated with one of these and given no default is required; those that may be left out are of an
optional type and want a default in the command's signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A checkpoint, a committee, a bundle (folder or zip), a shipped model, or owner/name."
    ),
]
OptionalModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL]…", help="Checkpoints, committees, shipped models' names, or owner/name of the hub."
    ),
]
BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle: a folder or a zip.")]

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")]
OptionalOutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The folder to write.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is already at the place to write.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
AllMembersOption = Annotated[
    bool, typer.Option("--all-members", help="Ask every member of a committee, whatever its cascade says.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, metavar="N", help="Threads to compute with; as many as there are cores if not given."
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Train on this Ray cluster, as much at once as it has room for; its machines share the files.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of every random choice.")]

DataOption = Annotated[
    str,
    typer.Option(
        "--data", metavar="DATA", help="Labelled text: a CSV, TSV or JSON Lines file, a folder, or a hub name."
    ),
]
OptionalDataOption = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="DATA", help="Labelled text: a CSV, TSV or JSON Lines file, a folder, or a hub name."
    ),
]
TextColumnOption = Annotated[
    list[str] | None,
    typer.Option("--text-column", metavar="NAME", help="Column of the text; repeat it to join several with a space."),
]
LabelColumnOption = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="Column of the label, where it can't be guessed.")
]
ColumnsOption = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B,…", help="Names of the columns of a CSV or TSV file without a header."),
]

CorpusOption = Annotated[
    list[str],
    typer.Option(
        "--corpus",
        metavar="CORPUS",
        help="Unlabelled text: a text or JSON Lines file, a folder, a quoted glob, or a hub name. Repeatable.",
    ),
]
OptionalCorpusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--corpus",
        metavar="CORPUS",
        help="Unlabelled text: a text or JSON Lines file, a folder, a quoted glob, or a hub name. Repeatable.",
    ),
]
ArticlesOption = Annotated[
    int | None,
    typer.Option("--articles", min=1, metavar="N", help="Only N documents, drawn at random with seed 42."),
]
FirstTokensOption = Annotated[
    int | None, typer.Option("--first-tokens", min=1, metavar="N", help="Only the first N tokens of a document.")
]
