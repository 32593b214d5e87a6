"""The plots of findings and ablations, in points of accuracy, so that tasks of any difficulty share a scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlm_edge.report.plots import PRINT
from tlm_edge.reproduce.ablations import FewLabels, committee_sizes
from tlm_edge.reproduce.conditions import Design
from tlm_edge.reproduce.findings import MARGIN, Comparison, Finding
from tlm_edge.reproduce.measure import WORDS
from tlm_edge.reproduce.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP"


def draw_finding(finding: Finding, results: Results) -> Figure | None:
    """A finding's differences with their intervals and, beside them, its curve; None if nothing of it has run."""
    compared = [one for one in finding.comparisons if one.difference is not None]
    if not compared:
        return None
    curve = _CURVES[finding.name] if finding.name != "overlap" or results.overlaps else None
    figure, (left, *right) = _panels(2 if curve else 1, (9.6, 1.6 + max(2.2, 0.42 * len(compared))))
    _differences(left, compared, finding)
    if curve is not None:
        curve(right[0], results)
    return figure


def draw_few_labels(found: Sequence[FewLabels], results: Results) -> Figure | None:
    """Accuracy over training rows a label, a panel a task, a line a way to learn."""
    families = {task: (*fewer, task) for task, fewer in Design.of(results.plan).tasks.items() if fewer}
    told = {task: [one for one in found if one.task in names] for task, names in families.items()}
    told = {task: each for task, each in told.items() if each}
    if not told:
        return None
    ways = list(dict.fromkeys(way for each in told.values() for one in each for way in one.accuracies))
    figure, panels = _panels(len(told), (3.4 * len(told) + 0.6, 3.6))
    for axes, (task, each) in zip(panels, told.items(), strict=True):
        largest = max(one.rows_per_label or 0 for one in each)
        for number, way in enumerate(ways):
            points = [(one.rows_per_label or 2 * largest, one.accuracies[way]) for one in each if way in one.accuracies]
            _line(axes, [(x, [100 * value for value in values]) for x, values in points], number, way)
        axes.set_xscale("log")
        axes.set_xticks([one.rows_per_label or 2 * largest for one in each])
        axes.set_xticklabels([str(one.rows_per_label or "all") for one in each])
        axes.minorticks_off()
        axes.set(xlabel="training rows a label")
        axes.set_title(task, fontsize=10)
    panels[0].set_ylabel("accuracy, %")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def save_small_png(figure: Figure, path: Path) -> None:
    """Write ``figure`` as a PNG of 120 dpi on white, without a note of when and by what."""
    figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})


def _differences(axes: Axes, compared: Sequence[Comparison], finding: Finding) -> None:
    for place, one in enumerate(compared):
        y, colour = len(compared) - place, PRINT.series[1 if one.votes else 5]
        difference = one.difference
        if difference is None:
            continue
        if difference.low is not None and difference.high is not None:
            axes.plot([100 * difference.low, 100 * difference.high], [y, y], color=colour, linewidth=1.6)
        axes.plot(100 * difference.value, y, "D", color=colour, markersize=7)
        if len(one.first_accuracies) == len(one.second_accuracies):
            each = 100 * np.subtract(one.first_accuracies, one.second_accuracies)
            axes.plot(each, [y + 0.18] * len(each), "|", color=PRINT.muted, markersize=8)
    axes.axvline(0, color=PRINT.muted, linewidth=0.9)
    if finding.name == "committee":
        axes.axvline(-100 * MARGIN, color=PRINT.muted, linewidth=0.9, linestyle=(0, (3, 3)))
    names = [f"{one.task}\n{_shortened(one)}" for one in compared]
    axes.set_yticks(range(len(compared), 0, -1), names, fontsize=7.5)
    axes.set_ylim(0.4, len(compared) + 0.7)
    axes.set(xlabel="difference in accuracy, points (95 % interval)")


def _shortened(one: Comparison) -> str:
    """Both sides without repeating the architecture: ``bert-1: 48k − from scratch``."""
    first, second = one.first.split(", "), one.second.split(", ")
    if len(first) == 2 and first[0] == second[0]:
        return f"{first[0]}: {first[1]} − {second[1]}"
    return f"{one.first} − {one.second}"


def _gain_by_size(axes: Axes, results: Results) -> None:
    design, ticks = Design.of(results.plan), set[float]()
    for number, (architecture, task) in enumerate(_pairs(design)):
        points = []
        for corpus in design.sizes(architecture, task):
            gains, tokens = _gains(results, architecture, corpus, task)
            points += [(tokens / 1e6, gains)] if gains else []
        _line(axes, points, number, f"{task}, {architecture}")
        ticks |= {x for x, _ in points}
    axes.set_xscale("log")
    axes.set_xticks(sorted(ticks), [f"{x:.2g}" for x in sorted(ticks)])
    axes.minorticks_off()
    axes.set(xlabel="tokens of the corpus, millions", ylabel="gain over from scratch, points")
    _legend(axes)


def _gain_by_overlap(axes: Axes, results: Results) -> None:
    design = Design.of(results.plan)
    chosen = {corpus for pair in design.overlap_pairs for corpus in pair[:2]}
    for number, (architecture, task) in enumerate(_pairs(design)):
        points: list[tuple[float, list[float]]] = []
        others: list[tuple[float, list[float]]] = []
        for corpus, tasks in results.overlaps.items():
            gains, _ = _gains(results, architecture, corpus, task)
            if task in tasks and gains:
                (points if corpus in chosen else others).append((tasks[task].shared, gains))
        # The experiment's two corpora are joined; hollow marks are corpora that were not chosen by overlap.
        _line(axes, sorted(points), number, f"{task}, {architecture}")
        for shared, gains in others:
            colour, marker = PRINT.series[number % len(PRINT.series)], _MARKERS[number % len(_MARKERS)]
            label = None if points else f"{task}, {architecture}"
            axes.plot(shared, np.mean(gains), marker, color=colour, markerfacecolor="none", label=label)
    axes.set(xlabel="overlap of corpus and task (shared frequency)", ylabel="gain over from scratch, points")
    _legend(axes)


def _members(axes: Axes, results: Results) -> None:
    from matplotlib.ticker import MaxNLocator

    design = Design.of(results.plan)
    shallow = [name for name in design.architectures if not design.deep(name)]
    for number, (architecture, task) in enumerate((name, task) for name in shallow for task in design.tasks):
        sizes = committee_sizes(results, (architecture, design.largest_corpus(architecture, task), task))
        if not sizes:
            continue
        colour, x = PRINT.series[number % len(PRINT.series)], [size.members for size in sizes]
        base = sizes[0].mean
        axes.plot(
            x,
            [100 * (size.mean - base) for size in sizes],
            marker=_MARKERS[number % len(_MARKERS)],
            color=colour,
            label=f"{task}, {architecture}",
        )
        low, high = (
            [100 * (value - base) for value in side] for side in zip(*((s.low, s.high) for s in sizes), strict=True)
        )
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="members", ylabel="points above the mean member")
    _legend(axes)


def _accuracies(axes: Axes, results: Results) -> None:
    design = Design.of(results.plan)
    ways: dict[str, list[tuple[float, list[float]]]] = {}
    tasks = list(design.tasks)
    for place, task in enumerate(tasks):
        for architecture in design.architectures:
            for corpus in (design.largest_corpus(architecture, task), None):
                found = results.classifiers(architecture, corpus, task)
                right = [100 * float(results.right(one.run, task).mean()) for one in found.values()]
                name = f"{architecture}, {'from scratch' if corpus is None else 'pre-trained'}"
                ways.setdefault(name, []).extend([(place, right)] if right else [])
        words = results.classifiers(WORDS, None, task)
        ways.setdefault("TF-IDF", []).extend(
            (place, [100 * float(results.right(one.run, task).mean())]) for one in list(words.values())[:1]
        )
    for number, (way, points) in enumerate((way, points) for way, points in ways.items() if points):
        colour = PRINT.series[number % len(PRINT.series)]
        x = [place + 0.12 * (number - 1) for place, values in points for _ in values]
        y = [value for _, values in points for value in values]
        axes.plot(x, y, _MARKERS[number % len(_MARKERS)], color=colour, markersize=6, alpha=0.8, label=way)
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_xlim(-0.5, len(tasks) - 0.5)
    axes.set(ylabel="accuracy, %, a mark a seed")
    _legend(axes)


_CURVES: dict[str, Callable[[Any, Results], None]] = {
    "pre-training": _accuracies,
    "corpus-size": _gain_by_size,
    "overlap": _gain_by_overlap,
    "committee": _members,
}


def _pairs(design: Design) -> list[tuple[str, str]]:
    return [
        (architecture, task)
        for architecture in design.architectures
        for task in design.tasks
        if design.seeds((architecture, None, task))
    ]


def _gains(results: Results, architecture: str, corpus: str, task: str) -> tuple[list[float], int]:
    """What pre-training on a corpus gained over from scratch, in points, by seed; and the corpus' tokens."""
    ours, theirs = results.classifiers(architecture, corpus, task), results.classifiers(architecture, None, task)
    seeds = sorted(ours.keys() & theirs.keys())
    gained, scratch = ([results.right(side[seed].run, task).mean() for seed in seeds] for side in (ours, theirs))
    return list(100 * np.subtract(gained, scratch)), ours[seeds[0]].corpus_tokens if seeds else 0


def _line(axes: Axes, points: Sequence[tuple[float, Sequence[float]]], number: int, label: str) -> None:
    """Means joined by a line, with a mark for every seed."""
    if not points:
        return
    colour, marker = PRINT.series[number % len(PRINT.series)], _MARKERS[number % len(_MARKERS)]
    axes.plot([x for x, _ in points], [float(np.mean(y)) for _, y in points], color=colour, label=label, marker=marker)
    for x, values in points:
        axes.plot([x] * len(values), list(values), "_", color=colour, markersize=7, alpha=0.8)


def _panels(count: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for axes in panels:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(labelsize=8.5, colors=PRINT.muted, labelcolor=PRINT.ink)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
        axes.grid(color=PRINT.line, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, panels


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
