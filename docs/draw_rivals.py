"""The plots of ``docs/rivals.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlm_edge.report.plots import PRINT, label_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of accuracy below the reference at which the worst are drawn, with their figure beside them.
BELOW = 3.0


def draw_pareto(result: dict[str, Any], title: str) -> Figure:
    """Accuracy over the time with tokenization, the mean if it was kept; of each model its fastest form is named."""
    figure, axes = _canvas((11, 7))
    rows, fastest = result["results"], {}
    kind = "mean" if all("mean" in row["text_ms"] for row in rows.values()) else "p50"
    ms = {name: row["text_ms"][kind] for name, row in rows.items()}
    for name, row in rows.items():
        model = name.rsplit(", ", 1)[0] if row["settings"]["library"] == "tlm-edge" else name
        if model not in fastest or ms[name] < ms[fastest[model]]:
            fastest[model] = name
    models = {name: model for model, name in fastest.items()}
    least, points = 100 * rows[result["reference"]]["accuracy"] - BELOW, []
    for name, row in rows.items():
        x, y = ms[name], max(100 * row["accuracy"], least)
        colour, marker = _look(row["settings"], name)
        shown = name in models
        axes.plot(x, y, marker, color=colour, markersize=8 if shown else 5, alpha=1 if shown else 0.45)
        if shown:
            label = models[name] if y > least else f"{models[name]}: {100 * row['accuracy']:.1f} %"
            points.append((x, y, label, colour))
    front: list[tuple[float, float]] = []
    for x, y in sorted((ms[name], 100 * row["accuracy"]) for name, row in rows.items()):
        if not front or y > front[-1][1]:
            front.append((x, y))
    axes.step(*zip(*front, strict=True), where="post", color=PRINT.muted, alpha=0.3, linewidth=3, zorder=1)
    low, high = rows[result["reference"]]["interval_95"]
    axes.axhspan(100 * low, 100 * high, color=PRINT.line, alpha=0.35, zorder=0)
    axes.set_xscale("log")
    axes.set(xlabel=f"ms a text, {kind}, tokenization included, one thread", ylabel="accuracy, %")
    machine, settings = result["machine"], result["settings"]
    axes.set_title(
        f"{title}: {settings['rows']:,} test rows, shaded: the reference's 95 % interval; measured, {machine['cpu']}, "
        f"one thread, {result['date']}\ncircles fp32, diamonds int8, squares no BERT; small: the same model elsewhere",
        fontsize=9,
        color=PRINT.muted,
        loc="left",
    )
    label_points(figure, axes, points, fontsize=8)
    return figure


def _look(settings: dict[str, Any], name: str) -> tuple[str, str]:
    """Colour by kind, marker by precision."""
    if "runtime" not in settings:
        return PRINT.series[5], "s"
    kind = 1 if name.startswith("BERT-6") else 2 if "n-grams" in name else 0
    if settings["library"] != "tlm-edge":
        kind = 3
    return PRINT.series[kind], "D" if settings["precision"] == "int8" else "o"


def draw_members(result: dict[str, Any]) -> Figure:
    """Accuracy over the number of members, the range over choices, and BERT-6 as a line."""
    figure, axes = _canvas((6.4, 3.6))
    for kind, label, colour in (("accuracy", "pure", 0), ("accuracy_with_ngrams", "with n-grams", 2)):
        told = [each[kind] for each in result["members"]]
        x = [each["members"] for each in result["members"]]
        axes.plot(x, [100 * each["mean"] for each in told], "o-", color=PRINT.series[colour], label=label)
        least, most = ([100 * each[end] for each in told] for end in ("least", "most"))
        axes.fill_between(x, least, most, color=PRINT.series[colour], alpha=0.15, linewidth=0)
    for name, colour in (("BERT-6, onnx fp32", 1), ("TF-IDF + logistic regression", 5)):
        accuracy = 100 * result["results"][name]["accuracy"]
        axes.axhline(accuracy, color=PRINT.series[colour], linestyle=(0, (4, 3)), label=name)
    axes.set_xticks([each["members"] for each in result["members"]])
    axes.set(xlabel="one-layer members", ylabel="accuracy, %")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    figure.tight_layout()
    return figure


def _canvas(size: tuple[float, float]) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
