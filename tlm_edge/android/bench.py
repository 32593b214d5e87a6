"""The benchmark on a phone: bundles go there, ``BenchInstrumentation`` measures, the records come home."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.android.adb import SCRATCH, Phone
from tlm_edge.android.build import PACKAGE
from tlm_edge.bench.protocol import profile_named
from tlm_edge.bench.record import Record, read_record, write_record
from tlm_edge.files import new_folder, sha256_file
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import MANIFEST_FILE

#: Called with what is measured, the steps done, and the steps in all.
Progress = Callable[[str, int, int], None]
#: The folders below the app's own, as the app itself names them.
_BUNDLES = "files/bench"
_RECORDS = "files/records/bench.json"
_OK = "-1"  # Activity.RESULT_OK


@dataclass(frozen=True)
class Request:
    """What to measure: as the options of ``tlm-edge bench``; ``command`` is what repeats it."""

    profile: str
    threads: tuple[int, ...]
    seed: int
    command: str


def bench(
    phone: Phone, bundles: Sequence[Bundle], request: Request, out: Path, progress: Progress, *, force: bool = False
) -> list[Record]:
    """Measure ``bundles``, the app's own models if there are none, and write the records into the folder ``out``.

    What was put on the phone is removed again. Raises ``UserError`` if the app isn't installed, a bundle can't be run
    on the phone, the app dies, or what it sends isn't the record of what was asked for.
    """
    profile_named(request.profile)
    with new_folder(out, force=force) as folder:
        if not _is_installed(phone):
            raise UserError(f"the app is not on {phone.serial}: install it with `tlm-edge android install`")
        names = [sha256_file(bundle.folder / MANIFEST_FILE) for bundle in bundles]
        try:
            for name, bundle in zip(names, bundles, strict=True):
                _place(phone, bundle, name)
            _measure(phone, names, request, progress)
            content = phone.read("run-as", PACKAGE, "cat", _RECORDS)
        finally:
            phone.shell("run-as", PACKAGE, "rm", "-rf", _BUNDLES)
        records = _read(content, phone)
        wanted, got = set(names), {record.bundle.sha256 for record in records}
        if wanted and wanted != got:
            raise UserError("the app sent records of other bundles than it was given: install this version of the app")
        for record in records:
            write_record(folder / f"{record.id}.json", record)
    return records


def _is_installed(phone: Phone) -> bool:
    try:
        return "package:" in phone.shell("pm", "path", PACKAGE)
    except UserError:
        return False  # pm fails where there is no such package


def _place(phone: Phone, bundle: Bundle, name: str) -> None:
    """Bring a bundle into the app's own folder: adb writes where the shell may, the app's user copies it from there."""
    there, home = f"{SCRATCH}/tlm-edge-{name[:16]}", f"{_BUNDLES}/{name[:16]}"
    try:
        phone.shell("mkdir", "-p", there)
        for file in (MANIFEST_FILE, *bundle.manifest.files):
            if "/" in file:
                phone.shell("mkdir", "-p", f"{there}/{file.rpartition('/')[0]}")
            phone.run("push", bundle.folder / file, f"{there}/{file}")
        phone.shell("run-as", PACKAGE, "mkdir", "-p", _BUNDLES)
        phone.shell("run-as", PACKAGE, "cp", "-r", there, home)
    finally:
        phone.shell("rm", "-rf", there)


def _measure(phone: Phone, names: Sequence[str], request: Request, progress: Progress) -> None:
    given = {
        "profile": request.profile,
        "threads": ",".join(str(count) for count in request.threads),
        "seed": str(request.seed),
        "command": request.command,
    }
    if names:
        given["bundles"] = ",".join(name[:16] for name in names)
    words = [word for name, value in given.items() for word in ("-e", name, value)]
    results: dict[str, str] = {}
    code = ""
    for line in phone.stream("am", "instrument", "-w", "-r", *words, f"{PACKAGE}/.BenchInstrumentation"):
        if step := re.match(r"INSTRUMENTATION_STATUS: tlm_progress=(\d+)/(\d+) (.*)", line):
            progress(step[3], int(step[1]), int(step[2]))
        elif result := re.match(r"INSTRUMENTATION_RESULT: (\w+)=(.*)", line):
            results[result[1]] = result[2]
        elif line.startswith("INSTRUMENTATION_CODE: "):
            code = line.partition(": ")[2]
    if "tlm_error" in results:
        raise UserError(f"the app on {phone.serial}: {results['tlm_error']}")
    if code != _OK or "tlm_records" not in results:
        said = results.get("longMsg") or results.get("shortMsg") or "it left no result"
        raise UserError(f"the app on {phone.serial} ended before it was done ({said}): see `adb logcat`")


def _read(content: bytes, phone: Phone) -> list[Record]:
    """The records in what the app wrote, each checked as any record is."""
    try:
        listed = json.loads(content)
    except ValueError as error:
        raise UserError(f"what {phone.serial} sent is not JSON ({error}): measure again") from error
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{phone.serial} sent no records: measure again")
    records = []
    with tempfile.TemporaryDirectory(prefix="tlm-edge-records-") as folder:
        for number, record in enumerate(listed):
            file = Path(folder) / f"record-{number}.json"
            file.write_text(json.dumps(record), encoding="utf-8")
            records.append(read_record(file))
            if not re.fullmatch(r"[\w-][\w.-]*", records[-1].id):
                raise UserError(f"{phone.serial} sent a record with the id {records[-1].id!r}, which names no file")
    return records
