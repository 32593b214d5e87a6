"""Numbers and findings in words, the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from tlm_edge.bench.figures import FIGURE_KINDS, PROVENANCE_MEANINGS, Figure
from tlm_edge.bench.record import Record
from tlm_edge.report.comparison import Comparison, Ratio

MISSING = "–"
#: What stands behind a figure that wasn't measured.
_MARKS = {"emulated": "ᵉ", "emulated-corrected": "ᶜ", "estimated": "~"}


def number(value: float) -> str:
    """Three significant digits, without an exponent: 0.0812, 1.30, 24.1, 1030."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    decimals = 4 if magnitude < 0.1 else 3 if magnitude < 1 else 2 if magnitude < 10 else 1 if magnitude < 100 else 0
    return f"{value:.{decimals}f}"


def shown(record: Record, name: str) -> str:
    """A figure of the record as text, without its unit; a dash where there is none."""
    figure = record.figures.get(name)
    if figure is None or figure.value is None:
        return MISSING
    if FIGURE_KINDS[name].unit == "1":
        return f"{figure.value:.3f}"
    return number(figure.value)


def told(record: Record, name: str) -> str:
    """The figure as ``shown``, with a ``~`` before it where it is an estimate."""
    figure = record.figures.get(name)
    return ("~" if figure is not None and figure.provenance == "estimated" else "") + shown(record, name)


def column_title(name: str) -> str:
    """The figure's title with its unit."""
    kind = FIGURE_KINDS[name]
    return kind.title if kind.unit == "1" else f"{kind.title}, {kind.unit}"


def model_name(record: Record) -> str:
    """The source with what tells its bundle from others: ``agnews-committee onnx int8``, or … ``int8 cascade``."""
    return f"{record.bundle.source} {form(record)}"


def form(record: Record, *, with_target: bool = True) -> str:
    """What was made of the source: ``onnx int8``, and how members lie that are not in one file."""
    bundle = record.bundle
    words = [bundle.target] if with_target else []
    return " ".join([*words, bundle.precision, *([] if bundle.layout == "fused" else [bundle.layout])])


def short_names(records: Sequence[Record]) -> dict[str, str]:
    """Sources without the words that all of them begin with: ``bert-6`` for ``agnews-bert-6``, if all are agnews-…."""
    sources = list(dict.fromkeys(record.bundle.source for record in records))
    words = [source.split("-") for source in sources]
    common = 0
    while len(sources) > 1 and all(len(each) > common + 1 and each[common] == words[0][common] for each in words):
        common += 1
    return {source: "-".join(each[common:]) for source, each in zip(sources, words, strict=True)}


def bounds(ratio: Ratio) -> str:
    """``13.2× (95 % CI 12.8–13.6)``, ``13.2× (estimated, 10.6–16.5)``, or that the runs weren't interleaved."""
    if ratio.low is None or ratio.high is None:
        return f"{times(ratio.value)} (not interleaved, no interval)"
    what = "estimated," if ratio.estimated else "95 % CI"
    return f"{times(ratio.value)} ({what} {_plain(ratio.low)}–{_plain(ratio.high)})"


def times(value: float) -> str:
    """``13.2×``."""
    return f"{_plain(value)}×"


def short_bounds(ratio: Ratio) -> str:
    """``13.2× (12.8–13.6)``: for a column that says what the bounds are."""
    shorter = bounds(ratio).replace("95 % CI ", "").replace("estimated, ", "")
    return shorter.replace("not interleaved, no interval", "no interval")


def points(comparison: Comparison) -> str:
    """The difference in accuracy with its interval: ``+0.5 points (95 % CI −1.7 to +2.7)``."""
    if comparison.accuracy is None:
        return MISSING
    value, low, high = (
        100 * bound for bound in (comparison.accuracy.value, comparison.accuracy.low, comparison.accuracy.high)
    )
    return f"{_signed(value)} points (95 % CI {_signed(low)} to {_signed(high)})"


def short_points(comparison: Comparison) -> str:
    """``+0.5 (−1.7 to +2.7)``: for a column that says what the bounds are."""
    return points(comparison).replace("points ", "").replace("95 % CI ", "")


def finding(comparison: Comparison) -> str:
    """Two sentences: who is faster and by how much, and at what accuracy."""
    return f"{speed_finding(comparison)} {accuracy_finding(comparison)}"


def speed_finding(comparison: Comparison) -> str:
    """A sentence that says who is faster, and by how much."""
    slow, fast, ratio = comparison.slow, comparison.fast, comparison.latency
    names = (model_name(fast), model_name(slow))
    medians = f"{told(fast, 'latency_p50')} ms against {told(slow, 'latency_p50')} ms a text at the median"
    if ratio.low is not None and ratio.low <= 1.0:
        return f"{names[0]} and {names[1]} can't be told apart in speed: {medians}, a ratio of {bounds(ratio)}."
    return f"{names[0]} is {bounds(ratio)} as fast as {names[1]}: {medians}."


def accuracy_finding(comparison: Comparison) -> str:
    """A sentence that says whose accuracy is higher, if that is known."""
    difference = comparison.accuracy
    if difference is None:
        return "Their accuracy wasn't compared on the same labelled texts."
    labelling = comparison.fast.labelling
    smoke = labelling is not None and labelling.smoke_test
    where = f"{comparison.texts} texts" + (", a smoke test" if smoke else "")
    accuracies = f"{shown(comparison.fast, 'accuracy')} against {shown(comparison.slow, 'accuracy')}"
    if difference.low > 0 or difference.high < 0:
        verdict = "more" if difference.low > 0 else "less"
        return f"It is {verdict} accurate: {accuracies}, {points(comparison)}, on {where}."
    return f"No difference in accuracy is shown: {accuracies}, {points(comparison)}, on {where}."


def provenances(records: Sequence[Record]) -> list[str]:
    """Which provenances occur, in the order of trust."""
    order = ["measured", "emulated", "emulated-corrected", "estimated"]
    found = {figure.provenance for record in records for figure in record.figures.values() if figure.provenance}
    return [provenance for provenance in order if provenance in found]


def provenance_lines(records: Sequence[Record]) -> list[str]:
    """Every provenance that occurs, with its mark and what it promises."""
    marks = {"measured": "no mark", **_MARKS}
    found = provenances(records)
    return [f"{name} ({marks[name]}): {meaning}" for name, meaning in PROVENANCE_MEANINGS.items() if name in found]


def provenance_mark(figure: Figure) -> str:
    """What stands behind a figure that wasn't measured: nothing, ``e``, ``c`` or ``~``."""
    return _MARKS.get(figure.provenance or "", "")


def _plain(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _signed(value: float) -> str:
    text = f"{abs(value):.1f}"
    return ("+" if value > 0 and text != "0.0" else "−" if value < 0 and text != "0.0" else "") + text
