"""Write ``docs/rivals.md`` and its plots from ``benchmarks/results``, as ``make docs`` does; a test checks the text."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE / "rivals.md"
PLOTS = HERE / "rivals"
RESULTS = HERE.parent / "benchmarks" / "results"
RECORDS = {"rivals": "AG News", "rivals_dbpedia": "DBPedia", "rivals_fewrel": "FewRel"}
#: What a form of BERT-6 may lack of the accuracy of BERT-6 in float32 and still count as holding it.
HOLDS = 0.003

INTRODUCTION = (
    "Committees of one-layer BERTs, pure, mixed with n-grams and as a cascade, beside BERT-6 at its best, the same "
    "checkpoints as other tools export and run them, and what needs no BERT at all: the same training rows, the same "
    "test rows, the same texts timed on the same machine. The raw records are in "
    "[benchmarks/results](../benchmarks/results)."
)
READING = (
    "**Accuracy** with Wilson's 95 % interval; *p* of McNemar's exact test against the reference, corrected for the "
    "number of comparisons (Holm). Half of the test set weights votes, calibrates cascades and chooses where BERT-6 "
    "may exit early; all figures are of the other half.",
    "**Times** are of one text by itself on one thread, p50 and p90 over texts and rounds. The mean, where it was "
    "kept, is over texts of each one's median over rounds: it shows what the median doesn't, the texts of which a "
    "cascade asks more members. Every contender is a process of its own; they take turns, the same texts in every "
    "round, the order rotated and reversed; a few untimed texts come first, since others had the caches meanwhile. A "
    "ratio is the geometric mean of the rounds' ratios of medians with its 95 % interval (studentized bootstrap over "
    "rounds); under «Deep at its best», where means were kept, of the rounds' means, in which a text counts as twice "
    "its median at most: what takes longer was disturbed. «Model» is without tokenization, for those that tell the two "
    "apart; the library's own call is timed otherwise.",
    "**Texts a second** in batches, the median of the rounds; on all cores with the contender's own threads or, where "
    "it has none, a process a core. The machine was shared with other work: ratios hold better than single times, and "
    "what all cores give suffers the most.",
    "**Memory** is the resident set of the whole process, interpreter and all libraries, once the contender is loaded "
    "and at its peak after the texts one by one; «of it» is what the process had before it loaded anything but Python "
    "and NumPy. Libraries as they are installed here: ExecuTorch's recipe runs in its Python interface, which brings "
    "PyTorch (the CUDA build), and transformers loads scikit-learn, pandas and pyarrow as well where it finds them, so "
    "that a lean installation takes less. **Size** is all that is loaded from disk, tokenizer included.",
    "**Multiply-adds** are those of matrix products for the timed texts (ours and BERT's from "
    "`tlm_edge/compile/cost.py`; TF-IDF: terms × labels; fastText: width × labels; static embeddings: their dense "
    "layers); **bytes** the weights that a text reads, in the precision they are stored in. **Roofline** is the larger "
    "of operations over measured peak and bytes over the bandwidth measured at that many bytes or more, and «×» how "
    "many times that the model takes (with tokenization where that is not told apart): what is left of interpreter, "
    "runtime calls, hashing and splitting of words is all in it, and it is largest where there is next to nothing to "
    "compute.",
)


def page() -> str:
    """The whole page."""
    parts = ["# Rivals", _prose(INTRODUCTION), *map(_prose, READING)]
    for name, title in RECORDS.items():
        if (result := _read(name)) is not None:
            parts += [f"## {title}", *_task(name, result)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def plots() -> None:
    """Draw the page's plots."""
    from draw_rivals import draw_members, draw_pareto  # beside this file

    from tlm_edge.reproduce.plots import save_small_png

    PLOTS.mkdir(exist_ok=True)
    for name, title in RECORDS.items():
        if (result := _read(name)) is not None:
            save_small_png(draw_pareto(result, title), PLOTS / f"{name}.png")
            if "members" in result:
                save_small_png(draw_members(result), PLOTS / f"{name}-members.png")


def _task(name: str, result: dict[str, Any]) -> Iterator[str]:
    settings, machine = result["settings"], result["machine"]
    yield (
        f"`{result['command']}`, measured, {machine['cpu']}, {machine['cores']} cores, {result['date']}: "
        f"{settings['training_rows']:,} training rows, {settings['labels']} labels, figures of {settings['rows']:,} "
        f"test rows; {settings['texts_timed']} texts timed in each of {settings['rounds']} rounds. The reference is "
        f"«{result['reference']}»."
    )
    yield f"![Accuracy over the time of a text](rivals/{name}.png)"
    rows = result["results"]
    times = ["ms p50", "p90", *(["mean"] if _has_means(rows) else [])]
    yield _table(
        ["", "accuracy", "macro-F1", "p", *times, "model p50", "p90", "× reference", "texts/s", "all cores"],
        [[name, *_accuracy(row), *_time(row, name == result["reference"])] for name, row in rows.items()],
    )
    before = min(row["memory_mb"]["before_loading"] for row in rows.values())
    heads = ["", "multiply-adds", "bytes", "roofline µs", "×", "size MB", "loaded MB", f"peak MB (of it {before:.0f})"]
    yield _table(heads, [[name, *_resources(row)] for name, row in rows.items()])
    for refused, reason in result["refused"].items():
        yield f"«{refused}» is not here: {reason}."
    if _deep(rows):
        yield from _deep_at_its_best(result)
    if "members" in result:
        yield from _members(name, result)
    yield from _settings(result)


def _accuracy(row: dict[str, Any]) -> list[str]:
    low, high = row["interval_95"]
    p = "" if "p_holm" not in row else "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"
    return [f"{row['accuracy']:.4f} ({low:.3f}–{high:.3f})", f"{row['macro_f1']:.4f}", p]


def _time(row: dict[str, Any], reference: bool) -> list[str]:
    whole, model, ratio = row["text_ms"], row["model_ms"], row["ratio"]
    alone = ["", ""] if model is None else [f"{model['p50']:.3f}", f"{model['p90']:.3f}"]
    told = "1" if reference else f"**{_short(ratio['value'])}** ({_short(ratio['low'])}–{_short(ratio['high'])})"
    speeds = [f"{statistics.median(row['texts_per_second'][way]):,.0f}" for way in ("one thread", "all cores")]
    return [*(f"{value:.3f}" for value in whole.values()), *alone, told, *speeds]


def _resources(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['multiply_adds']:,}",
        f"{row['bytes_read']:,}",
        f"{1e3 * row['roofline_ms']:,.2f}",
        f"{row['times_roofline']:,.0f}",
        f"{row['size_mb']:.2f}",
        f"{row['memory_mb']['loaded']:.0f}",
        f"{row['memory_mb']['peak']:.0f}",
    ]


def _deep_at_its_best(result: dict[str, Any]) -> Iterator[str]:
    rows = result["results"]
    yield "### Deep at its best"
    if "early_exit" in result:
        yield from _early_exit(result)
    whole = rows["BERT-6, onnx fp32"]["accuracy"]
    cascade = _fastest(rows, [name for name in rows if name.startswith("committee") and ", cascade" in name])
    best = _fastest(rows, [name for name in _deep(rows) if rows[name]["accuracy"] >= whole - HOLDS])
    yield _prose(
        f"**The best deep configuration**, the fastest of those at most {100 * HOLDS:.1f} points below the "
        f"{whole:.4f} of BERT-6 in float32, is «{best}»: {_quoted(rows[best])}. The committees' cascade, «{cascade}»: "
        f"{_quoted(rows[cascade])}. The deep one takes {_times_as_long(rows, best, cascade)} times as long. Both are "
        "chosen by their figures here; like beside like, the fastest forms of each kind that hold that accuracy:"
    )
    table = []
    for kind, mixed in (("without n-grams", False), ("with n-grams", True)):
        holding = [name for name in rows if rows[name]["accuracy"] >= whole - HOLDS and ("n-grams" in name) == mixed]
        deep, shallow = set(holding) & set(_deep(rows)), [name for name in holding if name.startswith("committee")]
        if deep and shallow:
            pair = _fastest(rows, sorted(deep)), _fastest(rows, shallow)
            cells = [[name, f"{rows[name]['accuracy']:.4f}", f"{_typical(rows[name]):.3f}"] for name in pair]
            table.append([kind, *cells[0], *cells[1], _times_as_long(rows, *pair)])
    unit = "ms mean" if _has_means(rows) else "ms p50"
    yield _table(["", "deep", "accuracy", unit, "committee", "accuracy", unit, "times as long"], table)


def _early_exit(result: dict[str, Any]) -> Iterator[str]:
    told, rows = result["early_exit"], result["results"]
    layers = "first layer" if told["layers"] == 1 else f"first {told['layers']} layers"
    yield _prose(
        f"«BERT-6 early exit» asks BERT-6's {layers}, cut from it and fine-tuned with it as the teacher, and BERT-6 "
        "itself only where that vote is undecided, by a margin that is calibrated as the committees' is; what was said "
        "before stays in the vote (in the spirit of [DeeBERT](https://arxiv.org/abs/2004.12993) and "
        "[PABEE](https://arxiv.org/abs/2006.04152)). «+ n-grams» gives it the member that helps the committees. Each "
        "stage is a file of its own: the trunk isn't shared, a text that goes on begins again. What sharing it could "
        "save at most is all the time that the first layers take of those texts: so much less is the last column, "
        "*estimated*, the rest is measured. Model times, ms:"
    )
    table = []
    for target, trunk in told["shared_trunk"].items():
        forms = [rows[f"{name}, {target} int8"] for name in ("BERT-6", f"BERT-6's {layers}", "BERT-6 early exit")]
        cells = [cell for row in forms for cell in (f"{row['accuracy']:.4f}", _p50_and_mean(row["model_ms"]))]
        goes_on = f"{forms[-1]['members_asked']['held_out'] - 1:.1%} ({trunk['goes_on']:.1%})"
        table.append([target, *cells, goes_on, _p50_and_mean(trunk["model_ms"])])
    heads = [cell for name in ("BERT-6", layers, "early exit") for cell in (name, "p50, mean")]
    yield _table(["int8", *heads, "goes on (of those timed)", "shared trunk, at least"], table)
    tried = "; ".join(
        f"after {each['layers']}, {each['goes_on']:.1%} go on, accuracy {each['accuracy']:.4f}, "
        f"{each['multiply_adds'] / 1e6:.1f} M multiply-adds of 128 tokens on average"
        for each in told["tried"]
    )
    yield _prose(f"Tried, and the cheapest taken, by the rows that calibrate alone: {tried}.")


def _deep(rows: dict[str, Any]) -> list[str]:
    """Every form of BERT-6 that has all of its layers."""
    return [name for name in rows if name.startswith("BERT-6") and not name.startswith("BERT-6's first")]


def _has_means(rows: dict[str, Any]) -> bool:
    return all("mean" in row["text_ms"] for row in rows.values())


def _typical(row: dict[str, Any]) -> float:
    """The time of a text in ms: the mean, or the median of a record that has no mean."""
    return float(row["text_ms"].get("mean", row["text_ms"]["p50"]))


def _fastest(rows: dict[str, Any], names: list[str]) -> str:
    return min(names, key=lambda name: _typical(rows[name]))


def _times_as_long(rows: dict[str, Any], one: str, other: str) -> str:
    """How many times the time of ``other`` that of ``one`` is, with its interval over rounds."""
    from tlm_edge.bench.statistics import ratio_interval

    kind = "rounds_mean_ms" if _has_means(rows) else "rounds_ms"
    ratio = ratio_interval(rows[one][kind], rows[other][kind])
    if ratio is None:
        return f"{_short(_typical(rows[one]) / _typical(rows[other]))}"
    return f"**{_short(ratio.value)}** ({_short(ratio.low)}–{_short(ratio.high)})"


def _quoted(row: dict[str, Any]) -> str:
    times = [f"{kind} {row['text_ms'][kind]:.3f}" for kind in ("p50", "p90", "mean") if kind in row["text_ms"]]
    return f"{row['accuracy']:.4f}, ms {', '.join(times)}"


def _p50_and_mean(told: dict[str, float]) -> str:
    return f"{told['p50']:.3f}, {told['mean']:.3f}"


def _members(name: str, result: dict[str, Any]) -> Iterator[str]:
    yield "### Members"
    yield _prose(
        "Accuracy of the votes of so many members, the mean over the choices of so many (least–most; the members "
        "differ in their seed: the first row is also the spread over seeds), and the model time of the first so many, "
        "p50:"
    )
    targets = list(result["members_time"])
    rows = []
    for told in result["members"]:
        count = str(told["members"])
        times = [f"{result['members_time'][target]['model_ms'][count]:.3f}" for target in targets]
        rows.append(
            [count, str(told["choices"]), _range(told["accuracy"]), _range(told["accuracy_with_ngrams"]), *times]
        )
    heads = ["members", "choices", "pure", "with n-grams", *(f"{target} int8, ms" for target in targets)]
    yield _table(heads, rows)
    yield f"![Accuracy over the number of members](rivals/{name}-members.png)"
    yield _prose(_crossover(result))


def _crossover(result: dict[str, Any]) -> str:
    """Where deep wins and where it doesn't, in words that follow the figures."""
    rows, reference = result["results"], result["reference"]
    every = [each for each in _deep(rows) if "n-grams" not in each]
    fastest = min(every, key=lambda each: rows[each]["text_ms"]["p50"])
    deep = max(every, key=lambda each: (rows[each]["accuracy"], -rows[each]["text_ms"]["p50"]))
    single = [each["accuracy"]["mean"] for each in result["members"]]
    enough = next((number for number, value in enumerate(single, start=1) if value >= rows[deep]["accuracy"]), None)
    words = [
        f"**Where deep wins.** The most accurate BERT-6 here, «{deep}», has {rows[deep]['accuracy']:.4f} and takes "
        f"{_short(rows[deep]['ratio']['value'])} times as long as the reference; the fastest, «{fastest}», "
        f"{_short(rows[fastest]['ratio']['value'])} times."
    ]
    if enough is None:
        words.append("No pure committee of these members reaches that: deep wins in accuracy.")
    else:
        members = "a single member" if enough == 1 else f"a committee of {enough}"
        words.append(f"On average {members} reaches that already, so that here deep wins nowhere in accuracy.")
    for target, told in result["members_time"].items():
        if "as_slow_as" in told:
            slow = ", ".join(f"{name.split()[-1]} with {count:.0f}" for name, count in told["as_slow_as"].items())
            words.append(
                f"By the line through the measured times ({1e3 * told['ms_a_member']:.0f} µs a member in {target} "
                f"int8) a committee would be as slow as BERT-6 in {slow} members (estimated: beyond what was measured)."
            )
    simple = [name for name in rows if "runtime" not in rows[name]["settings"]]
    ahead = [name for name in simple if rows[name]["accuracy"] >= rows[reference]["accuracy"]]
    words.append(
        "BERT-6 has read only three million tokens as such ([models](../models/README.md)): this tells what its time "
        "buys here, not what a deep model could reach."
    )
    if ahead:
        words.append(f"**Where a simple rival is at least level** with the reference: {', '.join(ahead)}.")
    faster = [name for name in simple if rows[name]["ratio"]["value"] < 1]
    if faster:
        words.append(f"Faster than the reference: {', '.join(faster)}.")
    return " ".join(words)


def _settings(result: dict[str, Any]) -> Iterator[str]:
    versions = {**result["machine"]["versions"], **result["more_versions"]}
    limits = result["limits"]
    bandwidth = ", ".join(f"{_bytes(int(size))} {speed:.0f}" for size, speed in limits["gb_per_second"].items())
    general = {name: value for name, value in result["settings"].items() if name != "characters_timed"}
    yield "### Settings"
    yield (
        f"**The machine's limits**, {limits['how']}: {limits['gflops_fp32']:.0f} GFLOP/s in float32, "
        f"{limits['gops_int8']:.0f} GOP/s in int8; GB/s by bytes read: {bandwidth}."
    )
    yield f"**All**: {_told(general)}."
    yield f"**Versions**: Python {result['machine']['python']}, {_told(versions)}."
    yield "\n".join(f"- **{name}**: {_told(row['settings'])}" for name, row in result["results"].items())


def _told(settings: dict[str, Any]) -> str:
    shown = {name: value[:12] if name.endswith("sha256") else value for name, value in settings.items()}
    return "; ".join(f"{name} {_value(value)}" for name, value in shown.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_value(each)}" for name, each in value.items()) + ")"
    if isinstance(value, list):
        different = [_value(each) for each in value]
        return (
            "[" + ", ".join(different if len(set(different)) > 1 or len(value) < 2 else [f"all {different[0]}"]) + "]"
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(told: dict[str, float]) -> str:
    return f"{told['mean']:.4f} ({told['least']:.4f}–{told['most']:.4f})"


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def _bytes(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"


def _prose(text: str) -> str:
    return textwrap.fill(text, 140, break_long_words=False, break_on_hyphens=False)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    plots()
    print(f"written: docs/{PAGE.name}")
