"""Write ``docs/cli.md`` from the commands' own help, as ``make docs`` does; a test checks that it is current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main
from typer.cli import get_docs_for_click

from tlm_edge.cli import app

PAGE = Path(__file__).resolve().parent / "cli.md"
TITLE = "The command line"


def reference() -> str:
    """The page: every command with its arguments and options, in the order of the help."""
    command = typer.main.get_command(app)
    context = command.make_context("tlm-edge", ["--help"], resilient_parsing=True)
    page = get_docs_for_click(obj=command, ctx=context, name="tlm-edge", title=TITLE)
    lines = [line.rstrip() for line in _link_commands(page, command, "tlm-edge").splitlines()]
    return "\n".join(lines).strip() + "\n"


def _link_commands(page: str, group: Any, path: str) -> str:
    """Typer cuts the lists of commands at 45 characters: give them their whole first sentence, and a link."""
    for name, command in getattr(group, "commands", {}).items():
        anchor = f"{path} {name}".replace(" ", "-")
        cut, whole = command.get_short_help_str(), command.get_short_help_str(limit=1000)
        page = page.replace(f"* `{name}`: {cut}\n", f"* [`{name}`](#{anchor}): {whole}\n", 1)
        page = _link_commands(page, command, f"{path} {name}")
    return page


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"written: docs/{PAGE.name}")
