"""``tlm-edge export``."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli.options import ForceOption, OptionalDataOption, OptionalModelArgument, OptionalOutOption


def export(
    model: OptionalModelArgument = None,
    target: Annotated[str, typer.Option("--target", metavar="TARGET", help="What to make: onnx.")] = "onnx",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="fp32 or int8.")] = "int8",
    out: OptionalOutOption = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length", min=1, metavar="N", help="Cut texts to N tokens; the model's positions if not given."
        ),
    ] = None,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Export the model as written.")] = False,
    data: OptionalDataOption = None,
    force: ForceOption = False,
) -> None:
    """Make a bundle for a runtime, and check the very file against PyTorch before handing it over."""
    from tlm_edge.export.describe import describe_export
    from tlm_edge.export.registry import DEFAULT_MODEL, require_target

    require_target(target, precision)
    from tlm_edge.export.export import export_model

    if model is None:
        print(f"no model named: exporting the shipped committee {DEFAULT_MODEL}")
    bundle = export_model(
        model or DEFAULT_MODEL,
        target,
        precision,
        out,
        max_length=max_length,
        rewritten=not no_rewrite,
        data=data,
        force=force,
    )
    print(describe_export(bundle))
