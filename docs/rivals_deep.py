"""The part of the rivals' page that holds BERT-6 at its best against committees of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rivals_text import has_means, markdown_table, prose, short, spread  # beside this file

#: What a form of BERT-6 may lack of the accuracy of BERT-6 in float32 and still count as holding it.
HOLDS = 0.003


def deep_at_its_best(result: dict[str, Any]) -> Iterator[str]:
    """BERT-6 in its fastest form that holds its accuracy, early exits included, beside the fastest committees."""
    rows = result["results"]
    yield "### Deep at its best"
    if "early_exit" in result:
        yield from _early_exit(result)
    whole = rows["BERT-6, onnx fp32"]["accuracy"]
    cascade, best = fastest_cascade(rows), best_deep(rows)
    yield prose(
        f"**The best deep configuration**, the fastest of those at most {100 * HOLDS:.1f} points below the "
        f"{whole:.4f} of BERT-6 in float32, is «{best}»: {_quoted(rows[best])}. The committees' cascade, «{cascade}»: "
        f"{_quoted(rows[cascade])}. The deep one takes {_times_as_long(rows, best, cascade)} times as long. Both are "
        "chosen by their figures here; like beside like, the fastest forms of each kind that hold that accuracy:"
    )
    table = []
    for kind, mixed in (("without n-grams", False), ("with n-grams", True)):
        holding = [name for name in rows if rows[name]["accuracy"] >= whole - HOLDS and ("n-grams" in name) == mixed]
        deep, shallow = set(holding) & set(deep_forms(rows)), [name for name in holding if name.startswith("committee")]
        if deep and shallow:
            pair = _fastest(rows, sorted(deep)), _fastest(rows, shallow)
            cells = [[name, f"{rows[name]['accuracy']:.4f}", f"{_typical(rows[name]):.3f}"] for name in pair]
            table.append([kind, *cells[0], *cells[1], _times_as_long(rows, *pair)])
    unit = "ms mean" if has_means(rows) else "ms p50"
    yield markdown_table(["", "deep", "accuracy", unit, "committee", "accuracy", unit, "times as long"], table)


def _early_exit(result: dict[str, Any]) -> Iterator[str]:
    told, rows = result["early_exit"], result["results"]
    layers = "first layer" if told["layers"] == 1 else f"first {told['layers']} layers"
    yield prose(
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
    yield markdown_table(["int8", *heads, "goes on (of those timed)", "shared trunk, at least"], table)
    tried = "; ".join(
        f"after {each['layers']}, {each['goes_on']:.1%} go on, accuracy {each['accuracy']:.4f}, "
        f"{each['multiply_adds'] / 1e6:.1f} M multiply-adds of 128 tokens on average"
        for each in told["tried"]
    )
    yield prose(f"Tried, and the cheapest taken, by the rows that calibrate alone: {tried}.")


def deep_forms(rows: dict[str, Any]) -> list[str]:
    """Every form of BERT-6 that has all of its layers."""
    return [name for name in rows if name.startswith("BERT-6") and not name.startswith("BERT-6's first")]


def best_deep(rows: dict[str, Any]) -> str:
    """The fastest form of BERT-6 that holds its accuracy."""
    whole = rows["BERT-6, onnx fp32"]["accuracy"]
    return _fastest(rows, [name for name in deep_forms(rows) if rows[name]["accuracy"] >= whole - HOLDS])


def fastest_cascade(rows: dict[str, Any]) -> str:
    """The fastest form of the committees' cascade."""
    return _fastest(rows, [name for name in rows if name.startswith("committee") and ", cascade" in name])


def _typical(row: dict[str, Any]) -> float:
    """The time of a text in ms: the mean, or the median of a record that has no mean."""
    return float(row["text_ms"].get("mean", row["text_ms"]["p50"]))


def _fastest(rows: dict[str, Any], names: list[str]) -> str:
    return min(names, key=lambda name: _typical(rows[name]))


def _times_as_long(rows: dict[str, Any], one: str, other: str) -> str:
    """How many times the time of ``other`` that of ``one`` is, with its interval over rounds."""
    from tlm_edge.bench.statistics import ratio_interval

    kind = "rounds_mean_ms" if has_means(rows) else "rounds_ms"
    ratio = ratio_interval(rows[one][kind], rows[other][kind])
    if ratio is None:
        return f"{short(_typical(rows[one]) / _typical(rows[other]))}"
    return f"**{short(ratio.value)}** ({short(ratio.low)}–{short(ratio.high)})"


def _quoted(row: dict[str, Any]) -> str:
    times = [f"{kind} {row['text_ms'][kind]:.3f}" for kind in ("p50", "p90", "mean") if kind in row["text_ms"]]
    return f"{row['accuracy']:.4f}, ms {', '.join(times)}"


def _p50_and_mean(told: dict[str, float]) -> str:
    return f"{told['p50']:.3f}, {told['mean']:.3f}"


def members(name: str, result: dict[str, Any]) -> Iterator[str]:
    """Accuracy and time by the number of members, and where deep wins; ``name`` is that of the record."""
    yield "### Members"
    yield prose(
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
            [count, str(told["choices"]), spread(told["accuracy"]), spread(told["accuracy_with_ngrams"]), *times]
        )
    heads = ["members", "choices", "pure", "with n-grams", *(f"{target} int8, ms" for target in targets)]
    yield markdown_table(heads, rows)
    yield f"![Accuracy over the number of members](rivals/{name}-members.png)"
    yield prose(_crossover(result))


def _crossover(result: dict[str, Any]) -> str:
    """Where deep wins and where it doesn't, in words that follow the figures."""
    rows, reference = result["results"], result["reference"]
    every = [each for each in deep_forms(rows) if "n-grams" not in each]
    fastest = min(every, key=lambda each: rows[each]["text_ms"]["p50"])
    deep = max(every, key=lambda each: (rows[each]["accuracy"], -rows[each]["text_ms"]["p50"]))
    single = [each["accuracy"]["mean"] for each in result["members"]]
    enough = next((number for number, value in enumerate(single, start=1) if value >= rows[deep]["accuracy"]), None)
    words = [
        f"**Where deep wins.** The most accurate BERT-6 here, «{deep}», has {rows[deep]['accuracy']:.4f} and takes "
        f"{short(rows[deep]['ratio']['value'])} times as long as the reference; the fastest, «{fastest}», "
        f"{short(rows[fastest]['ratio']['value'])} times."
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
