"""The folder of a reproduction: the plan that it follows, who works in it, and what is done."""

from __future__ import annotations

import fcntl
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlm_edge.files import new_file
from tlm_edge.reproduce.plan import Plan, parse_plan, read_plan
from tlm_edge.runtime.errors import UserError

PLAN = "plan.toml"
LOGS = "logs"
_RUNNING = "running"
_LOCK = ".lock"
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

    A folder that followed an earlier form of the plan goes on with the new one if nothing has changed that finished
    runs depend on. Raises ``UserError`` if that has changed, which is named, if another process works in the folder,
    if it holds something else, or if it can't be written.
    """
    text = _read(plan_file)
    tables = tomllib.loads(text)
    plan = parse_plan(tables, plan_file)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PLAN).is_file():
        raise UserError(f"{folder} holds something else than a reproduction: choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / _LOCK).open("w")
    except OSError as error:
        raise UserError(f"can't write in {folder}: {error.strerror}; choose another --out") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another tlm-edge reproduce is working in {folder}: wait for it, or stop it") from None
        if (folder / PLAN).is_file():
            _check_same(folder, tomllib.loads(_read(folder / PLAN)), tables)
        with new_file(folder / PLAN) as temporary:
            temporary.write_text(text, encoding="utf-8")
        yield plan


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from error
    return text


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
