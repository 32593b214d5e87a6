"""What the runs of a reproduction tell beyond the four findings: members, few labels, recipes, losses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tlm_edge.reproduce.conditions import Condition, Design
from tlm_edge.reproduce.measure import WORDS
from tlm_edge.reproduce.outcome import Outcome
from tlm_edge.reproduce.results import Results
from tlm_edge.reproduce.statistics import Difference, paired_difference


@dataclass(frozen=True)
class Size:
    """Committees of one size: the mean of their accuracies, the lowest and the highest, and how many there are."""

    members: int
    mean: float
    low: float
    high: float
    committees: int


@dataclass(frozen=True)
class FewLabels:
    """Accuracies by seed with so many training rows a label, of each way to learn from them that has run."""

    task: str
    rows_per_label: int | None
    accuracies: dict[str, tuple[float, ...]]
    #: Pre-trained minus from scratch, paired by seed.
    gain: Difference | None


@dataclass(frozen=True)
class Recipe:
    """An architecture's usual recipe (``recipe`` equals ``architecture``) or another, at equal corpus and tokens."""

    architecture: str
    recipe: str
    corpus: str
    task: str
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    #: Minus the usual recipe, paired by seed; None for that one itself.
    difference: Difference | None


@dataclass(frozen=True)
class Loss:
    """Held-out losses of pre-training by seed, in nats a guessed token."""

    architecture: str
    corpus: str
    corpus_tokens: int
    tokens_seen: int
    losses: tuple[float, ...]
    #: Processor seconds, all seeds together.
    seconds: float


def committee_sizes(results: Results, condition: Condition) -> tuple[Size, ...]:
    """Accuracy by the number of members, from one on, over the committees that the seeds of a condition form."""
    architecture, corpus, task = condition
    found: dict[int, list[float]] = defaultdict(list)
    for member in results.classifiers(*condition).values():
        found[1].append(float(results.right(member.run, task).mean()))
    for committee in results.committees:
        if (committee.architecture, committee.corpus, committee.task) == (architecture, corpus, task):
            found[len(committee.members)].append(float(results.right(committee.name, task).mean()))
    return tuple(
        Size(members, sum(each) / len(each), min(each), max(each), len(each)) for members, each in sorted(found.items())
    )


def few_labels(results: Results) -> tuple[FewLabels, ...]:
    """Tasks that have run with fewer rows, and with all, by the ways to learn: pre-trained or not, by words alone."""
    design = Design.of(results.plan)
    shallow = [name for name in design.architectures if not design.deep(name)][:1]
    told = []
    for task, fewer in design.tasks.items():
        for architecture in shallow:
            found = [_few_labels(results, design, architecture, variant) for variant in (*fewer, task)]
            if any(one.accuracies for one in found[:-1]):
                told += [one for one in found if one.accuracies]
    return tuple(told)


def words_alone(results: Results) -> dict[str, float]:
    """The accuracy of TF-IDF with logistic regression, by task, on the rows that the task's models learn from."""
    found = {task: results.classifiers(WORDS, None, task) for task in Design.of(results.plan).tasks}
    return {task: _accuracies(results, each)[0] for task, each in found.items() if each}


def _few_labels(results: Results, design: Design, architecture: str, task: str) -> FewLabels:
    corpus = design.largest_corpus(architecture, task)
    pretrained = {} if corpus is None else results.classifiers(architecture, corpus, task)
    scratch = results.classifiers(architecture, None, task)
    ways = {
        f"{architecture} pre-trained": _accuracies(results, pretrained),
        f"{architecture} from scratch": _accuracies(results, scratch),
        "TF-IDF": _accuracies(results, results.classifiers(WORDS, None, task)),
    }
    if pretrained and corpus is not None:
        largest = committee_sizes(results, (architecture, corpus, task))[-1]
        if largest.members > 1:
            ways[f"{largest.members} × {architecture} pre-trained"] = (largest.mean,)
    both = sorted(pretrained.keys() & scratch.keys())
    gain = (
        paired_difference(
            _accuracies(results, {seed: pretrained[seed] for seed in both}),
            _accuracies(results, {seed: scratch[seed] for seed in both}),
        )
        if both
        else None
    )
    rows = results.plan.tasks[task].rows_per_label
    return FewLabels(task, rows, {way: accuracies for way, accuracies in ways.items() if accuracies}, gain)


def recipes(results: Results) -> tuple[Recipe, ...]:
    """Each architecture beside other recipes and kinds, on each corpus and task that they have in common."""
    design = Design.of(results.plan)
    told = []
    for architecture in design.architectures:
        others = design.alternatives(architecture)
        conditions = {(c, t) for a, c, t in design.conditions if a in others and c is not None}
        for corpus, task in sorted(conditions):
            usual = results.classifiers(architecture, corpus, task)
            for recipe in (architecture, *others):
                own = results.classifiers(recipe, corpus, task)
                if own:
                    told.append(_recipe(results, architecture, recipe, corpus, task, usual, own))
    return tuple(told)


def _recipe(
    results: Results,
    architecture: str,
    recipe: str,
    corpus: str,
    task: str,
    usual: dict[int, Outcome],
    own: dict[int, Outcome],
) -> Recipe:
    both = sorted(usual.keys() & own.keys())
    losses = tuple(
        one.losses for one in pretraining_losses(results) if (one.architecture, one.corpus) == (recipe, corpus)
    )
    difference = (
        paired_difference(*(_accuracies(results, {seed: side[seed] for seed in both}) for side in (own, usual)))
        if both and recipe != architecture
        else None
    )
    return Recipe(
        architecture, recipe, corpus, task, _accuracies(results, own), losses[0] if losses else (), difference
    )


def pretraining_losses(results: Results) -> tuple[Loss, ...]:
    """What pre-training came to, by architecture and corpus in the plan's order."""
    found: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in results.outcomes:
        if outcome.kind == "pretrain" and outcome.loss is not None:
            found[outcome.architecture, outcome.corpus or ""].append(outcome)
    architectures, corpora = list(results.plan.architectures), list(results.plan.corpora)
    order = sorted(found, key=lambda pair: (architectures.index(pair[0]), corpora.index(pair[1])))
    return tuple(
        Loss(
            *pair,
            corpus_tokens=found[pair][0].corpus_tokens,
            tokens_seen=found[pair][0].tokens_seen,
            losses=tuple(outcome.loss or 0.0 for outcome in found[pair]),
            seconds=sum(outcome.seconds for outcome in found[pair]),
        )
        for pair in order
    )


def _accuracies(results: Results, by_seed: dict[int, Outcome]) -> tuple[float, ...]:
    return tuple(float(results.right(outcome.run, outcome.task or "").mean()) for _, outcome in sorted(by_seed.items()))
