"""The figures a benchmark gives: their names, units and meanings, and where each one may come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Provenance = Literal["measured", "emulated", "emulated-corrected", "estimated"]
PROVENANCES: tuple[Provenance, ...] = get_args(Provenance)

#: What each provenance promises, for legends.
PROVENANCE_MEANINGS: dict[Provenance, str] = {
    "measured": "observed on the device named, with its own clock and operating system",
    "emulated": "observed while an emulator ran the device's own instructions; exact for outputs and counts",
    "emulated-corrected": "observed under emulation, with the emulator's own share taken off",
    "estimated": "computed by a model of the device, never observed; quoted with its band",
}


@dataclass(frozen=True)
class Figure:
    """One number with its unit and provenance; ``low`` and ``high`` bound it where an interval or band is known.

    ``value`` is null, and then ``provenance`` too, where nothing could be had; ``note`` tells why.
    """

    value: float | None
    unit: str
    provenance: Provenance | None
    low: float | None = None
    high: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class FigureKind:
    """How a figure is named in tables, its unit, what it means, and a name for narrow tables."""

    title: str
    unit: str
    meaning: str
    short: str


#: Every figure a record may hold, in the order of tables. A unit of "1" marks a plain number or share.
FIGURE_KINDS: dict[str, FigureKind] = {
    "accuracy": FigureKind(
        "accuracy", "1", "share of the evaluation texts labelled right, in this runtime", "accuracy"
    ),
    "macro_f1": FigureKind("macro-F1", "1", "unweighted mean of the labels' F1, in this runtime", "macro-F1"),
    "agreement": FigureKind(
        "agreement",
        "1",
        "share of the evaluation texts that get the label PyTorch gives for the source checkpoint",
        "agrees",
    ),
    "members": FigureKind(
        "members asked", "1", "members of the cascade that an evaluation text asks on average", "members"
    ),
    "latency_p50": FigureKind(
        "latency p50", "ms", "median time from text to probabilities, tokenization included", "p50"
    ),
    "latency_p90": FigureKind("latency p90", "ms", "90th percentile of the same", "p90"),
    "latency_p99": FigureKind("latency p99", "ms", "99th percentile of the same", "p99"),
    "latency_mean": FigureKind("latency mean", "ms", "arithmetic mean of the same", "mean"),
    "latency_trimmed_mean": FigureKind(
        "trimmed mean", "ms", "mean without the fastest and the slowest tenth", "trimmed"
    ),
    "model_p50": FigureKind("model p50", "ms", "median time of the model alone: token ids to outputs", "model"),
    "model_p90": FigureKind("model p90", "ms", "90th percentile of the model alone", "model p90"),
    "tokenize_p50": FigureKind("tokenize p50", "ms", "median time of tokenization alone: text to token ids", "tokens"),
    "tokenize_p90": FigureKind("tokenize p90", "ms", "90th percentile of tokenization alone", "tok. p90"),
    "throughput": FigureKind(
        "throughput", "texts/s", "texts a second, one after another, tokenization included", "rate"
    ),
    "instructions": FigureKind(
        "instructions",
        "M",
        "median of the instructions executed for a text, tokenization included",
        "instr.",
    ),
    "load": FigureKind(
        "load", "ms", "hashes checked, tokenizer and model read and ready; median over the processes", "load"
    ),
    "first_inference": FigureKind(
        "first inference", "ms", "the first text after loading; median over the processes", "first"
    ),
    "peak_rss": FigureKind("peak memory", "MB", "largest resident set of the process, the runtime included", "memory"),
    "rise_rss": FigureKind(
        "memory rise", "MB", "peak memory over the same process before the bundle was loaded", "rise"
    ),
    "size": FigureKind("size", "MB", "all files of the bundle", "size"),
    "model_size": FigureKind("model size", "MB", "the model file alone", "file"),
    "energy": FigureKind("energy", "mJ", "energy per text; null unless a meter is given", "energy"),
}

#: Figures that every record has, if only to say why their value is missing.
REQUIRED_FIGURES = ("accuracy", "latency_p50", "latency_p90", "peak_rss", "size", "energy")


def figure(
    name: str,
    value: float | None,
    provenance: Provenance = "measured",
    *,
    low: float | None = None,
    high: float | None = None,
    note: str | None = None,
) -> Figure:
    """A figure of a known kind. Raises ``KeyError`` if ``name`` isn't in ``FIGURE_KINDS``."""
    unit = FIGURE_KINDS[name].unit
    return Figure(value, unit, None if value is None else provenance, low, high, note)
