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
    """Count a model's parameters, multiply-adds and bytes by part, before and after the exact rewrite."""
    from tlm_edge.extras import require_extra
    from tlm_edge.shipped import resolve_model

    require_extra("train", for_what="inspecting a checkpoint")
    from tlm_edge.compile.inspect import inspect_model

    inspection = inspect_model(resolve_model(model), length)
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps(asdict(inspection), ensure_ascii=False))
        return

    from tlm_edge.compile.inspect import format_inspection

    print(format_inspection(inspection))
