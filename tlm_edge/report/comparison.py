"""Records side by side: who is faster than whom, by how much, and at what accuracy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tlm_edge.bench.record import Emulation, Record
from tlm_edge.bench.statistics import Interval, accuracy_difference, ratio_interval
from tlm_edge.runtime.layout import LAYOUTS

Role = Literal["deep", "shallow", "committee"]
Part = Literal["latency", "model"]


@dataclass(frozen=True)
class Ratio:
    """How many times longer ``slow`` takes than ``fast``; bounds are null where the runs weren't interleaved.

    They are those of a confidence interval, or, of an ``estimated`` ratio, of the estimate's band.
    """

    value: float
    low: float | None
    high: float | None
    estimated: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two records of one device and number of threads. ``accuracy`` is the fast one's minus the slow one's."""

    slow: Record
    fast: Record
    latency: Ratio
    model: Ratio
    accuracy: Interval | None
    texts: int


@dataclass(frozen=True)
class Group:
    """Records that may be compared: one device, one number of threads, texts of their own or of one length."""

    device: str
    transport: str
    threads: int
    length: str
    records: tuple[Record, ...]


def layers(record: Record) -> int | None:
    """Layers of the deepest member, from the manifest's ``architecture``; ``None`` if that doesn't tell."""
    found = re.search(r"layers (\d+(?:\+\d+)*)", record.bundle.architecture)
    return max(map(int, found[1].split("+"))) if found else None


def role(record: Record) -> Role:
    """What the record's model is in the comparison of deep models and committees of shallow ones."""
    if record.bundle.members > 1:
        return "committee"
    return "shallow" if layers(record) == 1 else "deep"


def groups(records: Sequence[Record]) -> list[Group]:
    """The records by device, threads and length of texts, each group in the order deep, shallow, committee."""
    order: dict[Role, int] = {"deep": 0, "shallow": 1, "committee": 2}
    found: dict[tuple[str, str, int, str], list[Record]] = {}
    for record in records:
        key = (record.device.name, record.device.transport, record.runtime.threads, record.texts.length)
        found.setdefault(key, []).append(record)
    return [
        Group(
            *key,
            tuple(
                sorted(
                    members,
                    key=lambda one: (
                        order[role(one)],
                        one.bundle.source,
                        one.bundle.target,
                        one.bundle.precision,
                        LAYOUTS.index(one.bundle.layout),
                    ),
                )
            ),
        )
        for key, members in sorted(found.items(), key=lambda item: (*item[0][:3], _tokens(item[0][3])))
    ]


def _tokens(length: str) -> int:
    """Texts of their own length come before those of fixed ones."""
    return 0 if length == "own" else int(length)


def compare(first: Record, second: Record) -> Comparison:
    """Compare two records; which of them is the slow one is found out."""
    slow, fast = (first, second) if _median(first) >= _median(second) else (second, first)
    one, other = slow.labelling, fast.labelling
    accuracy = None
    if one is not None and other is not None and one.sha256 == other.sha256 and one.expected == other.expected:
        accuracy = accuracy_difference(np.array(other.given), np.array(one.given), np.array(one.expected))
    texts = len(one.expected) if accuracy is not None and one is not None else 0
    return Comparison(slow, fast, ratio(slow, fast, "latency"), ratio(slow, fast, "model"), accuracy, texts)


def headline_pair(group: Group) -> Comparison | None:
    """The comparison to lead with: the fastest form of the deep side against the fastest form of the committees.

    Where one of them is missing, the slowest source against the fastest, each in its fastest form.
    ``None`` if there is one source only.
    """
    fastest: dict[str, Record] = {}
    for record in sorted(group.records, key=_median, reverse=True):
        fastest[record.bundle.source_sha256] = record
    if len(fastest) < 2:
        return None
    by_speed = sorted(fastest.values(), key=_median)
    deep = [record for record in by_speed if role(record) == "deep"]
    committees = [record for record in by_speed if role(record) == "committee"]
    if deep and committees:
        return compare(deep[0], committees[0])
    return compare(by_speed[-1], by_speed[0])


def against_slowest(group: Group) -> list[Comparison]:
    """The slowest record against every other, in the group's order."""
    slowest = max(group.records, key=_median)
    return [compare(slowest, record) for record in group.records if record is not slowest]


def pareto_front(records: Sequence[Record]) -> list[Record]:
    """Records that no other beats in both median latency and accuracy, fastest first; those without accuracy apart."""
    judged = [record for record in records if record.figures["accuracy"].value is not None]
    front: list[Record] = []
    for record in sorted(judged, key=lambda one: (_median(one), -_accuracy(one))):
        if not front or _accuracy(record) > _accuracy(front[-1]):
            front.append(record)
    return front


def block_medians(record: Record, part: Part) -> dict[int, float]:
    """The median latency of every round in milliseconds: tokenization and model together, or the model alone."""
    medians = {}
    for block in record.blocks:
        samples = np.array(block.model_us)
        if part == "latency":
            samples = samples + np.array(block.tokenize_us)
        medians[block.round] = float(np.median(samples)) / 1e3
    return medians


def total_samples(record: Record) -> np.ndarray:
    """All samples of tokenization and model together, in milliseconds, float64 (n,).

    Of an emulated device the estimates, one for every text whose instructions were counted.
    """
    if record.emulation is not None:
        return _estimates(record.emulation, "latency")
    return np.concatenate([np.add(block.tokenize_us, block.model_us) for block in record.blocks]) / 1e3


def _estimates(emulation: Emulation, part: Part) -> np.ndarray:
    tokenize = 0.0 if part == "model" else 1.0
    return np.array([tokenize * text.tokenize_us + text.model_us for text in emulation.counted]) / 1e3


def _estimated_ratio(slow: Emulation, fast: Emulation, part: Part, *, one_runtime: bool) -> Ratio:
    value = float(np.median(_estimates(slow, part)) / np.median(_estimates(fast, part)))
    # Errors of two runtimes' estimates have less in common: both bands count.
    low, high = slow.ratio_band if one_runtime else (slow.band[0] / fast.band[1], slow.band[1] / fast.band[0])
    return Ratio(value, value * low, value * high, estimated=True)


def ratio(slow: Record, fast: Record, part: Part) -> Ratio:
    """How many times longer ``slow`` takes than ``fast``: round by round where they were interleaved."""
    if slow.emulation is not None and fast.emulation is not None:
        one_runtime = slow.runtime.name == fast.runtime.name
        return _estimated_ratio(slow.emulation, fast.emulation, part, one_runtime=one_runtime)
    one, other = block_medians(slow, part), block_medians(fast, part)
    if slow.session.id == fast.session.id:
        rounds = sorted(set(one) & set(other))
        interval = ratio_interval([one[number] for number in rounds], [other[number] for number in rounds])
        if interval is not None:
            return Ratio(interval.value, interval.low, interval.high)
    return Ratio(float(np.median(list(one.values())) / np.median(list(other.values()))), None, None)


def _median(record: Record) -> float:
    return record.figures["latency_p50"].value or 0.0


def _accuracy(record: Record) -> float:
    return record.figures["accuracy"].value or 0.0
