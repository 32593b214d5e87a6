"""From the journal of a run to a record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tlm_edge import __version__
from tlm_edge.bench.devices import Device
from tlm_edge.bench.emulated import emulated_figures, emulation_of, judge_emulated
from tlm_edge.bench.figures import Figure, Provenance, figure
from tlm_edge.bench.machine import Machine
from tlm_edge.bench.plan import Entry, Plan
from tlm_edge.bench.protocol import PROFILES
from tlm_edge.bench.record import (
    FORMAT,
    SCHEMA_VERSION,
    Block,
    BundleFacts,
    DeviceFacts,
    Labelling,
    Record,
    RuntimeFacts,
    SessionFacts,
    TextFacts,
)
from tlm_edge.bench.statistics import accuracy_interval, summarize
from tlm_edge.bench.texts import BenchTexts
from tlm_edge.bench.validity import judge
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.from_json import from_json
from tlm_edge.runtime.manifest import MANIFEST_FILE
from tlm_edge.runtime.metrics import macro_f1


def now() -> str:
    """The present moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def assemble(
    plan: Plan, entry: Entry, bundle: Bundle, device: Device, texts: BenchTexts, lines: Sequence[dict[str, Any]]
) -> Record:
    """The record of ``entry`` from its journalled outcomes.

    Of a round done twice, as after a resume, the later one counts.
    """
    own = [line for line in lines if line.get("entry") == entry.id]
    profile = PROFILES[plan.profile]
    by_round = {line["round"]: line for line in own if line["kind"] == "block"}
    blocks = tuple(_block(by_round[number]) for number in sorted(by_round))
    counted = next((line["outcome"] for line in own if line["kind"] == "count"), None)
    if counted is not None:
        outcomes, emulation = [counted], emulation_of(counted)
        texts = texts.sample(profile.emulated_texts, plan.seed)
    else:
        outcomes, emulation = [by_round[number]["outcome"] for number in sorted(by_round)], None
    labelled = next((line for line in own if line["kind"] in ("labels", "count")), None)
    labelling = None if entry.length is not None else _labelling(labelled, bundle, texts)
    tokens = np.array(outcomes[0]["tokens"])
    figures = _accuracy_figures(labelling, entry, texts, "measured" if emulation is None else "emulated")
    if labelled is not None and "members_used" in labelled["outcome"]:
        provenance: Provenance = "measured" if emulation is None else "emulated"
        figures["members"] = figure("members", float(np.mean(labelled["outcome"]["members_used"])), provenance)
    figures |= _timed_figures(blocks) if emulation is None else emulated_figures(emulation)
    figures |= _size_figures(bundle) | {"energy": _energy(blocks)}
    return Record(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        id=entry.id,
        tlm_edge_version=__version__,
        bundle=_bundle_facts(entry, bundle),
        device=DeviceFacts(device.name, device.transport, from_json(Machine, outcomes[-1]["machine"])),
        runtime=from_json(RuntimeFacts, outcomes[-1]["runtime"]),
        texts=TextFacts(
            data=texts.data,
            sha256=texts.sha256,
            timed=tokens.size,
            length="own" if entry.length is None else str(entry.length),
            tokens_p50=float(np.percentile(tokens, 50)),
            tokens_p90=float(np.percentile(tokens, 90)),
            tokens_max=int(tokens.max()),
        ),
        session=SessionFacts(
            id=plan.id,
            started=plan.started,
            profile=plan.profile,
            rounds=profile.rounds,
            inferences=profile.inferences,
            seconds=profile.seconds,
            seed=plan.seed,
            records=tuple(other.id for other in plan.entries),
            command=plan.command,
        ),
        figures=figures,
        validity=judge(blocks, profile) if emulation is None else judge_emulated(emulation, labelling),
        labelling=labelling,
        blocks=blocks,
        emulation=emulation,
    )


def _block(line: dict[str, Any]) -> Block:
    outcome = line["outcome"]
    kept = {key: outcome[key] for key in Block.__dataclass_fields__ if key in outcome}
    return from_json(Block, {"round": line["round"], "position": line["position"], **kept})


def _bundle_facts(entry: Entry, bundle: Bundle) -> BundleFacts:
    manifest = bundle.manifest
    return BundleFacts(
        name=manifest.name,
        target=manifest.target,
        precision=manifest.precision,
        rewrite=manifest.rewrite,
        sha256=entry.manifest_sha256,
        source=manifest.source.name,
        source_sha256=manifest.source.sha256,
        architecture=manifest.source.architecture,
        members=manifest.source.members,
        parameters=manifest.source.parameters,
        labels=manifest.labels,
        max_length=manifest.max_length,
        layout=manifest.layout,
    )


def _labelling(line: dict[str, Any] | None, bundle: Bundle, texts: BenchTexts) -> Labelling | None:
    expected = texts.expected(bundle.manifest.labels)
    if line is None or expected is None:
        return None
    reference = line["reference"]
    return Labelling(
        data=texts.data,
        sha256=texts.sha256,
        smoke_test=texts.smoke_test,
        expected=expected,
        # What an emulator counted comes first, and isn't part of what is judged.
        given=tuple(line["outcome"]["labels"][-len(expected) :]),
        reference=None if reference is None else tuple(reference),
        reference_origin=line["reference_origin"],
    )


def _timed_figures(blocks: Sequence[Block]) -> dict[str, Figure]:
    tokenize = np.concatenate([block.tokenize_us for block in blocks]) / 1e3
    model = np.concatenate([block.model_us for block in blocks]) / 1e3
    total, alone, cut = summarize(tokenize + model), summarize(model), summarize(tokenize)
    peaks = [block.peak_rss_mb for block in blocks if block.peak_rss_mb is not None]
    rises = [
        block.peak_rss_mb - block.bare_rss_mb
        for block in blocks
        if block.peak_rss_mb is not None and block.bare_rss_mb is not None
    ]
    values: dict[str, float | None] = {
        "latency_p50": total.p50,
        "latency_p90": total.p90,
        "latency_p99": total.p99,
        "latency_mean": total.mean,
        "latency_trimmed_mean": total.trimmed_mean,
        "model_p50": alone.p50,
        "model_p90": alone.p90,
        "tokenize_p50": cut.p50,
        "tokenize_p90": cut.p90,
        "throughput": 1e3 / total.mean,
        "load": float(np.median([block.load_ms for block in blocks])),
        "first_inference": float(np.median([block.first_ms for block in blocks])),
        "peak_rss": max(peaks, default=None),
        "rise_rss": max(rises, default=None),
    }
    instructions = figure("instructions", None, note="counted on emulated devices only")
    return {name: figure(name, value) for name, value in values.items()} | {"instructions": instructions}


def _size_figures(bundle: Bundle) -> dict[str, Figure]:
    files = bundle.manifest.files
    sizes = sum(record.bytes for record in files.values()) + (bundle.folder / MANIFEST_FILE).stat().st_size
    model = sum(files[name].bytes for name in bundle.manifest.model_files)
    return {"size": figure("size", sizes / 1e6), "model_size": figure("model_size", model / 1e6)}


def _energy(blocks: Sequence[Block]) -> Figure:
    """Energy for a text, in mJ: the power of the whole device during the blocks, times their seconds."""
    metered = [block for block in blocks if block.watts]
    if not metered:
        return figure("energy", None, note="no meter was given")
    joules = sum(float(np.mean(block.watts)) * block.wall_seconds for block in metered)
    texts = sum(len(block.model_us) for block in metered)
    readings = sum(len(block.watts) for block in blocks)
    note = f"of the whole device, what it draws when idle included; {readings} readings of --power-cmd"
    return figure("energy", 1e3 * joules / texts, note=note)


def _accuracy_figures(
    labelling: Labelling | None, entry: Entry, texts: BenchTexts, provenance: Provenance
) -> dict[str, Figure]:
    if labelling is None:
        note = f"the labels of {texts.data} are not those of the bundle: give labelled texts with --data"
        if entry.length is not None:
            note = f"every text was cut or repeated to {entry.length} tokens: accuracy is told at the texts' own length"
        return {name: figure(name, None, note=note) for name in ("accuracy", "macro_f1", "agreement")}
    expected, given = np.array(labelling.expected), np.array(labelling.given)
    share = accuracy_interval(int(np.sum(expected == given)), expected.size)
    note = f"on {expected.size} texts of {labelling.data}" + (", a smoke test" if labelling.smoke_test else "")
    agreement = None if labelling.reference is None else float(np.mean(given == np.array(labelling.reference)))
    return {
        "accuracy": figure("accuracy", share.value, provenance, low=share.low, high=share.high, note=note),
        "macro_f1": figure("macro_f1", macro_f1(expected, given), provenance, note=note),
        "agreement": figure("agreement", agreement, provenance, note=labelling.reference_origin),
    }
