"""The paper's four findings, each from outcomes to tests and a verdict by rules that were fixed before any result.

The rules are ``RULES``, ``MARGIN`` and ``LEAST_CONTRAST``; docs/science.md tells them to its readers in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tlm_edge.reproduce.conditions import Condition, Design
from tlm_edge.reproduce.results import Results
from tlm_edge.reproduce.statistics import (
    Difference,
    Noise,
    RowTest,
    bootstrap_difference,
    holm,
    mcnemar,
    noise_floor,
    paired_difference,
)

Decision = Literal["for", "against", "open", "not run"]
Verdict = Literal["reproduced", "partly", "not at this scale", "open", "not run"]

#: A committee matches a deep model if it is shown to be no more than this behind: about what the sampling of AG News'
#: test set alone makes of a single accuracy there (half a point at 95 % confidence).
MARGIN = 0.005
#: Two corpora are compared for a task if their ``Overlap.shared`` with it differs by this much; else it is a control.
LEAST_CONTRAST = 0.05

RULES = (
    "A comparison speaks *for* a finding if the 95 % interval of its difference excludes 0 in the claimed direction, "
    "*against* it if it excludes 0 in the other one, and is *open* otherwise, also where there are too few seeds for "
    "an interval. For the committee the interval must lie above −0.5 points to speak for it, below −0.5 points to "
    "speak against it.",
    "A finding is *reproduced* if more than half of its planned comparisons speak for it and none against it, *partly* "
    "if any speaks for it, *not at this scale* if none does. Comparisons that the plan names and that haven't run, or "
    "not with all seeds, count as they stand, and the verdict says *so far*; while none speaks for it yet it is "
    "*open*, and *not run* before there is any.",
    "In the second finding smaller corpora with another recipe, such as equal passes instead of equal tokens, stand "
    "beside the others; they were added when those were known, and don't vote.",
    "In the third finding only those tasks vote with which the two corpora differ in overlap by at least 0.05; the "
    "others are controls, in which no difference is expected.",
)


@dataclass(frozen=True)
class Comparison:
    """One test of a finding: two conditions on one task. Accuracies are 0 … 1, by seed where there are several."""

    task: str
    first: str
    second: str
    first_accuracies: tuple[float, ...] = ()
    second_accuracies: tuple[float, ...] = ()
    #: Whether all that the plan has for it has run.
    whole: bool = False
    difference: Difference | None = None
    #: ``difference.p`` corrected for all comparisons of the reproduction (Holm).
    p_holm: float | None = None
    #: McNemar's test for each pair of models.
    rows: tuple[RowTest, ...] = ()
    decision: Decision = "not run"
    votes: bool = True
    #: What else differs, such as the overlaps.
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """A claim of the paper with its comparisons. ``whole`` is false while planned runs of it are missing."""

    number: int
    name: str
    claim: str
    verdict: Verdict
    because: str
    whole: bool
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Findings:
    """All findings of a reproduction, and how far seeds alone move an accuracy in it, by task."""

    findings: tuple[Finding, ...]
    noise: dict[str, Noise]
    #: The comparisons that the p-values are corrected for.
    family: int


_CLAIMS: tuple[tuple[str, str, Callable[[Results, Design], Iterator[Comparison]]], ...]


def find(results: Results) -> Findings:
    """The findings in ``results``, whatever is there of them."""
    design = Design.of(results.plan)
    compared = [tuple(compare(results, design)) for _, _, compare in _CLAIMS]
    tested = [one for each in compared for one in each if one.difference is not None and one.difference.p is not None]
    corrected = dict(zip(map(id, tested), holm([_p(one) for one in tested]), strict=True))
    findings = []
    for number, ((name, claim, _), comparisons) in enumerate(zip(_CLAIMS, compared, strict=True), 1):
        told = tuple(replace(one, p_holm=corrected.get(id(one))) for one in comparisons)
        verdict, because = judge(told)
        whole = bool(told) and all(one.whole for one in told)
        findings.append(Finding(number, name, claim, verdict, because, whole, told))
    return Findings(tuple(findings), _noise(results, design), len(tested))


def judge(comparisons: Sequence[Comparison]) -> tuple[Verdict, str]:
    """The verdict on comparisons, and the count that it rests on (``RULES``)."""
    voting = [one for one in comparisons if one.votes]
    count = {kind: sum(one.decision == kind for one in voting) for kind in ("for", "against", "open", "not run")}
    parts = [f"{number} {kind}" for kind, number in count.items() if number]
    because = (
        f"of {len(voting)} planned comparisons: {', '.join(parts)}" if voting else "the plan compares nothing here"
    )
    if count["not run"] == len(voting):
        return "not run", because
    if count["for"] > len(voting) / 2 and not count["against"]:
        return "reproduced", because
    if count["for"]:
        return "partly", because
    return ("not at this scale" if all(one.whole for one in voting) else "open"), because


def decide(difference: Difference, margin: float = 0.0) -> Decision:
    """What a difference says of the claim that it is above ``-margin``."""
    if difference.low is None or difference.high is None:
        return "open"
    return "for" if difference.low > -margin else "against" if difference.high < -margin else "open"


def _pretraining_helps(results: Results, design: Design) -> Iterator[Comparison]:
    for architecture in design.architectures:
        for task in design.tasks:
            largest = design.largest_corpus(architecture, task)
            if largest is not None:
                yield from _paired(results, design, (architecture, largest, task), (architecture, None, task))


def _gain_grows_with_the_corpus(results: Results, design: Design) -> Iterator[Comparison]:
    for architecture in design.architectures:
        for task in design.tasks:
            sizes = design.sizes(architecture, task)
            if len(sizes) > 1:
                yield from _paired(results, design, (architecture, sizes[-1], task), (architecture, sizes[0], task))
            for smaller in design.smaller_with_other_recipes(architecture, task):
                for one in _paired(results, design, (architecture, sizes[-1], task), (architecture, smaller, task)):
                    yield replace(one, votes=False, note="another recipe")


def _gain_grows_with_overlap(results: Results, design: Design) -> Iterator[Comparison]:
    for high, low, chosen_for in design.overlap_pairs:
        for architecture in design.architectures:
            for task in design.tasks:
                shared = [results.overlaps.get(corpus, {}).get(task) for corpus in (high, low)]
                if shared[0] is None or shared[1] is None:
                    votes, note = task == chosen_for, "overlap not measured"
                else:
                    votes = shared[0].shared - shared[1].shared >= LEAST_CONTRAST
                    note = f"overlap {shared[0].shared:.2f} against {shared[1].shared:.2f}"
                for one in _paired(results, design, (architecture, high, task), (architecture, low, task)):
                    yield replace(one, votes=votes, note=note if votes else f"control: {note}")


def _committee_matches_deep(results: Results, design: Design) -> Iterator[Comparison]:
    for deep in filter(design.deep, design.architectures):
        for task in design.tasks:
            for architecture, planned in design.committees(deep, task).items():
                yield _voted(results, design, architecture, planned, deep, task)


_CLAIMS = (
    ("pre-training", "Pre-training helps even tiny models", _pretraining_helps),
    ("corpus-size", "The gain grows with the pre-training corpus", _gain_grows_with_the_corpus),
    ("overlap", "The gain grows with the token overlap of corpus and task", _gain_grows_with_overlap),
    (
        "committee",
        "A soft committee of independently pre-trained shallow models matches a deep one",
        _committee_matches_deep,
    ),
)


def _paired(results: Results, design: Design, first: Condition, second: Condition) -> Iterator[Comparison]:
    """The comparison of two conditions, paired by seed, if the plan has seeds for both."""
    planned = design.seeds(first) & design.seeds(second)
    if not planned:
        return
    ours, theirs = (results.classifiers(*condition) for condition in (first, second))
    seeds = tuple(sorted(planned & ours.keys() & theirs.keys()))
    told = Comparison(first[2], _title(first), _title(second))
    if seeds:
        rights = [[results.right(side[seed].run, first[2]) for seed in seeds] for side in (ours, theirs)]
        accuracies = [tuple(float(right.mean()) for right in side) for side in rights]
        difference = paired_difference(*accuracies)
        told = replace(
            told,
            first_accuracies=accuracies[0],
            second_accuracies=accuracies[1],
            whole=len(seeds) == len(planned),
            difference=difference,
            rows=tuple(mcnemar(a, b) for a, b in zip(*rights, strict=True)),
            decision=decide(difference),
        )
    yield told


def _voted(
    results: Results, design: Design, architecture: str, planned: tuple[str, int], deep: str, task: str
) -> Comparison:
    """The committee of all members there are, of ``planned`` corpus and number, against the deep models there are."""
    corpus, members = planned
    wanted = (architecture, corpus, task)
    committees = [each for each in results.committees if (each.architecture, each.corpus, each.task) == wanted]
    others = results.classifiers(deep, corpus, task)
    if not committees or not others:
        return Comparison(task, f"{members} × {architecture}", deep)
    largest = max(committees, key=lambda committee: len(committee.members))
    vote = results.right(largest.name, task)
    rights = [results.right(other.run, task) for _, other in sorted(others.items())]
    difference = bootstrap_difference([vote], rights)
    return Comparison(
        task,
        f"{len(largest.members)} × {architecture}",
        deep,
        first_accuracies=(float(vote.mean()),),
        second_accuracies=tuple(float(right.mean()) for right in rights),
        whole=len(largest.members) == members and design.seeds((deep, corpus, task)) == set(others),
        difference=difference,
        rows=tuple(mcnemar(vote, right) for right in rights),
        decision=decide(difference, MARGIN),
    )


def _title(condition: Condition) -> str:
    return f"{condition[0]}, {condition[1] or 'from scratch'}"


def _noise(results: Results, design: Design) -> dict[str, Noise]:
    found = {}
    for task in design.tasks:
        conditions = [results.classifiers(*condition) for condition in design.conditions if condition[2] == task]
        runs = [[outcome.run for outcome in each.values()] for each in conditions if each]
        accuracies = [[float(results.right(run, task).mean()) for run in each] for each in runs]
        if accuracies:
            found[task] = noise_floor(accuracies, [len(results.expected[task])] * len(accuracies))
    return found


def _p(comparison: Comparison) -> float:
    return 1.0 if comparison.difference is None or comparison.difference.p is None else comparison.difference.p
