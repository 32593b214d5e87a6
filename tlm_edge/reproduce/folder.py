"""The folder of a reproduction: the plan that it follows, who works in it, and what is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlm_edge.alone import alone_in
from tlm_edge.files import new_file
from tlm_edge.reproduce.plan import Plan, parse_plan, read_plan, read_tables
from tlm_edge.runtime.errors import UserError

PLAN = "plan.toml"
LOGS = "logs"
_RUNNING = "running"
#: What of a plan may change between two sittings: who meets whom, and how that is told.
_FREE = {"about", "experiments"}
#: Tables of things by their names.
_NAMED = {"architectures", "corpora", "tasks"}


def plan_of(folder: Path) -> Plan:
    """The plan that ``folder`` follows. Raises ``UserError`` if it has none that can be read."""
    return read_plan(folder / PLAN)


def running_file(folder: Path, run: str) -> Path:
    """Where a run that isn't done notes the time that it took so far."""
    return folder / _RUNNING / f"{run}.json"


def log_file(folder: Path, run: str) -> Path:
    """What the process of a run printed."""
    return folder / LOGS / f"{run}.log"


@contextmanager
def open_folder(folder: Path, plan_file: Path) -> Iterator[Plan]:
    """Make ``folder`` follow the plan in ``plan_file``, alone among processes, and yield the plan.

    Raises ``UserError`` as ``plan_for`` and ``alone_in`` do.
    """
    plan = plan_for(folder, plan_file)
    with alone_in(folder):
        with new_file(folder / PLAN) as temporary:
            temporary.write_bytes(plan_file.read_bytes())
        yield plan


def plan_for(folder: Path, plan_file: Path) -> Plan:
    """The plan in ``plan_file``, if ``folder`` may follow it: an earlier form may have lacked what is new in it.

    Raises ``UserError`` if the plan isn't one, if something has changed that finished runs depend on, which is named,
    or if the folder holds something else.
    """
    tables = read_tables(plan_file)
    plan = parse_plan(tables, plan_file)
    if (folder / PLAN).is_file():
        _check_same(folder, read_tables(folder / PLAN), tables)
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something else than a reproduction: choose another --out")
    return plan


def _check_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ``UserError`` if what finished runs depend on has changed; names may be added and left out."""
    for name in sorted((before.keys() | now.keys()) - _FREE):
        old, new = before.get(name), now.get(name)
        if name in _NAMED and isinstance(old, dict) and isinstance(new, dict):
            changed = [key for key in old.keys() & new.keys() if old[key] != new[key]]
        else:
            changed = [] if old == new else [""]
        if changed:
            where = f"{name}.{sorted(changed)[0]}".rstrip(".")
            raise UserError(
                f"{folder} follows a plan with another {where}: give this plan another --out, or undo the change"
            )
