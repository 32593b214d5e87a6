"""The ``tlm-edge`` command line: parse, call, print. Every command is one module of this package."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tlm_edge import __version__
from tlm_edge.cli import android, committee, data, devices, models, tokenizer
from tlm_edge.cli.bench import bench
from tlm_edge.cli.doctor import doctor
from tlm_edge.cli.evaluate import evaluate
from tlm_edge.cli.export import export
from tlm_edge.cli.finetune import finetune
from tlm_edge.cli.inspect import inspect
from tlm_edge.cli.ngrams import ngrams
from tlm_edge.cli.outcome import run
from tlm_edge.cli.predict import predict
from tlm_edge.cli.pretrain import pretrain
from tlm_edge.cli.quickstart import quickstart
from tlm_edge.cli.report import report
from tlm_edge.cli.reproduce import reproduce
from tlm_edge.cli.verify import verify


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tlm-edge {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="tlm-edge",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: Rich would take three times as long to print it
    context_settings={"max_content_width": 120},
)
app.command()(quickstart)
app.add_typer(data.app, name="data")
app.add_typer(tokenizer.app, name="tokenizer")
app.command()(pretrain)
app.command()(finetune)
app.command()(ngrams)
app.add_typer(committee.app, name="committee")
app.add_typer(models.app, name="models")
app.command()(evaluate)
app.command()(predict)
app.command()(export)
app.command()(verify)
app.command()(inspect)
app.command()(bench)
app.command()(report)
app.command()(reproduce)
app.add_typer(devices.app, name="devices")
app.add_typer(android.app, name="android")
app.command()(doctor)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tiny text classifiers for edge devices: train, build committees, export, verify, benchmark."""


def main() -> None:
    """Run the command line: exit 0 when done, 2 on the user's mistake, 1 on a fault of ours."""
    sys.exit(run(app))
