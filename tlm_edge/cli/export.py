"""``tlm-edge export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tlm_edge.cli.options import ForceOption, OptionalDataOption, OptionalModelsArgument
from tlm_edge.export.registry import DEFAULT_MODEL, PRECISIONS, require_targets, target_names
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.layout import Layout


def export(
    models: OptionalModelsArgument = None,
    target: Annotated[
        str, typer.Option("--target", metavar="TARGET", help=f"What to make: {', '.join(target_names())}, or all.")
    ] = "onnx",
    precision: Annotated[
        str,
        typer.Option("--precision", metavar="P", help=f"{', '.join(PRECISIONS)}; not every target has every one."),
    ] = "int8",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The bundle to write; the folder they go into if there are several, ./tlm-edge-out if not given.",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length", min=1, metavar="N", help="Cut texts to N tokens; the model's positions if not given."
        ),
    ] = None,
    buckets: Annotated[
        str | None,
        typer.Option(
            "--buckets", metavar="N,N,…", help="Lengths in tokens to prepare, for targets whose inputs can't vary."
        ),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option(
            "--layout",
            help="How a committee's members lie in the bundle: in one file, in files of their own that are all asked, "
            "at once where there are threads, or in files that are asked in turn; what the committee was calibrated "
            "for if not given.",
            show_default=False,
        ),
    ] = None,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Export the model as written.")] = False,
    data: OptionalDataOption = None,
    calibration_data: Annotated[
        Path | None,
        typer.Option(
            "--calibration-data", metavar="FILE", help="Texts to calibrate on, one a line or in a column 'text'."
        ),
    ] = None,
    accuracy_floor: Annotated[
        float | None,
        typer.Option(
            "--accuracy-floor",
            min=0,
            metavar="POINTS",
            help="Points of accuracy a file may lose; if it loses more, the next gentler precision is tried.",
        ),
    ] = None,
    compat: Annotated[
        str | None,
        typer.Option(
            "--compat",
            metavar="RUNTIME",
            help="An older runtime that the file has to be right in too: tflite-runtime-2.14.",
        ),
    ] = None,
    zipped: Annotated[bool, typer.Option("--zip", help="Make one zip of each bundle.")] = False,
    force: ForceOption = False,
) -> None:
    """Make bundles for a runtime, and check the very files against PyTorch before handing them over."""
    targets = require_targets(target, precision)
    from tlm_edge.export.batch import export_each, raise_failures
    from tlm_edge.export.describe import describe_export, describe_exports
    from tlm_edge.export.export import Options, export_model

    if not models:
        print(f"no model named: exporting the shipped committee {DEFAULT_MODEL}")
    models = models or [DEFAULT_MODEL]
    lengths = None if buckets is None else _lengths(buckets)
    options = Options(lengths, not no_rewrite, accuracy_floor, zipped, force, compat)
    preparation: dict[str, Any] = {"max_length": max_length, "data": data}
    preparation |= {"calibration_data": calibration_data, "layout": layout}
    if len(models) == len(targets) == 1:
        print(describe_export(export_model(models[0], targets[0], precision, out, options, **preparation)))
        return
    outcomes = list(export_each(models, targets, precision, out, options, **preparation))
    print(describe_exports(outcomes))
    raise_failures(outcomes)


def _lengths(buckets: str) -> tuple[int, ...]:
    try:
        return tuple(int(length) for length in buckets.split(","))
    except ValueError:
        raise UserError(f"--buckets {buckets}: give whole numbers with commas between, such as 16,32,64") from None
