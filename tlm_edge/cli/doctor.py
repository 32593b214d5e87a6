"""``tlm-edge doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from tlm_edge.cli.options import JsonOption


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Export a tiny model to every target and run it: takes a minute or two.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Tell what is installed here, and what would install the rest."""
    from tlm_edge.doctor import Part, examine

    diagnosis = examine(deep=deep)
    if json:
        from json import dumps

        print(dumps(diagnosis.to_json(), indent=2, ensure_ascii=False))
        return

    from rich.table import Table

    from tlm_edge.cli.screen import Screen

    def status(part: Part) -> str:
        if part.missing:
            return f"[yellow]missing: {', '.join(part.missing)}"
        return "[green]" + ", ".join(f"{name} {version}" for name, version in part.versions.items())

    console = Screen()
    machine = diagnosis.machine
    memory = "" if machine.memory_mb is None else f", {machine.memory_mb / 1e3:.1f} GB"
    console.print(f"tlm-edge {diagnosis.tlm_edge}, Python {machine.python}, {machine.system} ({machine.kernel})")
    console.print(f"{machine.cpu}, {machine.usable_cores} of {machine.cores} cores, {machine.architecture}{memory}")
    console.print(f"instruction sets: {', '.join(machine.features) or 'not told'}\n", highlight=False)

    parts = Table("part", "for", "state", "install with", title="Python packages", title_justify="left")
    for part in (diagnosis.light, *diagnosis.extras):
        parts.add_row(part.name, part.purpose, status(part), (part.install or "").replace("[", "\\["))
    console.print(parts)

    tools = Table("program", "for", "state", "install", title="Programs", title_justify="left")
    for tool in diagnosis.tools:
        state = f"[green]{tool.version or 'there'}" if tool.path else "[yellow]missing"
        tools.add_row(tool.name, tool.purpose, state, "" if tool.path else tool.install)
    console.print(tools)

    if deep:
        targets = Table("target", "works", "found", "seconds", title="Targets", title_justify="left")
        for trial in diagnosis.targets:
            works = "[green]yes" if trial.works else "[yellow]no"
            targets.add_row(trial.target, works, trial.found.replace("[", "\\["), f"{trial.seconds:.1f}")
        console.print(targets)
