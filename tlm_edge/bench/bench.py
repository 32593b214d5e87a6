"""A benchmark from its arguments to its records: begin one, or resume it."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlm_edge.bench.assemble import now
from tlm_edge.bench.devices import Device, open_device
from tlm_edge.bench.inputs import Input, open_input
from tlm_edge.bench.plan import JOURNAL_FILE, PLAN_FILE, DataSource, Entry, Plan, read_plan, write_plan
from tlm_edge.bench.protocol import profile_named
from tlm_edge.bench.record import record_files
from tlm_edge.bench.reference import References
from tlm_edge.bench.session import Progress, Result, run_session
from tlm_edge.bench.texts import SHIPPED_DATA, BenchTexts, read_texts, shipped_texts
from tlm_edge.files import refuse_existing
from tlm_edge.runtime.errors import UserError

#: Where benchmarks go when no place is named.
OUT = Path("tlm-edge-out/bench")


@dataclass(frozen=True)
class Settings:
    """How to measure: see the options of ``tlm-edge bench``. ``source`` is ``None`` for the shipped texts."""

    device: str = "local"
    profile: str = "rapid"
    threads: tuple[int, ...] = (1,)
    seed: int = 0
    source: DataSource | None = None

    def command(self, models: Sequence[str], targets: Sequence[str] = (), precisions: Sequence[str] = ()) -> str:
        """The command that repeats the measurement of ``models``."""
        words = ["tlm-edge", "bench", *models, "--device", self.device, "--profile", self.profile]
        words += [word for count in self.threads for word in ("--threads", str(count))]
        words += [word for target in targets for word in ("--target", target)]
        words += [word for precision in precisions for word in ("--precision", precision)]
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


def default_folder(device: str, profile: str) -> Path:
    """A folder for a new benchmark under ``tlm-edge-out/bench``, named after device, profile and time."""
    stamp = now().replace("+00:00", "Z").replace(":", "").replace("-", "")
    return OUT / f"{device}-{profile}-{stamp}"


def unfinished_folder() -> Path:
    """The latest benchmark under ``tlm-edge-out/bench`` that was interrupted. Raises ``UserError`` if there is none."""
    found = [plan.parent for plan in OUT.glob(f"*/{PLAN_FILE}") if (plan.parent / JOURNAL_FILE).is_file()]
    if not found:
        raise UserError(f"no interrupted benchmark under {OUT}: name its folder with --out, or start one")
    return max(found, key=lambda folder: (folder / JOURNAL_FILE).stat().st_mtime)


def begin(
    inputs: Sequence[Input], settings: Settings, folder: Path, *, command: str, progress: Progress, force: bool = False
) -> Result:
    """Measure ``inputs`` side by side and leave the records in ``folder``.

    ``command`` is what reproduces it. Raises ``UserError`` for an unknown device or profile, texts that can't be read,
    or if ``folder`` holds anything and ``force`` is false.
    """
    profile_named(settings.profile)
    device = open_device(settings.device)
    texts = _texts(settings.source, inputs)
    source = settings.source or data_source(texts.data)
    plan = Plan(
        format="tlm-edge-bench",
        schema_version=1,
        id=uuid.uuid4().hex,
        started=now(),
        device=settings.device,
        profile=settings.profile,
        seed=settings.seed,
        command=command,
        source=replace(source, sha256=texts.sha256),
        entries=_entries(inputs, settings.threads),
    )
    _clear(folder, force=force)
    write_plan(folder, plan)
    return _run(plan, inputs, device, texts, folder, progress)


def resume(folder: Path, progress: Progress) -> Result:
    """Go on with the benchmark in ``folder`` after its last complete round.

    Raises ``UserError`` if there is none, if it is complete, or if its bundles or texts have changed.
    """
    plan = read_plan(folder)
    if not (folder / JOURNAL_FILE).is_file():
        raise UserError(f"the benchmark in {folder} is complete: see it with `tlm-edge report {folder} --out DIR`")
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
    return _run(plan, inputs, open_device(plan.device), texts, folder, progress)


def _run(
    plan: Plan, inputs: Sequence[Input], device: Device, texts: BenchTexts, folder: Path, progress: Progress
) -> Result:
    by_path = {str(one.path.resolve()): one.bundle for one in inputs}
    bundles = {entry.id: by_path[entry.bundle] for entry in plan.entries}
    # From here on the benchmark can be resumed.
    (folder / JOURNAL_FILE).touch()
    try:
        return run_session(plan, bundles, device, texts, folder, reference=References(), progress=progress)
    finally:
        device.close()


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


def _entries(inputs: Sequence[Input], threads: Sequence[int]) -> tuple[Entry, ...]:
    """One entry a bundle and number of threads; ids are unique file names."""
    entries: list[Entry] = []
    taken: set[str] = set()
    for one in inputs:
        for count in dict.fromkeys(threads):
            wanted = f"{one.bundle.manifest.name}-t{count}".replace("/", "-")
            name, number = wanted, 2
            while name in taken:
                name, number = f"{wanted}-{number}", number + 1
            taken.add(name)
            checkpoint = None if one.checkpoint is None else str(one.checkpoint.resolve())
            entries.append(Entry(name, str(one.path.resolve()), one.manifest_sha256, count, checkpoint))
    return tuple(entries)


def _clear(folder: Path, *, force: bool) -> None:
    """Make ``folder`` ready: with ``force`` what an earlier benchmark left there, and no more, is removed."""
    refuse_existing(folder, force=force)
    if folder.is_dir():
        for name in (PLAN_FILE, JOURNAL_FILE):
            (folder / name).unlink(missing_ok=True)
        for path in record_files(folder):
            path.unlink()
