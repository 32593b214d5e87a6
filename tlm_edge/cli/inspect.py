"""``tlm-edge inspect``."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli.options import JsonOption, ModelArgument


def inspect(
    model: ModelArgument,
    length: Annotated[
        int | None, typer.Option("--length", min=1, metavar="N", help="Tokens of the text; the maximum if not given.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Count a model's parameters, multiply-adds, bytes and activations by part, before and after the exact rewrite.

    Of a bundle: its files, and what goes in and out.
    """
    from dataclasses import asdict
    from json import dumps

    from tlm_edge.extras import require_extra
    from tlm_edge.runtime.bundle import is_bundle, open_bundle
    from tlm_edge.runtime.errors import UserError
    from tlm_edge.shipped import resolve_model

    path = resolve_model(model)
    if is_bundle(path):
        from tlm_edge.compile.contents import format_contents, inspect_bundle

        contents = inspect_bundle(open_bundle(path))
        print(dumps(asdict(contents), ensure_ascii=False) if json else format_contents(contents))
        return

    if not path.is_dir():
        raise UserError(f"{path} is no bundle, nor the folder of a checkpoint or committee")
    require_extra("train", for_what="inspecting a checkpoint")
    from tlm_edge.compile.inspect import format_inspection, inspect_model

    inspection = inspect_model(path, length)
    print(dumps(asdict(inspection), ensure_ascii=False) if json else format_inspection(inspection))
