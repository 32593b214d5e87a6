"""The interleaved run: rounds of blocks, one process a block, journalled so that an interruption costs one round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlm_edge.bench.assemble import assemble
from tlm_edge.bench.devices import Device, DeviceLostError
from tlm_edge.bench.job import Job
from tlm_edge.bench.machine import usable_cores
from tlm_edge.bench.plan import Entry, Journal, Plan, only_complete_rounds
from tlm_edge.bench.power import Meter
from tlm_edge.bench.protocol import PROFILES, order_of_round, texts_to_time
from tlm_edge.bench.record import Record, write_record
from tlm_edge.bench.texts import BenchTexts
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError

#: Called before each step with what it is, the steps done, and the steps in all.
Progress = Callable[[str, int, int], None]
#: PyTorch's label of every text for an entry's source, or ``None``, and where that comes from or why it is missing.
Reference = Callable[[Entry, Bundle, Sequence[str]], tuple[list[int] | None, str]]


@dataclass(frozen=True)
class Result:
    """The records that could be had, their files, and what went wrong with the other entries, by id."""

    records: tuple[Record, ...]
    files: tuple[Path, ...]
    faults: dict[str, str]


@dataclass(frozen=True)
class _Run:
    plan: Plan
    bundles: dict[str, Bundle]
    device: Device
    texts: BenchTexts
    journal: Journal
    progress: Progress
    meter: Meter | None = None

    @property
    def timed(self) -> bool:
        """Whether latency is measured; else instructions are counted, once, and latency is estimated from them."""
        return getattr(self.device, "timing", "measured") == "measured"

    def step(self, what: str, done: int) -> None:
        turns = 1 + PROFILES[self.plan.profile].rounds if self.timed else 1
        self.progress(what, done, len(self.plan.entries) * turns)

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.journal.lines if line["kind"] == kind]

    def active(self) -> list[Entry]:
        """The entries that haven't failed."""
        failed = {line["entry"] for line in self.lines("fault")}
        return [entry for entry in self.plan.entries if entry.id not in failed]

    def work(self, entry: Entry, line: dict[str, Any], job: Job) -> None:
        """Do ``job`` and journal its outcome; a fault takes the entry out of the run and leaves the others in."""
        if self.meter is not None and job.task == "latency":
            meter = self.meter
            self.take(entry, line, lambda: meter.while_at(lambda: self.device.work(job)))
        else:
            self.take(entry, line, lambda: self.device.work(job))

    def take(self, entry: Entry, line: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        """Journal the outcome that ``work`` gives, or its fault."""
        try:
            outcome = work()
        except DeviceLostError:
            raise  # nothing says that the bundle is at fault
        except UserError as error:
            self.journal.append({"kind": "fault", "entry": entry.id, "message": str(error)})
        else:
            self.journal.append(line | {"entry": entry.id, "outcome": outcome})


def run_session(
    plan: Plan,
    bundles: dict[str, Bundle],
    device: Device,
    texts: BenchTexts,
    folder: Path,
    *,
    reference: Reference,
    progress: Progress,
) -> Result:
    """Do what ``plan`` says, or what is left of it, and write a record a bundle into ``folder``.

    ``bundles`` are the opened bundles by entry id. A bundle that fails on the device is named in ``faults`` and the
    others go on without it. Whatever stops the run, the rounds that were completed stay in the journal.
    """
    meter = None if plan.power_command is None else Meter(plan.power_command)
    run = _Run(plan, bundles, device, texts, Journal(folder), progress, meter)
    if meter is not None and not run.timed:
        raise UserError(f"{device.name} is emulated, and draws no power: leave --power-cmd away")
    places = {entry.id: device.place(bundles[entry.id]) for entry in plan.entries}
    if run.timed:
        _label(run, places, reference)
        _time(run, places)
    else:
        _count(run, places, reference)
    records, files = [], []
    for entry in run.active():
        record = assemble(plan, entry, bundles[entry.id], device, texts, run.journal.lines)
        path = folder / f"{entry.id}.json"
        write_record(path, record)
        records.append(record)
        files.append(path)
    faults = {line["entry"]: line["message"] for line in run.lines("fault")}
    run.journal.remove()
    return Result(tuple(records), tuple(files), faults)


def _label(run: _Run, places: dict[str, str], reference: Reference) -> None:
    """Have every bundle label the evaluation texts, and PyTorch too where its checkpoint is at hand."""
    labelled = {line["entry"] for line in run.lines("labels")}
    for number, entry in enumerate(run.active()):
        bundle = run.bundles[entry.id]
        # At a length that isn't the text's own there is nothing to be right about.
        if entry.length is not None or entry.id in labelled or not _labels_fit(run, entry):
            continue
        run.step(f"accuracy of {entry.id}", number)
        labels, origin = reference(entry, bundle, run.texts.texts)
        line = {"kind": "labels", "reference": labels, "reference_origin": origin}
        run.work(entry, line, Job("labels", places[entry.id], run.texts.texts, entry.threads))


def _time(run: _Run, places: dict[str, str]) -> None:
    profile = PROFILES[run.plan.profile]
    timed = tuple(texts_to_time(run.texts.texts, profile, run.plan.seed))
    first = only_complete_rounds(run.journal.lines, {entry.id for entry in run.active()})
    for number in range(first, profile.rounds):
        active = run.active()
        for position, index in enumerate(order_of_round(len(active), number) if active else []):
            entry = active[index]
            done = len(run.plan.entries) * (1 + number) + position
            run.step(f"round {number + 1}/{profile.rounds}: {entry.id}", done)
            job = Job(
                "latency",
                places[entry.id],
                timed,
                entry.threads,
                inferences=profile.block_inferences,
                seconds=profile.block_seconds,
                warm_up_seconds=profile.warm_up_seconds,
                length=entry.length,
            )
            run.work(entry, {"kind": "block", "round": number, "position": position}, job)


def _count(run: _Run, places: dict[str, str], reference: Reference) -> None:
    """Have every bundle label some texts, and the instructions of those counted that would be timed.

    Several at once: how long it takes tells nothing.
    """
    profile = PROFILES[run.plan.profile]
    timed = tuple(texts_to_time(run.texts.texts, profile, run.plan.seed))
    labelled = run.texts.sample(profile.emulated_texts, run.plan.seed).texts
    done = {line["entry"] for line in run.lines("count")}
    entries = [entry for entry in run.active() if entry.id not in done]
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        try:
            given = {
                entry.id: labelled if entry.length is None and _labels_fit(run, entry) else () for entry in entries
            }
            outcomes = {
                entry.id: pool.submit(
                    run.device.work,
                    Job(
                        "count",
                        places[entry.id],
                        timed + given[entry.id],
                        entry.threads,
                        counted=len(timed),
                        length=entry.length,
                    ),
                )
                for entry in entries
            }
            for number, entry in enumerate(entries, start=len(done)):
                run.step(f"instructions and accuracy of {entry.id}", number)
                labels, origin = None, ""
                if given[entry.id]:
                    labels, origin = reference(entry, run.bundles[entry.id], labelled)
                line = {"kind": "count", "reference": labels, "reference_origin": origin}
                run.take(entry, line, outcomes[entry.id].result)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _labels_fit(run: _Run, entry: Entry) -> bool:
    """Whether the texts' labels are those of the entry's bundle."""
    return run.texts.expected(run.bundles[entry.id].manifest.labels) is not None
