"""``tlm-edge models``: the models that can be named, and the hub's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlm_edge.cli.options import ForceOption, JsonOption, OptionalOutOption

app = typer.Typer(help="List the shipped models; fetch models from the Hugging Face hub, and publish them there.")

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The model's name on the hub, owner/name, or that of a shipped one.")
]
_HubName = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The model's name on the hub.")]


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the shipped models; fetch models from the Hugging Face hub, and publish them there."""
    if context.invoked_subcommand is None:
        show(json=False)


@app.command("list")
def show(json: JsonOption = False) -> None:
    """List the models that came with this installation."""
    from tlm_edge.catalog import shipped_models

    found = shipped_models()
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps([asdict(model) for model in found], indent=2, ensure_ascii=False))
        return

    from rich.table import Table

    from tlm_edge.cli.screen import Screen

    table = Table("model", "what it is", "labels", "MB", title="Shipped models", title_justify="left")
    for model in found:
        labels = ", ".join(model.labels[:6]) + (", …" if len(model.labels) > 6 else "")
        lacking = "" if model.weights else ", bundle only" if model.bundle else ", weights not installed"
        kind = model.kind + lacking
        table.add_row(model.name, kind, labels or "to fine-tune", f"{model.bytes / 1e6:.1f}")
    Screen().print(table)


@app.command()
def path(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A path, a shipped model, or owner/name, which is fetched.")
    ],
) -> None:
    """Print the folder that MODEL stands for."""
    from tlm_edge.shipped import resolve_model

    print(resolve_model(model))


@app.command()
def pull(name: _Name, out: OptionalOutOption = None, force: ForceOption = False) -> None:
    """Fetch a model from the hub: into its cache, or as a folder of its own with --out.

    With --out a shipped model is copied, whole, as Hugging Face's libraries load it. Of the hub's models only
    safetensors, tokenizer and configuration are fetched, never code and never pickles.
    """
    from tlm_edge.catalog import pull_model

    folder = pull_model(name, out, force=force)
    print(folder)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint or a committee.")],
    name: _HubName,
    private: Annotated[bool, typer.Option("--private", help="Let nobody else see it.")] = False,
) -> None:
    """Publish a checkpoint or committee with its model card on the hub, where you are logged in."""
    from tlm_edge.catalog import push_model

    print(f"published: {push_model(folder, name, private=private)}")
    print(f"next: tlm-edge predict {name} TEXT")
