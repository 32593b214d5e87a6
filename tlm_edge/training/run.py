"""A training run as the user sees it: where it lives until it is done, its log, its progress bar, its end."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from accelerate import PartialState
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tlm_edge.alone import LOCK, alone_in
from tlm_edge.files import new_file, refuse_existing, write_json
from tlm_edge.runtime.errors import UserError

LOG = "log.jsonl"
RECIPE = "training.json"
_START = "start.json"


@dataclass(frozen=True)
class RunFolder:
    """``out`` appears only when the checkpoint is whole; until then the run lives in ``work`` beside it."""

    out: Path
    work: Path
    #: Whether the run may replace what is at ``out``: said once, when it was started.
    force: bool = False

    @property
    def log(self) -> Path:
        """The JSON Lines log."""
        return self.work / LOG


class RunInterruptedError(Exception):
    """The user stopped a run; its state is saved. ``signal_number`` is what stopped it."""

    def __init__(self, run: RunFolder, signal_number: int) -> None:
        super().__init__(f"stopped; the state of the run is in {run.work}")
        self.signal_number = signal_number


def work_folder(out: Path) -> Path:
    """Where a run that is to write ``out`` lives until it is done."""
    return out.with_name(out.name + ".unfinished")


@contextmanager
def open_run(out: Path, settings: Mapping[str, Any], *, resume: bool, force: bool) -> Iterator[RunFolder]:
    """Yield the folder of a new run, or with ``resume`` that of the unfinished one; closed, it stays for a resume.

    ``settings`` are plain JSON values that determine the result. Raises ``UserError`` if something is at ``out`` or a
    run is unfinished there and neither ``resume`` nor ``force`` says what to do; if there is nothing to resume, or
    it was started with other settings, which are named; or if another process has the run open.
    """
    work = work_folder(out)
    processes = PartialState()
    if not processes.is_main_process:
        processes.wait_for_everyone()
        yield RunFolder(out, work, _read_start(work)["force"])
        return
    check_out(out, resume=resume, force=force)
    with alone_in(work):
        if resume and (work / _START).is_file():
            _check_settings(work, _read_start(work)["settings"], settings)
        else:
            _empty(work)
            write_json(work / _START, {"force": force, "settings": settings})
        processes.wait_for_everyone()
        yield RunFolder(out, work, _read_start(work)["force"])


def check_out(out: Path, *, resume: bool, force: bool) -> None:
    """Raise ``UserError`` as ``open_run`` would for what is at ``out``, before hours are spent on reading data."""
    if not PartialState().is_main_process:
        return
    unfinished = work_folder(out).is_dir()
    if resume:
        if not unfinished and not (out / RECIPE).is_file():
            raise UserError(f"nothing to resume: there is no {work_folder(out)}; start the run without --resume")
        return
    refuse_existing(out, force=force)
    if unfinished and not force:
        raise UserError(f"{work_folder(out)} is an unfinished run: go on with --resume, or start afresh with --force")


def close_run(run: RunFolder) -> None:
    """Delete the state of a run whose checkpoint is written."""
    if PartialState().is_main_process:
        shutil.rmtree(run.work)


def finished_result(out: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``training.json`` tells of a finished run at ``out``; None if it is not finished.

    Raises ``UserError``, naming what differs, if it was made with other settings.
    """
    if work_folder(out).exists() or not (out / RECIPE).is_file():
        return None
    try:
        content: dict[str, Any] = json.loads((out / RECIPE).read_text(encoding="utf-8"))
        before = dict(content["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{out / RECIPE} can't be read ({error}): make it afresh with --force") from error
    _check_settings(out, before, settings)
    return content


def _empty(work: Path) -> None:
    for entry in work.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def _read_start(work: Path) -> dict[str, Any]:
    path = work / _START
    try:
        start: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"force": bool(start["force"]), "settings": dict(start["settings"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read ({error}): start the run afresh with --force") from error


def _check_settings(folder: Path, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(settings))
    changed = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            # What an earlier version did not know is as it was then if it is off.
            names = sorted(
                name for name in old.keys() | new.keys() if (old.get(name) or None) != (new.get(name) or None)
            )
            changed += [f"{name} was {_shown(old.get(name))}, now {_shown(new.get(name))}" for name in names]
        elif (old or None) != (new or None):
            changed.append(f"{key} was {_shown(old)}, now {_shown(new)}")
    if changed:
        raise UserError(
            f"{folder} was made with other settings ({'; '.join(changed)}): repeat them, or start afresh with --force"
        )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"


class RunLog:
    """The JSON Lines log of a run: a record a line, each with ``event`` and ``step``."""

    def __init__(self, path: Path, *, from_step: int) -> None:
        """Open ``path``, without what an earlier sitting wrote after ``from_step``: it will be done again."""
        kept = [record for record in read_log(path) if record["step"] <= from_step]
        with new_file(path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        self._stream: TextIO = path.open("a", encoding="utf-8")

    def write(self, **record: Any) -> None:
        """Append one record."""
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log; a line cut off by a crash is left out."""
    records = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
    return records


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, float, str], None]]:
    """Yield a function of (place, total, note) that moves a bar on standard error; only in the main process.

    The note tells loss and speed. Without a terminal it is printed as a line for every twentieth of the way.
    """
    console = Console(stderr=True)
    if not PartialState().is_main_process:
        yield lambda *_: None
        return
    if not console.is_terminal:
        told = -1

        def tell(place: float, total: float, note: str) -> None:
            nonlocal told
            if int(20 * place / total) > told:
                told = int(20 * place / total)
                print(f"{title} {place / total:4.0%} · {note}", file=sys.stderr, flush=True)

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda place, total, note: bar.update(task, completed=place, total=total, note=note)
