"""The plots of a report, drawn once and saved as PNG or as SVG that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlm_edge.bench.record import Record
from tlm_edge.report.comparison import pareto_front, total_samples
from tlm_edge.report.words import form, number, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Marker by precision; colour alone must not carry meaning.
MARKERS = {"fp32": "o", "fp16": "s", "int8": "D"}
OTHER_MARKER = "^"
#: The same in text.
SIGNS = {"o": "●", "s": "■", "D": "◆", "^": "▲"}
#: Colours of the sources in order of appearance (after Okabe and Ito, safe for colour-blind readers).
SERIES = 6


@dataclass(frozen=True)
class Palette:
    """Colours of a plot; ``series`` are those of the sources."""

    ink: str
    muted: str
    line: str
    series: tuple[str, ...]


PRINT = Palette("#1a2230", "#5b6675", "#dfe4ea", ("#c2410c", "#2563a8", "#0f8a6a", "#8a5cc2", "#a17a00", "#6b7280"))
#: Stand-ins that ``as_svg`` replaces by the page's custom properties, so that the plot follows light and dark mode.
PAGE = Palette("#010101", "#010102", "#010103", tuple(f"#01010{4 + index:x}" for index in range(SERIES)))
_PROPERTIES = {PAGE.ink: "var(--ink)", PAGE.muted: "var(--muted)", PAGE.line: "var(--line)"} | {
    colour: f"var(--series-{index})" for index, colour in enumerate(PAGE.series)
}


def series_of(records: Sequence[Record]) -> dict[str, int]:
    """Colour index by source, in order of appearance."""
    sources = dict.fromkeys(record.bundle.source for record in records)
    return {source: index % SERIES for index, source in enumerate(sources)}


def pareto(records: Sequence[Record], palette: Palette, size: tuple[float, float]) -> Figure | None:
    """Accuracy over median latency (log scale), whiskers to the 90th percentile, the Pareto front as a step line.

    ``size`` in inches. ``None`` if no record has an accuracy.
    """
    judged = [record for record in records if record.figures["accuracy"].value is not None]
    if not judged:
        return None
    figure, axes = _canvas(palette, size)
    colours, names = series_of(records), short_names(records)
    axes.set_xscale("log")
    front = pareto_front(judged)
    axes.step(
        [_value(record, "latency_p50") for record in front],
        [100 * _value(record, "accuracy") for record in front],
        where="post",
        color=palette.muted,
        alpha=0.3,
        linewidth=3,
        zorder=1,
    )
    several = len({record.bundle.target for record in judged}) > 1
    points = []
    for record in judged:
        x, y = _value(record, "latency_p50"), 100 * _value(record, "accuracy")
        colour = palette.series[colours[record.bundle.source]]
        whisker = [[0.0], [max(0.0, _value(record, "latency_p90") - x)]]
        axes.errorbar(x, y, xerr=whisker, color=colour, capsize=3, linewidth=1.4, zorder=2)
        axes.plot(x, y, MARKERS.get(record.bundle.precision, OTHER_MARKER), color=colour, markersize=8, zorder=3)
        points.append((x, y, f"{names[record.bundle.source]} {form(record, with_target=several)}", colour))
    _frame_pareto(axes, judged, palette)
    label_points(figure, axes, points)
    return figure


def distribution(record: Record, records: Sequence[Record], palette: Palette, size: tuple[float, float]) -> Figure:
    """Histogram and cumulative share of one record's latency samples up to the 99.5th percentile."""
    samples = total_samples(record)
    shown = samples[samples <= np.percentile(samples, 99.5)]
    colour = palette.series[series_of(records)[record.bundle.source]]
    figure, axes = _canvas(palette, size)
    axes.hist(shown, bins=min(60, max(10, shown.size // 8)), color=colour, alpha=0.35, linewidth=0)
    axes.set_yticks([])
    axes.set_xlabel("ms a text, tokenization included")
    cumulative = axes.twinx()
    quantiles = np.linspace(0, 100, 201)
    cumulative.plot(np.percentile(samples, quantiles), quantiles, color=colour, linewidth=1.8)
    cumulative.set_ylim(0, 101)
    cumulative.set_xlim(float(shown.min()) * 0.95, float(shown.max()) * 1.05)
    _style(cumulative, palette)
    cumulative.set_ylabel("% of texts within", color=palette.muted)
    for share, name in ((50, "p50"), (90, "p90")):
        x = float(np.percentile(samples, share))
        cumulative.plot([x, x], [0, share], color=palette.muted, linewidth=0.8, linestyle=(0, (3, 3)))
        cumulative.annotate(
            f"{name} {number(x)}",
            (x, share),
            xytext=(5, -11),
            textcoords="offset points",
            color=palette.ink,
            fontsize=10,
        )
    figure.tight_layout(pad=0.4)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write ``figure`` as a PNG of 200 dpi on white."""
    figure.savefig(path, format="png", dpi=200, facecolor="white", bbox_inches="tight")


def as_svg(figure: Figure, title: str, identity: str) -> str:
    """``figure``, drawn with the ``PAGE`` palette, as an inline SVG element that scales with its container.

    ``title`` is read to those who can't see it; ``identity`` keeps the element's ids apart from other plots'.
    """
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": identity}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Nothing refers to ids such as figure_1, which recur in every plot; those of clip paths and markers are salted.
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px; font-family: inherit", svg)
    for colour, replacement in _PROPERTIES.items():
        svg = svg.replace(colour, replacement)
    head = f'<svg class="plot" role="img" aria-label="{_escape(title)}"'
    return re.sub(r'<svg(?=[ >])[^>]*?viewBox="([^"]*)"[^>]*>', rf'{head} viewBox="\1">', svg, count=1)


def _canvas(palette: Palette, size: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    _style(axes, palette)
    return figure, axes


def _style(axes: Axes, palette: Palette) -> None:
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.line)
    axes.tick_params(which="both", colors=palette.muted, labelcolor=palette.muted, length=0, labelsize=10)
    axes.xaxis.label.set_color(palette.muted)
    axes.yaxis.label.set_color(palette.muted)


def _frame_pareto(axes: Axes, judged: Sequence[Record], palette: Palette) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    lowest = min(_value(record, "latency_p50") for record in judged)
    highest = max(_value(record, "latency_p90") for record in judged)
    axes.set_xlim(lowest / 1.8, highest * 1.8)
    accuracies = [100 * _value(record, "accuracy") for record in judged]
    margin = max(0.6, 0.35 * (max(accuracies) - min(accuracies)))
    axes.set_ylim(min(accuracies) - margin, min(100.8, max(accuracies) + margin))
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="both", which="major", color=palette.line, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.set_xlabel("ms a text (log): median, whisker to p90")
    axes.set_ylabel("accuracy, %")


def label_points(
    figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str, str]], fontsize: float = 10
) -> None:
    """Write each point's name beside it, at the first place where it covers no other name and no point."""
    figure.tight_layout(pad=0.4)
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    taken = [_around(axes.transData.transform((x, y)), 7) for x, y, _, _ in points]
    for x, y, name, colour in points:
        places: list[tuple[int, int, str, str]] = [
            (0, 12, "center", "bottom"),
            (0, -12, "center", "top"),
            (-12, 0, "right", "center"),
            (14, 8, "left", "bottom"),
            (14, -8, "left", "top"),
            (-12, 10, "right", "bottom"),
            (-12, -10, "right", "top"),
            (0, 27, "center", "bottom"),
            (0, -27, "center", "top"),
        ]
        best: Any = None
        for dx, dy, horizontal, vertical in places:
            text = axes.annotate(
                name,
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                color=colour,
                fontsize=fontsize,
                fontweight="bold",
            )
            extent = text.get_window_extent()
            outside = extent.x0 < frame.x0 or extent.x1 > frame.x1 or extent.y0 < frame.y0 or extent.y1 > frame.y1
            cost = sum(_overlap(extent.extents, other) for other in taken) + (1e4 if outside else 0)
            text.remove()
            if best is None or cost < best[0]:
                best = (cost, text, extent.extents)
            if cost == 0:
                break
        axes.add_artist(best[1])
        taken.append(best[2])


def _overlap(one: Any, other: Any) -> float:
    """Common area of two boxes (x0, y0, x1, y1) in pixels."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return float(max(0.0, width) * max(0.0, height))


def _around(point: Any, half: float) -> tuple[float, float, float, float]:
    return (point[0] - half, point[1] - half, point[0] + half, point[1] + half)


def _value(record: Record, name: str) -> float:
    return record.figures[name].value or 0.0


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
