"""Findings and ablations in Markdown, the same in the report of a reproduction and in docs/science.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tlm_edge.reproduce.ablations import FewLabels, Loss, Recipe, Size
from tlm_edge.reproduce.findings import Comparison, Finding, Findings
from tlm_edge.reproduce.results import Results
from tlm_edge.reproduce.statistics import Difference, Noise

NOTHING = "–"


def verdict(finding: Finding) -> str:
    """The verdict, with what it rests on so far."""
    settled = finding.whole or finding.verdict in ("open", "not run")
    return finding.verdict if settled else f"{finding.verdict}, so far"


def progress(results: Results) -> str:
    """How much of the plan has run, a sentence."""
    done, planned = len(results.planned) - len(results.missing), len(results.planned)
    if not results.missing:
        return f"All {planned} trainings of the plan have run."
    kinds = {kind: [name for name in results.missing if name.startswith(kind)] for kind in ("pretrain", "finetune")}
    left = ", ".join(
        f"{len(names)} {kind}ings".replace("pretrain", "pre-train").replace("finetune", "fine-tun")
        for kind, names in kinds.items()
        if names
    )
    return f"{done} of the plan's {planned} trainings have run ({left or len(results.missing)} are missing)."


def summary(findings: Findings) -> str:
    """A line a finding."""
    rows = [[str(one.number), one.claim, f"**{verdict(one)}**", one.because] for one in findings.findings]
    return table(["", "finding", "verdict", "because"], rows, words=4)


def comparisons(finding: Finding) -> str:
    """Every test of a finding; a committee's accuracy is one number, other accuracies are means over seeds."""
    heads = ["task", "first", "second", "accuracies", "seeds", "difference, points (95 %)", "p", "Holm", "rows", "says"]
    return table(heads, [_comparison(one) for one in finding.comparisons], words=3)


def _comparison(one: Comparison) -> list[str]:
    if one.difference is None:
        return [one.task, one.first, one.second, NOTHING, "0", NOTHING, NOTHING, NOTHING, NOTHING, one.decision]
    says: str = "control" if _is_control(one) else one.decision
    says = f"{says} ({one.note.removeprefix('control: ')})" if one.note else says
    return [
        one.task,
        one.first,
        one.second,
        f"{spread(one.first_accuracies)} / {spread(one.second_accuracies)}",
        str(max(len(one.first_accuracies), len(one.second_accuracies))),
        interval(one.difference),
        p_value(one.difference.p),
        p_value(one.p_holm),
        " ".join(f"{row.only_first}:{row.only_second}{'*' if row.p < 0.05 else ''}" for row in one.rows),
        says,
    ]


def words_alone(found: Mapping[str, float]) -> str:
    """What words alone achieve, a sentence."""
    told = ", ".join(f"{task} {100 * accuracy:.2f} %" for task, accuracy in found.items())
    return f"TF-IDF (words and pairs) with logistic regression on the same rows: {told}."


def in_words(finding: Finding) -> str:
    """The differences of a finding, and how many of them withstand the correction; empty if nothing has run."""
    ran = [(one, one.difference) for one in finding.comparisons if one.difference is not None]
    if not ran:
        return ""
    told = "; ".join(f"{one.task} {interval(each)}{_standing(one)}" for one, each in ran)
    tested = [one.p_holm for one, _ in ran if one.p_holm is not None]
    held = sum(p < 0.05 for p in tested)
    corrected = f" Of {len(tested)} p-values {held} stay below 0.05 after Holm's correction." if tested else ""
    return f"In points: {told}.{corrected}"


def _is_control(one: Comparison) -> bool:
    return one.note.startswith("control: ")


def _standing(one: Comparison) -> str:
    return "" if one.votes else ", a control" if _is_control(one) else f" against {one.second}, without a vote"


def noise(found: dict[str, Noise]) -> str:
    """The noise floor of each task."""
    rows = [
        [
            task,
            NOTHING if one.deviation is None else f"{100 * one.deviation:.2f}",
            str(one.freedom),
            NOTHING if one.sampling is None else f"{100 * one.sampling:.2f}",
        ]
        for task, one in found.items()
    ]
    return table(["task", "deviation over seeds, points", "degrees of freedom", "error of the test set, points"], rows)


def sizes(by_task: Mapping[str, Sequence[Size]]) -> str:
    """Accuracy by the number of members, a column a size."""
    most = max((len(each) for each in by_task.values()), default=0)
    rows = [
        [task, *(_size(each[index]) if index < len(each) else NOTHING for index in range(most))]
        for task, each in by_task.items()
    ]
    return table(["task", "one member", *(f"{size} members" for size in range(2, most + 1))], rows)


def _size(size: Size) -> str:
    if size.committees == 1:
        return f"{100 * size.mean:.2f}"
    return f"{100 * size.mean:.2f} ({100 * size.low:.2f}–{100 * size.high:.2f})"


def few_labels(found: Sequence[FewLabels]) -> str:
    """Accuracy by rows a label, a column a way to learn."""
    ways = list(dict.fromkeys(way for one in found for way in one.accuracies))
    rows = [
        [
            one.task,
            "all" if one.rows_per_label is None else str(one.rows_per_label),
            *(spread(one.accuracies[way]) if way in one.accuracies else NOTHING for way in ways),
            NOTHING if one.gain is None else interval(one.gain),
        ]
        for one in found
    ]
    return table(["task", "rows a label", *ways, "pre-trained − from scratch, points (95 %)"], rows)


def recipes(found: Sequence[Recipe]) -> str:
    """Other recipes at the same corpus and tokens."""
    rows = [
        [
            one.recipe,
            one.corpus,
            one.task,
            spread(one.losses, digits=3, scale=1) if one.losses else NOTHING,
            spread(one.accuracies),
            "the usual one" if one.difference is None else interval(one.difference),
        ]
        for one in found
    ]
    return table(
        ["recipe", "corpus", "task", "held-out loss", "accuracy, %", "difference, points (95 %)"], rows, words=3
    )


def losses(found: Sequence[Loss]) -> str:
    """What pre-training came to."""
    rows = [
        [
            one.architecture,
            one.corpus,
            f"{one.corpus_tokens / 1e6:.2f} M",
            f"{one.tokens_seen / 1e6:.1f} M",
            f"{one.tokens_seen / one.corpus_tokens:.1f}",
            spread(one.losses, digits=3, scale=1),
            str(len(one.losses)),
            f"{one.seconds / len(one.losses) / 60:.1f}",
        ]
        for one in found
    ]
    heads = [
        "model",
        "corpus",
        "its tokens",
        "tokens seen",
        "passes",
        "held-out loss, nats",
        "seeds",
        "CPU minutes each",
    ]
    return table(heads, rows, words=2)


def spread(values: Sequence[float], *, digits: int = 2, scale: float = 100) -> str:
    """The mean with the standard deviation over seeds, as ``88.41 ± 0.12``; one value by itself."""
    mean = f"{scale * float(np.mean(values)):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {scale * float(np.std(values, ddof=1)):.{digits}f}"


def interval(difference: Difference) -> str:
    """``+0.52 (+0.11 to +0.93)`` in points of accuracy; only the value where there is no interval."""
    value = signed(difference.value)
    if difference.low is None or difference.high is None:
        return f"{value} (no interval)"
    return f"{value} ({signed(difference.low)} to {signed(difference.high)})"


def signed(share: float) -> str:
    """A difference of accuracies in points: ``+0.52``."""
    text = f"{100 * abs(share):.2f}"
    return text if float(text) == 0 else ("+" if share > 0 else "−") + text


def p_value(p: float | None) -> str:
    """``0.012``, ``< 0.001``, or a dash."""
    return NOTHING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table whose first ``words`` columns are left-aligned, the others right."""
    return "\n".join(_lines(heads, rows, words))


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * words + "---:|" * (len(heads) - words)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
