"""From what was counted on an emulated device to its part of a record: figures with their bands, and what to know."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlm_edge.bench.emulation.estimate import BAND, RATIO_BAND
from tlm_edge.bench.figures import Figure, figure
from tlm_edge.bench.record import CountedText, Emulation, Labelling, Validity
from tlm_edge.runtime.from_json import from_json

_NO_TIME = "time under emulation tells nothing of the device"


def emulation_of(outcome: dict[str, Any]) -> Emulation:
    """The part of a record that tells how it was emulated, from the outcome of a ``count`` job."""
    return Emulation(
        emulator=outcome["emulator"],
        processor=outcome["processor"],
        mhz=outcome["mhz"],
        band=BAND,
        ratio_band=RATIO_BAND,
        bare_mb=outcome["bare_mb"],
        peak_mb=outcome["peak_mb"],
        counted=tuple(from_json(CountedText, text) for text in outcome["counted"]),
    )


def emulated_figures(emulation: Emulation) -> dict[str, Figure]:
    """Instructions, memory, and latency with its band; what can't be told is null, with the reason."""
    tokenize, model = (
        np.array([getattr(text, name) for text in emulation.counted]) / 1e3 for name in ("tokenize_us", "model_us")
    )
    total = tokenize + model
    instructions = [text.tokenize_instructions + text.model_instructions for text in emulation.counted]
    milliseconds = {
        "latency_p50": np.percentile(total, 50),
        "latency_p90": np.percentile(total, 90),
        "latency_mean": total.mean(),
        "model_p50": np.percentile(model, 50),
        "model_p90": np.percentile(model, 90),
        "tokenize_p50": np.percentile(tokenize, 50),
        "tokenize_p90": np.percentile(tokenize, 90),
    }
    low, high = emulation.band
    rate = 1e3 / float(total.mean())
    return {
        **{
            name: figure(name, float(value), "estimated", low=float(value) * low, high=float(value) * high)
            for name, value in milliseconds.items()
        },
        "throughput": figure("throughput", rate, "estimated", low=rate / high, high=rate / low),
        "instructions": figure("instructions", float(np.median(instructions)) / 1e6, "emulated"),
        "peak_rss": figure("peak_rss", emulation.peak_mb, "emulated-corrected"),
        "rise_rss": figure("rise_rss", emulation.peak_mb - emulation.bare_mb, "emulated-corrected"),
        **{name: figure(name, None, note=_NO_TIME) for name in ("load", "first_inference")},
    }


def judge_emulated(emulation: Emulation, labelling: Labelling | None) -> Validity:
    """Nothing can disturb an emulation; what it can't tell is noted."""
    low, high = emulation.band
    notes = [
        f"{emulation.processor} emulated by {emulation.emulator}, not measured",
        f"latency is an estimate for one thread at {emulation.mhz} MHz: the device's lies within {low:.2f} to "
        f"{high:.2f} times",
        "nothing is known of heat, throttling and other programs",
    ]
    if labelling is not None:
        notes.append(f"accuracy on {len(labelling.expected)} texts")
    return Validity(True, (), tuple(notes))
