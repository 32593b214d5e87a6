"""A benchmark from its arguments to its records: begin one, or resume it."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from tlm_edge.bench.assemble import now
from tlm_edge.bench.devices import LOCAL, Address, Device, DeviceLostError, open_device
from tlm_edge.bench.inputs import Input, open_input
from tlm_edge.bench.plan import JOURNAL_FILE, PLAN_FILE, PLAN_VERSION, DataSource, Entry, Plan, read_plan, write_plan
from tlm_edge.bench.protocol import profile_named
from tlm_edge.bench.record import read_record, record_files
from tlm_edge.bench.reference import References
from tlm_edge.bench.session import Progress, Result, run_session
from tlm_edge.bench.texts import SHIPPED_DATA, BenchTexts, read_texts, shipped_texts
from tlm_edge.files import refuse_existing
from tlm_edge.runtime.errors import UserError

#: Where benchmarks go when no place is named.
OUT = Path("tlm-edge-out/bench")


@dataclass(frozen=True)
class Settings:
    """How to measure: see the options of ``tlm-edge bench``. ``source`` is ``None`` for the shipped texts.

    ``keep`` leaves on the devices what would be deleted there in the end; ``lengths`` are numbers of tokens that texts
    are brought to, ``None`` for their own; ``power_command`` prints the watts that the device draws.
    """

    devices: tuple[Address, ...] = (LOCAL,)
    profile: str = "rapid"
    threads: tuple[int, ...] = (1,)
    seed: int = 0
    source: DataSource | None = None
    keep: bool = False
    lengths: tuple[int | None, ...] = (None,)
    power_command: str | None = None

    def command(
        self,
        models: Sequence[str],
        targets: Sequence[str] = (),
        precisions: Sequence[str] = (),
        layouts: Sequence[str] = (),
        where: Sequence[str] = ("--device", "local"),
    ) -> str:
        """The command that repeats the measurement of ``models``; ``where`` are its options that name the devices."""
        words = ["tlm-edge", "bench", *models, *where, "--profile", self.profile]
        words += [word for count in self.threads for word in ("--threads", str(count))]
        words += [word for length in self.lengths if length for word in ("--length", str(length))]
        words += ["--power-cmd", self.power_command] if self.power_command else []
        words += [word for target in targets for word in ("--target", target)]
        words += [word for precision in precisions for word in ("--precision", precision)]
        words += [word for layout in layouts for word in ("--layout", layout)]
        words += ["--seed", str(self.seed)] if self.seed else []
        if self.source is not None:
            words += ["--data", self.source.data]
            words += [word for column in self.source.text_columns for word in ("--text-column", column)]
            words += ["--label-column", self.source.label_column] if self.source.label_column else []
            words += ["--columns", ",".join(self.source.columns)] if self.source.columns else []
        return shlex.join(words)


def data_source(
    data: str, text_columns: Sequence[str] = (), label_column: str | None = None, columns: Sequence[str] = ()
) -> DataSource:
    """What ``--data`` and its column options say; the digest comes with reading it."""
    return DataSource(data, tuple(text_columns), label_column, tuple(columns), "")


def default_folder(devices: Sequence[Address], profile: str) -> Path:
    """A folder for a new benchmark under ``tlm-edge-out/bench``, named after devices, profile and time."""
    stamp = now().replace("+00:00", "Z").replace(":", "").replace("-", "")
    return OUT / f"{'-'.join(address.name for address in devices)}-{profile}-{stamp}"


def unfinished_folder() -> Path:
    """The latest benchmark under ``tlm-edge-out/bench`` that was interrupted. Raises ``UserError`` if there is none."""
    found = {path: path.parent for path in OUT.glob(f"*/{JOURNAL_FILE}")}
    found |= {path: path.parent.parent for path in OUT.glob(f"*/*/{JOURNAL_FILE}")}
    if not found:
        raise UserError(f"no interrupted benchmark under {OUT}: name its folder with --out, or start one")
    return found[max(found, key=lambda path: path.stat().st_mtime)]


def begin(
    inputs: Sequence[Input], settings: Settings, folder: Path, *, command: str, progress: Progress, force: bool = False
) -> Result:
    """Measure ``inputs`` side by side on every device and leave the records in ``folder``.

    Of several devices, each has a folder of its own in it. ``command`` is what reproduces the whole. A bundle that
    fails on a device, and a device that is lost on the way, is named in the result's ``faults``; what has been
    measured until then is kept, for ``resume``.
    Raises ``UserError`` for an unknown profile, a device that can't be reached, texts that can't be read, or if
    ``folder`` holds anything and ``force`` is false.
    """
    profile_named(settings.profile)
    with ExitStack() as stack:
        devices = [stack.enter_context(closing(open_device(address))) for address in settings.devices]
        for device in devices if settings.keep else ():
            device.keep()
        texts = _texts(settings.source, inputs)
        source = settings.source or data_source(texts.data)
        plans = [
            Plan(
                format="tlm-edge-bench",
                schema_version=PLAN_VERSION,
                id=uuid.uuid4().hex,
                started=now(),
                device=address,
                profile=settings.profile,
                seed=settings.seed,
                command=command,
                source=replace(source, sha256=texts.sha256),
                entries=_entries(inputs, settings.threads, settings.lengths),
                power_command=settings.power_command,
            )
            for address in settings.devices
        ]
        folders = _folders(folder, settings.devices)
        for place in {folder: None, **dict.fromkeys(folders)}:
            _clear(place, force=force)
        for place, plan in zip(folders, plans, strict=True):
            write_plan(place, plan)
            # From here on the benchmark can be resumed.
            (place / JOURNAL_FILE).touch()
        results = [
            _run(plan, inputs, device, texts, place, progress, folder)
            for plan, device, place in zip(plans, devices, folders, strict=True)
        ]
    return _merged(results)


def resume(folder: Path, progress: Progress) -> Result:
    """Go on with the benchmark in ``folder`` after its last complete round, on every device that isn't done.

    Raises ``UserError`` if there is none, if it is complete, or if its bundles or texts have changed.
    """
    places = (
        [folder] if (folder / PLAN_FILE).exists() else sorted(path.parent for path in folder.glob(f"*/{PLAN_FILE}"))
    )
    if not any((place / JOURNAL_FILE).is_file() for place in places or [folder]):
        read_plan(places[0] if places else folder)
        raise UserError(f"the benchmark in {folder} is complete: see it with `tlm-edge report {folder} --out DIR`")
    return _merged([_resumed(place, progress, folder) for place in places])


def _resumed(place: Path, progress: Progress, folder: Path) -> Result:
    plan = read_plan(place)
    if not (place / JOURNAL_FILE).is_file():
        files = record_files(place)
        return Result(tuple(read_record(file) for file in files), tuple(files), {})
    opened: dict[str, Input] = {}
    for entry in plan.entries:
        checkpoint = None if entry.checkpoint is None else Path(entry.checkpoint)
        found = opened.setdefault(entry.bundle, open_input(Path(entry.bundle), checkpoint))
        if found.manifest_sha256 != entry.manifest_sha256:
            raise UserError(f"{entry.bundle} has changed since the benchmark began: start it anew")
    inputs = list(opened.values())
    shipped = plan.source.data == SHIPPED_DATA
    texts = _texts(None if shipped else plan.source, inputs)
    if texts.sha256 != plan.source.sha256:
        raise UserError(f"{plan.source.data} has changed since the benchmark began: start it anew")
    with closing(open_device(plan.device)) as device:
        return _run(plan, inputs, device, texts, place, progress, folder)


def _run(
    plan: Plan,
    inputs: Sequence[Input],
    device: Device,
    texts: BenchTexts,
    place: Path,
    progress: Progress,
    folder: Path,
) -> Result:
    by_path = {str(one.path.resolve()): one.bundle for one in inputs}
    bundles = {entry.id: by_path[entry.bundle] for entry in plan.entries}
    progress(f"bringing the bundles to {device.name}", 0, len(plan.entries))
    try:
        return run_session(plan, bundles, device, texts, place, reference=References(), progress=progress)
    except DeviceLostError as lost:
        kept = f"what is done is kept, go on with: tlm-edge bench --resume --out {shlex.quote(str(folder))}"
        return Result((), (), {device.name: f"{lost}; {kept}"})


def _merged(results: Sequence[Result]) -> Result:
    if len(results) == 1:
        return results[0]
    faults = {
        f"{number} {name}": message for number, result in enumerate(results) for name, message in result.faults.items()
    }
    records = tuple(record for result in results for record in result.records)
    return Result(records, tuple(file for result in results for file in result.files), faults)


def _folders(folder: Path, devices: Sequence[Address]) -> list[Path]:
    """The folder itself for one device, one in it for each of several."""
    if len(devices) == 1:
        return [folder]
    names = [address.name for address in devices]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"the device {twice[0]} is given twice: once is enough, repetitions are made anyway")
    return [folder / name for name in names]


def _texts(source: DataSource | None, inputs: Sequence[Input]) -> BenchTexts:
    if not inputs:
        raise UserError("there is nothing to measure: name a bundle, a checkpoint or a shipped model")
    if source is None:
        return shipped_texts()
    return read_texts(
        source.data,
        inputs[0].bundle.manifest.labels,
        text_columns=source.text_columns,
        label_column=source.label_column,
        columns=source.columns,
    )


def _entries(inputs: Sequence[Input], threads: Sequence[int], lengths: Sequence[int | None]) -> tuple[Entry, ...]:
    """One entry a bundle, number of threads and length; ids are unique file names."""
    entries: list[Entry] = []
    taken: set[str] = set()
    for one in inputs:
        longest = one.bundle.manifest.max_length
        for count, length in product(dict.fromkeys(threads), dict.fromkeys(lengths)):
            if length is not None and not 2 <= length <= longest:
                raise UserError(f"{one.path} takes 2 to {longest} tokens: --length {length} can't be measured")
            manifest = one.bundle.manifest
            layout = "" if manifest.layout == "fused" else f"-{manifest.layout}"
            wanted = f"{manifest.name}{layout}-t{count}{f'-n{length}' if length else ''}".replace("/", "-")
            name, number = wanted, 2
            while name in taken:
                name, number = f"{wanted}-{number}", number + 1
            taken.add(name)
            checkpoint = None if one.checkpoint is None else str(one.checkpoint.resolve())
            entries.append(Entry(name, str(one.path.resolve()), one.manifest_sha256, count, checkpoint, length))
    return tuple(entries)


def _clear(folder: Path, *, force: bool) -> None:
    """Make ``folder`` ready: with ``force`` what an earlier benchmark left there, and no more, is removed."""
    refuse_existing(folder, force=force)
    if folder.is_dir():
        for name in (PLAN_FILE, JOURNAL_FILE):
            (folder / name).unlink(missing_ok=True)
        for path in record_files(folder):
            path.unlink()
