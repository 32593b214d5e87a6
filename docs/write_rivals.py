"""Write ``docs/rivals.md`` and its plots from ``benchmarks/results``, as ``make docs`` does; a test checks the text."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rivals_deep import deep_at_its_best, deep_forms, members  # beside this file
from rivals_text import has_means, markdown_table, prose, short

HERE = Path(__file__).resolve().parent
PAGE = HERE / "rivals.md"
PLOTS = HERE / "rivals"
RESULTS = HERE.parent / "benchmarks" / "results"
RECORDS = {"rivals": "AG News", "rivals_dbpedia": "DBPedia", "rivals_fewrel": "FewRel"}
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
    "round, the order rotated and reversed; a few untimed texts come first, since others had the caches meanwhile. "
    "Whoever remembers words has read the other half's texts before each turn, and none of those that are timed. A "
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
    parts = ["# Rivals", prose(INTRODUCTION), *map(prose, READING)]
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
    times = ["ms p50", "p90", *(["mean"] if has_means(rows) else [])]
    yield markdown_table(
        ["", "accuracy", "macro-F1", "p", *times, "model p50", "p90", "× reference", "texts/s", "all cores"],
        [[name, *_accuracy(row), *_time(row, name == result["reference"])] for name, row in rows.items()],
    )
    before = min(row["memory_mb"]["before_loading"] for row in rows.values())
    heads = ["", "multiply-adds", "bytes", "roofline µs", "×", "size MB", "loaded MB", f"peak MB (of it {before:.0f})"]
    yield markdown_table(heads, [[name, *_resources(row)] for name, row in rows.items()])
    for refused, reason in result["refused"].items():
        yield f"«{refused}» is not here: {reason}."
    if deep_forms(rows):
        yield from deep_at_its_best(result)
    if "members" in result:
        yield from members(name, result)
    yield from _settings(result)


def _accuracy(row: dict[str, Any]) -> list[str]:
    low, high = row["interval_95"]
    p = "" if "p_holm" not in row else "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"
    return [f"{row['accuracy']:.4f} ({low:.3f}–{high:.3f})", f"{row['macro_f1']:.4f}", p]


def _time(row: dict[str, Any], reference: bool) -> list[str]:
    whole, model, ratio = row["text_ms"], row["model_ms"], row["ratio"]
    alone = ["", ""] if model is None else [f"{model['p50']:.3f}", f"{model['p90']:.3f}"]
    told = "1" if reference else f"**{short(ratio['value'])}** ({short(ratio['low'])}–{short(ratio['high'])})"
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


def _bytes(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    plots()
    print(f"written: docs/{PAGE.name}")
