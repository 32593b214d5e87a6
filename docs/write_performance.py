"""Write ``docs/performance.md`` from the records in ``benchmarks/results``, as ``make docs`` does; a test checks it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE / "performance.md"
RESULTS = HERE.parent / "benchmarks" / "results"
KINDS = ("128 tokens", "own length")
RUNTIMES = {"onnx": "ONNX Runtime", "tflite": "LiteRT", "executorch": "ExecuTorch"}

INTRODUCTION = (
    "Every figure is `measured` by the command above its table and comes from the record of that name in "
    "[benchmarks/results](../benchmarks/results), which holds all rounds and the versions. Files take turns in rounds, "
    "a fresh process each, and a ratio is the median of the rounds' ratios with their range: on a shared machine "
    "single times mean little. One thread, one text at a time."
)


def page() -> str:
    """The whole page."""
    lines = ["# Performance\n", _prose(INTRODUCTION)]
    for section in (
        _rewrite,
        _committees,
        _runtimes,
        _cascade,
        _rivals,
        _plain,
        _throughput,
        _pretraining,
        _installation,
    ):
        lines += ["\n".join(section()), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rewrite() -> Iterator[str]:
    result = _read("deep_against_committee")
    yield "## What the exact rewrite is worth\n"
    yield _prose(
        "The shipped one-layer model as BERT is published, and rewritten ([how](exact-rewrite.md)): "
        "the same answers, the time divided by"
    )
    yield from _origin(result)
    rows = [
        [
            RUNTIMES[target],
            precision,
            *(_times(result, kind, target, f"bert-1 as written {precision}", f"bert-1 {precision}") for kind in KINDS),
        ]
        for target in RUNTIMES
        for precision in ("fp32", "int8")
    ]
    yield from _table(["runtime", "precision", *KINDS], rows)


def _committees() -> Iterator[str]:
    result = _read("deep_against_committee")
    yield "## Deep against committee\n"
    yield _prose(
        "Median model time of a text, µs, all models rewritten where they can be; «as written» is not. "
        "Committees of four and eight are the shipped members over again with noise on their weights, so that "
        "nothing is stored once: the time does not depend on the values."
    )
    yield from _origin(result)
    models = ("bert-6 as written", "bert-6", "bert-1", "committee of 3", "committee of 4", "committee of 8")
    for kind in KINDS:
        median = result["results"][kind]["median_us"]
        rows = [
            [f"{model} {precision}", *(f"{median[f'{target}: {model} {precision}']:,.0f}" for target in RUNTIMES)]
            for model in models
            for precision in ("fp32", "int8")
        ]
        yield f"{'Texts of 128 tokens' if kind == KINDS[0] else 'AG News texts at their own length'}:\n"
        yield from _table([kind, *RUNTIMES.values()], rows)
        yield ""
    yield "How many times the deep model takes:\n"
    pairs = [
        ("bert-6 fp32", "committee of 4 fp32"),
        ("bert-6 fp32", "committee of 4 int8"),
        ("bert-6 fp32", "committee of 8 int8"),
        ("bert-6 int8", "committee of 4 int8"),
        ("bert-6 int8", "committee of 8 int8"),
    ]
    rows = [
        [f"{slow} / {fast}", kind, *(_times(result, kind, target, slow, fast) for target in RUNTIMES)]
        for slow, fast in pairs
        for kind in KINDS
    ]
    yield from _table(["", "texts", *RUNTIMES.values()], rows)


def _runtimes() -> Iterator[str]:
    result = _read("runtimes")
    yield "## The same model in three runtimes\n"
    yield _prose(
        "How many times LiteRT's time the others take, alternating in one process with blocks of a few texts: the "
        "median of the blocks' ratios, with the range of the middle four fifths. LiteRT computes a text of its own "
        "length at the next length of a signature, the others at just that."
    )
    yield from _origin(result)
    columns = [(kind, target) for kind in KINDS for target in RUNTIMES if target != "tflite"]
    measured = result["results"]
    rows = [
        [name, *(_ratio(measured[kind][name]["ratios"][target]) for kind, target in columns)]
        for name in measured[KINDS[0]]
    ]
    yield from _table(["", *(f"{RUNTIMES[target]}, {kind}" for kind, target in columns)], rows)


def _ratio(told: dict[str, float]) -> str:
    return f"**{told['median']:.2f}** ({told['low']:.2f}–{told['high']:.2f})"


def _cascade() -> Iterator[str]:
    result = _read("cascade")
    yield "## The cascade\n"
    yield _prose(
        "The shipped committee of three, calibrated on every other row of AG News' test set; the figures are "
        "of the rows between, in int8. «Loss» is what calibration shows with 95 % confidence that accuracy "
        "falls less than."
    )
    yield from _origin(result)
    rows = []
    for target, found in result["results"].items():
        for name in (name for name in found if name.startswith("cascade")):
            figures = found[name]
            rows.append(
                [
                    RUNTIMES[target],
                    f"{name.split()[1]} points",
                    f"{figures['mean_members']:.2f} of 3",
                    f"{figures['accuracy']:.4f}",
                    f"{figures['accuracy_of_all_members']:.4f}",
                    *(
                        _spread(found["ratios"][f"{slow} / {name}"])
                        for slow in ("all members int8", "bert-6 int8", "bert-6 fp32")
                    ),
                ]
            )
    heads = [
        "runtime",
        "loss",
        "members",
        "accuracy",
        "of all",
        "against all members",
        "against BERT-6 int8",
        "against BERT-6 fp32",
    ]
    yield from _table(heads, rows)


def _rivals() -> Iterator[str]:
    result = _read("rivals")
    settings, rows = result["settings"], result["results"]
    yield "## Beside simple rivals\n"
    yield _prose(
        f"AG News, all trained on the same {settings['training_rows']:,} rows, figures of {settings['rows']:,} test "
        "rows that nothing was chosen by. The time of one text by itself with tokenization, one thread, each contender "
        f"a process of its own, in turns, and how many times that of «{result['reference']}» it is, with its 95 % "
        "interval; of each model its fastest form. [rivals.md](rivals.md) has every runtime and precision, tests, "
        "throughput, memory, arithmetic, plots and all settings."
    )
    yield from _origin(result)
    fastest: dict[str, str] = {}
    for name in sorted(rows, key=lambda each: rows[each]["text_ms"]["p50"]):
        fastest.setdefault(name.rsplit(", ", 1)[0] if rows[name]["settings"]["library"] == "tlm-edge" else name, name)
    table = []
    for name in (name for name in rows if name in fastest.values()):
        accuracy, (low, high), times = rows[name]["accuracy"], rows[name]["interval_95"], rows[name]["text_ms"]
        ratio = {"median": 1.0, "min": 1.0, "max": 1.0}
        if told := rows[name].get("ratio"):
            ratio = {"median": told["value"], "min": told["low"], "max": told["high"]}
        figures = [f"{accuracy:.4f} ({low:.3f}–{high:.3f})", f"{times['p50']:.3f}", f"{times['p90']:.3f}"]
        table.append([name, *figures, _spread(ratio), f"{rows[name]['size_mb']:.1f}"])
    yield from _table(["", "accuracy", "ms p50", "p90", "× reference", "MB"], table)


def _throughput() -> Iterator[str]:
    result = _read("throughput")
    us = {way: sorted(each)[len(each) // 2] for way, each in result["tokenization_us"].items()}
    new = (
        f"Texts one by one take {us['known texts']:.0f} µs each where all words are known, {us['new texts']:.0f} µs "
        f"where {result['settings']['texts'] // 2:,} others were read before, {us['library']:.0f} µs by the library "
        "alone."
    )
    yield "## Many texts on all cores\n"
    yield _prose(
        "Texts a second in int8, on all cores: `predict` from texts to labels; the runtime's own loop over arrays that "
        "are tokenized and padded already, on a session of one thread a core; the same on one session with all the "
        "threads; tokenization alone; and the share of the loop's speed that `predict` reaches with all that it does. "
        "Beside it, the share of what the cores could do at most if they computed and tokenized without ever waiting "
        "for each other or doing anything else. "
        "From the second round on all words are known: a word that was met before is looked up, not cut again. " + new
    )
    yield from _origin(result)
    rows = []
    for name, found in result["results"].items():
        target, model = name.split(": ")
        speeds = {way: sorted(each)[len(each) // 2] for way, each in found["texts_per_second"].items()}
        share = found["share_of_loop"]["predict"]
        cores = result["machine"]["cores"]
        most = cores / (cores / speeds["loop"] + 1 / speeds["tokenization"])
        rows.append(
            [
                RUNTIMES[target],
                model,
                *(f"{speeds[way]:,.0f}" for way in ("predict", "loop", "one session", "tokenization")),
                f"{share['median']:.0%} ({share['min']:.0%}–{share['max']:.0%})",
                f"{speeds['predict'] / most:.0%}",
            ]
        )
    columns = ["runtime", "model", "predict", "loop", "one session", "tokenization", "share", "of the most"]
    yield from _table(columns, rows)


def _plain() -> Iterator[str]:
    result = _read("against_plain_exports")
    yield "## Against what one would otherwise do\n"
    yield _prose(
        "The same checkpoints exported in each tool's documented way (optimum's defaults; "
        "`litert_torch.convert`; `torch.export` with the XNNPACK partitioner), float32, padded to 128, "
        "against our bundles at the texts' own length: AG News, the time divided by"
    )
    yield from _origin(result)
    rows = []
    for name, found in result["results"].items():
        target, model = name.split(": ")
        rows.append(
            [RUNTIMES[target], model, *(_spread(found["plain_over_ours"][precision]) for precision in ("fp32", "int8"))]
        )
    yield from _table(["runtime", "model", "ours, fp32", "ours, int8"], rows)


def _pretraining() -> Iterator[str]:
    yield "## Pre-training\n"
    yield _prose(
        "Tokens a second against Hugging Face's `Trainer` with `BertForMaskedLM`: hidden size 256, 64 blocks "
        "of 128 tokens a step, dropout 0.1 and the same precision on both sides, one thread. Only masked rows "
        "pay for the last layer and the decoder: with one layer that is 5.9 times less arithmetic, with six "
        "1.5 times; the rest comes from passes over memory that are not made."
    )
    rows = []
    for arch in ("bert-1", "bert-6"):
        for precision in ("fp32", "bf16"):
            result = _read(f"pretraining_speed_{arch}_{precision}")
            speed = {name: sorted(values)[len(values) // 2] for name, values in result["tokens_per_second"].items()}
            ratio = result["ratio_to_huggingface_trainer"]
            rows.append(
                [
                    arch,
                    precision,
                    *(f"{speed[name]:,.0f}" for name in ("huggingface-trainer", "tlm-edge-adamw", "tlm-edge-muon")),
                    *(_spread(ratio[name]) for name in ("tlm-edge-adamw", "tlm-edge-muon")),
                ]
            )
    yield from _origin(result)
    yield from _table(["model", "precision", "Trainer", "AdamW", "Muon", "AdamW / Trainer", "Muon / Trainer"], rows)


def _installation() -> Iterator[str]:
    size, startup = _read("install_size"), _read("startup")
    yield "## Installation and start\n"
    yield from _origin(size)
    yield _prose(
        f"The light installation takes {size['installed_mb']:.0f} MB on disk, "
        f"{size['of_which_shipped_models_mb']:.0f} MB of them shipped models, and "
        f"{size['installed_with_bytecode_mb']:.0f} MB once Python has kept the compiled form of every module; "
        "ONNX Runtime and NumPy are 125 MB of it."
    )
    yield from _origin(startup)
    times = {name: (each["wall_median"], each["wall_least"]) for name, each in startup["results"].items()}
    slowest = max((name for name in times if name.endswith("--help")), key=times.__getitem__)
    (predict,) = (name for name in times if not name.endswith("--help"))
    yield _prose(
        f"The slowest help, `{slowest}`, answers in {times[slowest][0]:.2f} s (median; at best "
        f"{times[slowest][1]:.2f} s), and one text through a bundle, `{predict}`, in {times[predict][0]:.2f} s "
        f"(at best {times[predict][1]:.2f} s), a fresh process each."
    )


def _prose(text: str) -> str:
    return textwrap.fill(text, 140, break_long_words=False, break_on_hyphens=False) + "\n"


def _times(result: dict[str, Any], kind: str, target: str, slow: str, fast: str) -> str:
    return _spread(result["results"][kind]["ratios"][f"{target}: {slow} / {fast}"])


def _spread(ratio: dict[str, float]) -> str:
    digits = 0 if ratio["median"] >= 20 else 1 if ratio["median"] >= 1 else 2
    return f"**{ratio['median']:.{digits}f}** ({ratio['min']:.{digits}f}–{ratio['max']:.{digits}f})"


def _origin(result: dict[str, Any]) -> Iterator[str]:
    machine = result["machine"]
    yield f"`{result['command']}`, {machine['cpu']}, {machine['cores']} cores, {result['date']}:\n"


def _table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: docs/{PAGE.name}")
