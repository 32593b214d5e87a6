"""A device that an agent serves: what SSH and adb have in common.

Files go beside the agent, by whatever means the line has, and it compares their hashes. A line that breaks is taken up
again, a bounded number of times.
"""

from __future__ import annotations

import getpass
import platform
import re
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tlm_edge.bench.devices import Address, DeviceLostError
from tlm_edge.bench.devices.connection import (
    Connection,
    Line,
    LineError,
    RefusedError,
    State,
    describe,
    require_usable,
)
from tlm_edge.bench.devices.local import read_outcome
from tlm_edge.bench.job import Job
from tlm_edge.bench.profiles import profile_of
from tlm_edge.bench.runner import make_runner
from tlm_edge.files import sha256_file
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE

#: Seconds to wait before each new try when a line broke: a board that restarts is back within them.
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
#: Room on the device beyond what is sent, and memory beyond the model's, in bytes.
_SPARE_DISK = 32_000_000
_SPARE_MEMORY = 120_000_000
#: Resident memory over the size of the model's file, above what the runtimes of the shipped models were seen to take.
_MEMORY_OF_MODEL = 3

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Files that travel together, name on the device → file here. The part's own name tells its content."""

    name: str
    files: dict[str, Path] = field(repr=False)

    @property
    def bytes(self) -> int:
        """Their size together."""
        return sum(file.stat().st_size for file in self.files.values())

    def hashes(self) -> dict[str, str]:
        """SHA-256 by name on the device."""
        return {name: sha256_file(file) for name, file in self.files.items()}


class RemoteDevice:
    """A device that an agent serves; see ``Device``."""

    def __init__(self, address: Address, make_line: Callable[[], Line]):
        """Connect, see whether it can be measured on, and take it for this session.

        Raises ``UserError`` in one line where it can't be reached, isn't of its profile's architecture, can't run the
        runtimes, or is in use.
        """
        self.name, self.transport = address.name, address.transport
        self._profile = None if address.profile is None else profile_of(address.profile)
        self._make_line, self._keeps = make_line, False
        self._session = uuid.uuid4().hex[:16]
        #: bundle's place → the runner's parts for it; names of the parts that are known to be there, whole.
        self._parts: dict[str, list[str]] = {}
        self._there: set[str] = set()
        self._connection, self.state = self._first_connection()

    @property
    def _who(self) -> str:
        return f"{self.name} ({self._words})"

    def _first_connection(self) -> tuple[Connection, State]:
        line = self._make_line()
        self._words = line.words
        try:
            connection = Connection(line, self.name)
        except LineError as reason:
            line.close()
            raise UserError(f"{self._who} can't be reached: {reason}") from reason
        except BaseException:
            line.close()
            raise
        try:
            state = describe(connection, line.root)
            require_usable(self._who, state)
            self._require_profile(state)
            self._begin(connection)
        except RefusedError as refusal:
            connection.close()
            raise UserError(
                f"{self._who} is {refusal}" if refusal.kind == "busy" else f"{self._who}: {refusal}"
            ) from None
        except LineError as reason:
            raise UserError(f"{self._who} can't be reached: {reason}") from reason
        except BaseException:
            connection.close()
            raise
        return connection, state

    def _begin(self, connection: Connection) -> None:
        owner = f"{getpass.getuser()}@{platform.node()}"
        connection.ask("begin", session=self._session, owner=owner)
        if self._keeps:
            connection.ask("keep")

    def place(self, bundle: Bundle) -> str:
        """Send the runner and the bundle, or what the device lacks of them; the bundle's folder there."""
        target = bundle.manifest.target
        runner = make_runner(self.state.machine.architecture, self.state.python, [target])
        if target in runner.missing:
            raise UserError(f"{self._who} can't run {bundle.path}: {runner.missing[target]}")
        parts = [Part(folder.name, _files_of(folder)) for folder in runner.folders]
        own = _bundle_part(bundle)
        self._require_memory(bundle)
        self._persist(lambda connection: self._send(connection, [*parts, own]), "sending files")
        place = f"{self.state.root}/parts/{own.name}"
        self._parts[place] = [part.name for part in parts]
        return place

    def work(self, job: Job) -> dict[str, Any]:
        """Run the worker; see ``Device.work``. A job whose connection broke is begun anew once there is one again."""
        parts = self._parts[job.bundle]
        done = self._persist(lambda connection: connection.ask("work", parts=parts, job=job.to_json()), "at work")
        return read_outcome(done["status"], done["output"], done["errors"], job)

    def keep(self) -> None:
        """Leave this session's jobs on the device."""
        self._keeps = True
        self._persist(lambda connection: connection.ask("keep"), "keeping its jobs")

    def clear(self) -> None:
        """Delete everything of ours on the device. Raises ``UserError`` if it can't be."""
        self._persist(lambda connection: connection.ask("clear"), "clearing")

    def close(self) -> None:
        """Hang up; the agent deletes this session's jobs, unless they are kept."""
        self._connection.close()

    def _persist(self, do: Callable[[Connection], T], what: str) -> T:
        """What ``do`` gives, on a new connection should this one break.

        Raises ``DeviceLostError`` if there is no new one in ``RETRY_SECONDS``, ``UserError`` where the device refuses.
        """
        waits = list(RETRY_SECONDS)
        while True:
            try:
                return do(self._connection)
            except LineError as error:
                reason = error
            except RefusedError as refusal:
                raise UserError(f"{self._who}: {refusal}") from None
            while True:
                if not waits:
                    raise DeviceLostError(f"the connection to {self._who} was lost, {what}: {reason}") from reason
                time.sleep(waits.pop(0))
                try:
                    self._connection = self._again()
                except LineError as error:
                    reason = error
                else:
                    break

    def _again(self) -> Connection:
        line = self._make_line()
        try:
            connection = Connection(line, self.name)
            describe(connection, line.root)
            self._begin(connection)
        except (UserError, RefusedError) as error:
            line.close()
            raise LineError(str(error)) from error
        except LineError:
            line.close()
            raise
        return connection

    def _require_profile(self, state: State) -> None:
        if self._profile is not None and self._profile.cores and state.machine.architecture != "aarch64":
            raise UserError(
                f"{self._who} is {state.machine.architecture}, and a {self._profile.title} is aarch64: give its own "
                "profile with --profile-name, or none"
            )

    def _require_memory(self, bundle: Bundle) -> None:
        model = sum((bundle.folder / name).stat().st_size for name in bundle.manifest.model_files)
        wanted = _SPARE_MEMORY + _MEMORY_OF_MODEL * model
        available = self.state.conditions.available_memory_mb
        limits = [] if available is None else [int(available * 1e6)]
        limits += [] if self.state.memory_limit_bytes is None else [self.state.memory_limit_bytes]
        if limits and min(limits) < wanted:
            raise UserError(
                f"{self._who} has {min(limits) / 1e6:.0f} MB of memory to spare, and {bundle.path} needs about "
                f"{wanted / 1e6:.0f} MB: stop other programs there"
            )

    def _send(self, connection: Connection, parts: Sequence[Part]) -> None:
        hashes = {part.name: part.hashes() for part in parts if part.name not in self._there}
        answer = connection.ask("lacking", parts=hashes)
        lacking = [part for part in parts if part.name in answer["lacking"]]
        # An archive and its content lie there side by side for a moment.
        wanted = sum(part.bytes for part in lacking) + max((part.bytes for part in lacking), default=0) + _SPARE_DISK
        if lacking and answer["free_bytes"] < wanted:
            raise UserError(
                f"{self._who} has {answer['free_bytes'] / 1e6:.0f} MB free in {self.state.root}, and "
                f"{wanted / 1e6:.0f} MB are needed: make room there"
            )
        for part in lacking:
            self._send_part(connection, part, hashes[part.name])
        self._there.update(hashes)

    def _send_part(self, connection: Connection, part: Part, hashes: dict[str, str]) -> None:
        """Send a part; once more if it arrived altered. Raises ``UserError`` if it did so again."""
        with tempfile.TemporaryDirectory(prefix="tlm-edge-send-") as folder:
            archive = Path(folder) / f"{uuid.uuid4().hex}.zip"
            _zip(part, archive)
            sent = {"archive": archive.name, "sha256": sha256_file(archive), "files": hashes}
            for attempt in (1, 2):
                self._copy(connection, Path(folder), archive.name)
                try:
                    connection.ask("unpack", part=part.name, **sent)
                except RefusedError as refusal:
                    if refusal.kind == "corrupt" and attempt == 1:
                        continue
                    raise
                return

    def _copy(self, connection: Connection, folder: Path, name: str) -> None:
        try:
            connection.line.send(folder, name, f"{self.state.root}/incoming")
        except LineError as error:
            # Who answers now has refused the file; from a line that broke comes another LineError.
            free = describe(connection, connection.line.root).free_bytes
            raise UserError(f"{self._who}: {error} ({free / 1e6:.0f} MB are free there)") from error


def _bundle_part(bundle: Bundle) -> Part:
    names = [MANIFEST_FILE, *bundle.manifest.files]
    files = {name: bundle.folder / name for name in names}
    digest = sha256_file(bundle.folder / MANIFEST_FILE)
    return Part(f"{re.sub(r'[^A-Za-z0-9_.]+', '-', bundle.manifest.name).strip('.')}-{digest[:16]}", files)


def _files_of(folder: Path) -> dict[str, Path]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(folder).as_posix(): file for file in files}


def _zip(part: Part, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        for name, file in part.files.items():
            opened.write(file, name)
