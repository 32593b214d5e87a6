"""Write ``docs/emulation.md`` from ``benchmarks/results/emulated_*.json``; a test checks that it is current."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "emulation.md"
RESULTS = PAGE.parents[1] / "benchmarks" / "results"

_HEAD = """\
# Devices that aren't there

`tlm-edge bench --device rpi4` measures on a Raspberry Pi 4 that can be reached ([devices.md](devices.md)). Where none
can, it emulates one, and says so in its first line. This page tells what such figures are worth. Its tables are written
by `python docs/write_emulation.py` from the results of two benchmarks, which run again with

    {latency_command}
    {outputs_command}

## What is emulated, and how

The real arm64 builds of LiteRT, ONNX Runtime and ExecuTorch run under qemu-user, in a userland of Debian's own arm64
packages that is unpacked into the cache: no container, no root. They find the device's processor in `/proc/cpuinfo`
and `/sys`, and qemu executes that processor's instructions and no others, so the runtimes choose the kernels that they
would choose there. qemu's processor `max` is never used: int8 kernels came out wrong on it.

| figure | mark | what it is |
|---|---|---|
| labels, accuracy, agreement with PyTorch | ᵉ emulated | those of the device's own code: see below |
| instructions a text | ᵉ emulated | counted between marks around tokenization and model; every run counts the same |
| memory | ᶜ emulated-corrected | resident pages of the program alone, without the emulator's |
| latency, throughput, ratios | ~ estimated | with a band, for one thread on the fastest core: see below |
| load time, first inference, energy, heat, throttling | – | not told |

Time that passes under emulation is never recorded and never shown: it says nothing of the device. Several threads are
refused (`--threads 4`), since how they share caches and memory isn't modelled. Phones with cores of Armv9 (Pixel 8,
Galaxy S23) need qemu 8.1, for which the counting plugin isn't written: they can be measured, not emulated.

`make setup-emulation` installs the programs on Debian. The userland comes from the mirror and release that this
machine's apt uses, checked against Debian's signatures; on another system `TLM_EDGE_DEBIAN` names one, as in
`TLM_EDGE_DEBIAN="https://MIRROR bookworm"`. Everything is kept in the cache and held against its hashes. The plugin,
[observe.c](../tlm_edge/bench/emulation/plugin/observe.c), becomes a part of QEMU and is under the GPL, version 2 or
later; it is compiled on this machine when first needed and distributed as source alone.

## Are the outputs the device's?

{models}, exported to every target in fp32 and int8, on {texts} of AG News' test texts: each
processor's logits and labels against those of the same runtime on this machine ({cpu}; {emulator}).
int8 kernels here and there differ, and so do their logits; labels hardly. A Cortex-A76 multiplies bytes by other
instructions than a Cortex-A72, so theirs can differ, too; in fp32 they were equal to the bit.

{outputs}

{held}

## The estimate of latency

    milliseconds = max({factor} × cycles / clock, (memory touched − caches) / bandwidth)

`cycles` are those of every block of instructions that was executed, times how often, by llvm-mca's model of the
processor's pipeline, which assumes that data is in the first cache and branches are foreseen. The factor {factor} makes
up for that on average; clock, caches and bandwidth come from the device's profile. What a device shows lies between
{low:.2f} and {high:.2f} times the estimate: that is the band printed with it.

Both were found with published measurements: image networks in ncnn, rebuilt layer by layer
([networks.py](../benchmarks/networks.py)), run in ncnn's own arm64 package ({runtime}) on each emulated core, one
thread. Not one of them was measured by us, and none is a text classifier: for the models here the estimate is an
extrapolation.

### What is claimed

Networks that are, but for little, matrix products and depthwise convolutions, measured in {since} or later:

{claimed}

The factor that fits these {count} best is {fitted:.2f}; {factor} is used. Published over predicted lies between
{found_low:.2f} and {found_high:.2f}: within ±40 %, and within the band.

### What is not claimed, misses included

The same estimate for other published measurements. The reasons are our explanation, not measured:

{unclaimed}

On Cortex-A72 and its elder A57 all of these were slower than predicted, {slow_low:.1f} to {slow_high:.1f} times: there
an estimate is rather too good than too bad.

These can't be predicted at all:

{others}

## Ratios of two models

Part of the error is common to two models in the same runtime on the same core, so their ratio is given with a narrower
band: {ratio_low:.2f} to {ratio_high:.2f} times. It holds for the pairs of claimed measurements:

{pairs}

These are few, and always the same two networks. Between two runtimes, errors have less in common: such ratios carry the
band of both estimates together, {wide_low:.2f} to {wide_high:.2f} times.

## What to make of it

- Accuracy on a device, whether a file runs there at all, its memory: take them as they are.
- Which of two models is faster: believe a ratio whose band doesn't hold 1.
- Milliseconds: an order of magnitude to plan with. Before you publish or promise one, measure: `--host pi@ADDRESS`.
"""


def page() -> str:
    """The page, from the results."""
    latency, outputs = (json.loads((RESULTS / f"emulated_{name}.json").read_bytes()) for name in ("latency", "outputs"))
    (low, high), (ratio_low, ratio_high) = latency["band"]["used"], latency["ratio_band"]["used"]
    claimed = [one for one in latency["predictions"] if not one["left_out"]]
    slow = [one["ratio"] for one in latency["predictions"] if one["left_out"] and one["core"][-3:] in ("A57", "A72")]
    return _HEAD.format(
        slow_low=min(slow),
        slow_high=max(slow),
        latency_command=latency["command"],
        outputs_command=outputs["command"],
        models=_models(outputs["bundles"]),
        texts=outputs["texts"],
        cpu=outputs["machine"]["cpu"],
        emulator=outputs["emulator"],
        outputs=_outputs(outputs["bundles"]),
        held=_held(outputs["held"]),
        factor=latency["factor"]["used"],
        fitted=latency["factor"]["fitted"],
        low=low,
        high=high,
        runtime=latency["runtime"].replace("==", " "),
        since=min(one["year"] for one in claimed),
        count=len(claimed),
        claimed=_predictions(claimed),
        found_low=latency["band"]["found"][0],
        found_high=latency["band"]["found"][1],
        unclaimed=_predictions([one for one in latency["predictions"] if one["left_out"]]),
        others=_table(
            ("device", "model", "runtime", "published ms", "why"),
            (
                (one["device"], f"{one['model']} {one['precision']}", one["runtime"], _ms(one["ms"]), one["reason"])
                for one in latency["not_predicted"]
            ),
        ),
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        wide_low=low * low,
        wide_high=high * high,
        pairs=_table(
            ("device", "pair", "published", "predicted", "published / predicted"),
            (
                (
                    pair["device"],
                    " / ".join(pair["models"]),
                    f"{pair['published']:.2f}",
                    f"{pair['predicted']:.2f}",
                    f"{pair['ratio']:.2f}",
                )
                for pair in latency["pairs"]
            ),
        ),
    )


def _models(rows: Sequence[dict[str, Any]]) -> str:
    """The models' names, with the precisions of those that aren't there in all."""
    stored: dict[str, dict[str, None]] = {}
    for row in rows:
        stored.setdefault(row["bundle"].removesuffix(f"-{row['target']}-{row['precision']}"), {})[row["precision"]] = (
            None
        )
    most = max(len(precisions) for precisions in stored.values())
    named = [
        f"`{name}`" + ("" if len(precisions) == most else f" (in {' and '.join(precisions)} alone so far)")
        for name, precisions in stored.items()
    ]
    return ", ".join(named[:-1]) + " and " * (len(named) > 1) + named[-1]


def _outputs(rows: Sequence[dict[str, Any]]) -> str:
    return _table(
        ("bundle", "processor", "logits within", "accuracy there", "here", "points", "same label"),
        (
            (
                row["bundle"],
                row["processor"],
                f"{row['logits_within']:.1e}",
                f"{row['accuracy_there']:.3f}",
                f"{row['accuracy_here']:.3f}",
                f"{row['points']:+.1f}",
                f"{row['same_label']:.3f}",
            )
            for row in rows
        ),
    )


def _held(held: dict[str, Any]) -> str:
    lines = []
    for key, limit, words in (
        ("fp32_logits_within", "fp32_limit", "fp32 logits differ by {} at most (limit {})"),
        ("int8_points_within", "int8_limit", "int8 accuracy by {} points at most (limit {})"),
    ):
        if held[key] is not None:
            verdict = "" if held[key] <= held[limit] else ": the limit is missed"
            lines.append(words.format(f"{held[key]:.2g}", f"{held[limit]:g}") + verdict)
    return "; ".join(lines) + "."


def _predictions(predictions: Sequence[dict[str, Any]]) -> str:
    why = any(one["left_out"] for one in predictions)
    head = ("device", "core", "network", "published ms", "predicted ms", "published / predicted", "source")
    return _table(
        (*head[:-1], "why not claimed") if why else head,
        (
            (
                one["device"],
                f"{one['core']} {one['mhz']} MHz",
                f"{one['model']} {one['precision']}",
                _ms(one["published_ms"]),
                _ms(one["predicted_ms"]),
                f"{one['ratio']:.2f}",
                one["left_out"] if why else one["source"].split(" (")[0],
            )
            for one in predictions
        ),
    )


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: docs/{PAGE.name}")
