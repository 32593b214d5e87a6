"""What a benchmark set out to do, kept beside its records so that an interrupted one can go on."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tlm_edge.bench.devices import Address
from tlm_edge.files import write_json
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import from_json

PLAN_FILE = "bench.json"
PLAN_VERSION = 3
JOURNAL_FILE = "journal.jsonl"


@dataclass(frozen=True)
class Entry:
    """One bundle at one number of threads; ``id`` names its record, ``manifest_sha256`` fixes its content.

    ``checkpoint`` is the folder it was exported from, null where that isn't at hand; ``length`` the tokens that every
    text is brought to, null for their own.
    """

    id: str
    bundle: str
    manifest_sha256: str
    threads: int
    checkpoint: str | None
    length: int | None = None


@dataclass(frozen=True)
class DataSource:
    """Where the texts come from: what ``--data`` and its column options say; ``sha256`` fixes their content."""

    data: str
    text_columns: tuple[str, ...]
    label_column: str | None
    columns: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Plan:
    """Everything that fixes an interleaved run on one device. ``power_command`` reads a meter, null without one."""

    format: Literal["tlm-edge-bench"]
    schema_version: int
    id: str
    started: str
    device: Address
    profile: str
    seed: int
    command: str
    source: DataSource
    entries: tuple[Entry, ...]
    power_command: str | None = None


def write_plan(folder: Path, plan: Plan) -> None:
    """Write ``plan`` into ``folder``."""
    write_json(folder / PLAN_FILE, dataclasses.asdict(plan))


def read_plan(folder: Path) -> Plan:
    """The plan in ``folder``. Raises ``UserError`` if there is none that can be read."""
    path = folder / PLAN_FILE
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and content.get("schema_version") != PLAN_VERSION:
            raise UserError(f"{path} was written by another version of tlm-edge: start the benchmark anew")
        return from_json(Plan, content)
    except FileNotFoundError:
        raise UserError(f"{folder} holds no benchmark to resume: it has no {PLAN_FILE}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}): start the benchmark anew") from error


class Journal:
    """What is done so far, one JSON object a line, on disk before the next thing begins."""

    def __init__(self, folder: Path):
        """Read what ``folder`` has; a last line that was cut off is dropped."""
        self._path = folder / JOURNAL_FILE
        self.lines: list[dict[str, Any]] = []
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            with self._path.open("r+b") as stream:
                stream.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self.lines.append(json.loads(line))
            except ValueError as error:
                raise UserError(f"{self._path}, line {number}: not JSON; start the benchmark anew") from error

    def append(self, line: dict[str, Any]) -> None:
        """Add a line. Raises ``UserError`` if it can't be written."""
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise UserError(f"can't write {self._path}: {error.strerror}; make room, go on with --resume") from error
        self.lines.append(line)

    def remove(self) -> None:
        """Delete the file: its content is in the records."""
        self._path.unlink(missing_ok=True)


def only_complete_rounds(lines: list[dict[str, Any]], active: set[str]) -> int:
    """How many rounds, from the first on, hold a block of every entry in ``active``."""
    done: dict[int, set[str]] = {}
    for line in lines:
        if line["kind"] == "block":
            done.setdefault(line["round"], set()).add(line["entry"])
    number = 0
    while active and active <= done.get(number, set()):
        number += 1
    return number
