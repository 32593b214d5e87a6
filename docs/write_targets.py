"""Write ``docs/targets.md`` from ``benchmarks/results``, as ``make docs`` does; a test checks that it is current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "targets.md"
RESULTS = PAGE.parents[1] / "benchmarks" / "results"

_HEAD = """\
# Targets and precisions

What `tlm-edge export --target TARGET --precision PRECISION` makes of the shipped models, and what it refuses. This
page is written by `python docs/write_targets.py` from [targets.json](../benchmarks/results/targets.json), which

    {command}

measured on {date} ({cpu}, one thread, {versions}).

- **bundle**: all that is deployed: the model file, tokenizer, labels, references and manifest.
- **accuracy**: on AG News' {texts:,} test texts, run in that runtime by a process without PyTorch; **points** are
  those gained or lost against the same runtime's fp32 file, **agreement** the share of texts that get PyTorch's label.
- **logits within**: the largest difference of any logit from PyTorch's, text by text, on {compared:,} of these texts.
- **model**: the median time of one of AG News' texts by itself, tokenization not counted, measured by `tlm-edge bench`
  {unsteady}. Times of one machine say little of another: measure on your device. What is how much faster than what is
  in [performance.md](performance.md).
- A committee is one file here, in which every member votes; asked in turn, the default where one is calibrated, it is
  a file a member.

{held}
"""

_BELOW = """
## What is refused

{refused}

## The runtimes

- **ONNX** ({onnx}): inputs of any batch size and length. fp16 and int8-weight-only are made float32 when the file is
  loaded: small files with float32's speed and memory. int8 quantizes what the matrices multiply as it comes; the
  matrices have seven bits, since eight saturate on x86 processors without VNNI. int4 needs ONNX Runtime's own operator
  `MatMulNBits`, which other readers of ONNX don't know.
- **TFLite** ({tflite}): one text a call, a signature for each length of `--buckets`; the signatures share the weights.
  Its operators are of versions that TFLite 2.16.1 for Android knows. int8 and int4 files make older releases, which
  would compute them wrongly without a word, refuse them; `--compat tflite-runtime-2.14` makes a file that is right
  there, in int8-weight-only, and checks it in that release.
- **ExecuTorch** ({executorch}): one text a call, of any length. Operators go to the XNNPACK backend; the share that it
  takes is printed by the export and kept in the manifest ({delegated} here), and a model of which it takes too little
  is refused with the list of what is left out. Of these models it leaves out the look-ups in tables.

Models that transformers computes (MobileBERT, ALBERT) and convolutional ones go to the same targets; the gate of every
export decides whether a file may be had.

## The same file twice

{again}

## What an export costs

{cost}
"""


def page() -> str:
    """The page, from the result that is there. Raises ``OSError`` or ``ValueError`` if there is none."""
    result = _read("targets")
    measured: dict[str, dict[str, Any]] = result["results"]
    every = [figures for pairs in measured.values() for name, figures in pairs.items() if name != "PyTorch"]
    lines = [
        _HEAD.format(
            command=result["command"],
            date=result["date"],
            cpu=result["machine"]["cpu"],
            versions=_versions(result, ("torch",)),
            texts=every[0]["texts"],
            compared=result["settings"]["logits_compared_on"],
            unsteady="on a quiet machine"
            if all(figures["steady"] for figures in every)
            else "(≈ where it was unsteady)",
            held=_held(measured),
        )
    ]
    lines += [_table(model, pairs) for model, pairs in measured.items()]
    shares = [figures["delegated"] for figures in every if figures["delegated"] is not None]
    lines.append(
        _BELOW.format(
            refused=_refused(result["refused"]),
            again=_again(measured),
            cost=_cost(_read("export_cost")),
            delegated=f"{min(shares):.0%} to {max(shares):.0%}",
            onnx=_versions(result, ("onnxruntime",)),
            tflite=_versions(result, ("ai-edge-litert", "litert-torch")),
            executorch=_versions(result, ("executorch",)),
        )
    )
    return "\n".join(lines)


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


def _held(measured: dict[str, dict[str, Any]]) -> str:
    """What the figures keep to, as far as they do."""
    floats = [figures for pairs in measured.values() for name, figures in pairs.items() if name.endswith(" fp32")]
    largest = max(figures["max_logit_difference"] for figures in floats)
    lost = {
        f"{model} {name}": 100 * (pairs[f"{name.split()[0]} fp32"]["accuracy"] - figures["accuracy"])
        for model, pairs in measured.items()
        for name, figures in pairs.items()
        if name.endswith(" int8")
    }
    worst = max(lost, key=lambda name: lost[name])
    return (
        f"In fp32 the logits of every model are within {largest:.1e} of PyTorch's in every runtime; int8, the default, "
        f"loses {max(lost[worst], 0):.2f} points at most ({worst})."
    )


def _table(model: str, pairs: dict[str, Any]) -> str:
    source = pairs["PyTorch"]
    low, high = source["interval"]
    lines = [
        f"## {model}",
        "",
        f"PyTorch: {source['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}).",
        "",
        "| target | precision | bundle, MB | accuracy | points | agreement | logits within | model, ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, figures in pairs.items():
        if name == "PyTorch":
            continue
        target, precision = name.split()
        points = 100 * (figures["accuracy"] - pairs[f"{target} fp32"]["accuracy"])
        steady = "" if figures["steady"] else "≈ "
        lines.append(
            f"| {target} | {precision} | {figures['bundle_bytes'] / 1e6:.2f} | {figures['accuracy']:.4f} | "
            f"{points:+.2f} | {figures['agreement']:.2%} | {figures['max_logit_difference']:.1e} | "
            f"{steady}{figures['model_p50_ms']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _refused(refused: dict[str, dict[str, str]]) -> str:
    lines = ["| target | precision | why |", "|---|---|---|"]
    lines += [f"| {target} | {name} | {why} |" for target, reasons in refused.items() for name, why in reasons.items()]
    return "\n".join(lines)


def _again(measured: dict[str, Any]) -> str:
    """Which pairs gave the same bundle twice, to the byte, in two processes with different hash seeds."""
    found = {
        (model, name): figures["same_bytes_again"]
        for model, pairs in measured.items()
        for name, figures in pairs.items()
        if "same_bytes_again" in figures
    }
    (model,) = {model for model, _ in found}
    same = [name for (_, name), equal in found.items() if equal]
    other = [name for (_, name), equal in found.items() if not equal]
    every = f"{model} was exported twice to every pair, by two processes with different hash seeds. "
    if not other:
        return f"{every}Every bundle was the same to the byte, with the same versions on the same machine."
    return f"{every}The same to the byte: {', '.join(same) or 'none'}. Not the same: {', '.join(other)}."


def _cost(result: dict[str, Any]) -> str:
    names = ("wall_s", "processor_s", "resident_mb", "others_cores")
    wall, spent, resident, others = (result["results"][name] for name in names)
    beside = "" if others["max"] < 0.25 else f" while other processes kept {others['median']:.1f} of them busy"
    settings, spread = result["settings"], f" ({wall['min']:.0f} to {wall['max']:.0f})"
    return (
        f"A committee of {settings['members']} one-layer models to all targets in int8, gates included, took "
        f"{wall['median']:.0f} s{spread if settings['rounds'] > 1 else ''} on {settings['cores']} cores{beside}, "
        f"{spent['median']:.0f} s of processor time, and at most {resident['max'] / 1e3:.1f} GB of memory for all "
        f"processes together: `{result['command']}`, {result['date']}."
    )


def _versions(result: dict[str, Any], packages: tuple[str, ...]) -> str:
    known = {
        name: version
        for pairs in result["results"].values()
        for figures in pairs.values()
        for name, version in figures.get("versions", {}).items()
    }
    return ", ".join(f"{name} {known[name]}" for name in packages)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: docs/{PAGE.name}")
