"""Who is who in a plan: the deep architectures, the corpora that differ in size, the tasks with fewer rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from tlm_edge.modeling.config import ARCHITECTURES
from tlm_edge.reproduce.plan import Plan
from tlm_edge.reproduce.runs import plan_runs

#: What a committee has in the place of an architecture if each member is of another one.
MIXED = "mixed"
#: Architecture, corpus (None: from scratch) and task of classifiers that differ in their seeds alone.
Condition = tuple[str, str | None, str]


@dataclass(frozen=True)
class Design:
    """What can be compared in a plan. All names are the plan's."""

    plan: Plan
    #: Those that aren't another one with a different recipe.
    architectures: tuple[str, ...]
    #: Architecture → the same one with other recipes.
    recipes: dict[str, tuple[str, ...]]
    #: Task → the same rows to test on with fewer to train on, ascending; the task itself is not among them.
    tasks: dict[str, tuple[str, ...]]
    planned: Mapping[Condition, frozenset[int]]

    @classmethod
    def of(cls, plan: Plan) -> Design:
        """The design of ``plan``."""
        seeds: dict[Condition, set[int]] = defaultdict(set)
        for run in plan_runs(plan):
            if run.kind == "finetune" and run.task is not None:
                seeds[run.architecture, run.corpus, run.task].add(run.seed)
        alike: dict[object, list[str]] = defaultdict(list)
        for name, shape in plan.architectures.items():
            alike[shape.arch, shape.hidden_size, shape.heads, shape.layers].append(name)
        same_rows: dict[object, list[str]] = defaultdict(list)
        for name, task in plan.tasks.items():
            same_rows[task.train, task.test, task.text_columns, task.label_column].append(name)
        for names in same_rows.values():
            names.sort(key=lambda name: plan.tasks[name].rows_per_label or float("inf"))
        return cls(
            plan=plan,
            architectures=tuple(names[0] for names in alike.values()),
            recipes={names[0]: tuple(names[1:]) for names in alike.values() if names[1:]},
            tasks={names[-1]: tuple(names[:-1]) for names in same_rows.values()},
            planned={condition: frozenset(each) for condition, each in seeds.items()},
        )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that the plan fine-tunes."""
        return tuple(self.planned)

    @property
    def overlap_pairs(self) -> tuple[tuple[str, str, str], ...]:
        """Corpora of high and of low overlap, and the task that they were chosen for."""
        made = {(c.overlap_with, c.overlap): name for name, c in self.plan.corpora.items() if c.overlap}
        return tuple(
            (name, made[task, "low"], task)
            for (task, kind), name in made.items()
            if task is not None and kind == "high" and (task, "low") in made
        )

    def seeds(self, condition: Condition) -> frozenset[int]:
        """The seeds that the plan has for a condition."""
        return self.planned.get(condition, frozenset())

    def deep(self, architecture: str) -> bool:
        """Whether an architecture has more than one layer."""
        shape = self.plan.architectures[architecture]
        return (shape.layers or ARCHITECTURES[shape.arch].num_hidden_layers) > 1

    def alternatives(self, architecture: str) -> tuple[str, ...]:
        """What is held against ``architecture`` at the same corpus and tokens: itself with other recipes.

        Of the plan's first shallow one the other shallow ones, too.
        """
        shallow = [name for name in self.architectures if not self.deep(name)]
        others = shallow[1:] if architecture in shallow[:1] else []
        return (*self.recipes.get(architecture, ()), *others)

    def sizes(self, architecture: str, task: str) -> tuple[str, ...]:
        """The corpora that are planned here, from the smallest to the largest.

        Neither those that were chosen by overlap are among them, nor those that are another one with another recipe.
        """
        texts = self._texts()
        first = {text: name for name, text in reversed(texts.items())}
        chosen = [name for name, text in texts.items() if first[text] == name]
        planned = [name for name in chosen if self.seeds((architecture, name, task))]
        return tuple(sorted(planned, key=lambda name: self.plan.corpora[name].articles or float("inf")))

    def smaller_with_other_recipes(self, architecture: str, task: str) -> tuple[str, ...]:
        """The planned corpora that are one of ``sizes`` but the largest with another recipe, such as fewer passes."""
        sizes, texts = self.sizes(architecture, task), self._texts()
        smaller = {texts[name] for name in sizes[:-1]}
        others = [name for name, text in texts.items() if text in smaller and name not in sizes]
        return tuple(name for name in others if self.seeds((architecture, name, task)))

    def _texts(self) -> dict[str, tuple[object, ...]]:
        """What each corpus that was not chosen by overlap consists of."""
        corpora = self.plan.corpora.items()
        return {name: (one.files, one.articles, one.first_tokens) for name, one in corpora if one.overlap is None}

    def largest_corpus(self, architecture: str, task: str) -> str | None:
        """The largest of ``sizes``; None if there is none."""
        return next(iter(self.sizes(architecture, task)[::-1]), None)

    def committees(self, deep: str, task: str) -> dict[str, tuple[str, int]]:
        """Shallow architecture → the largest corpus that it shares with a deep one, and its members there.

        ``MIXED`` stands for one member of each shallow architecture, where there are several.
        """
        found: dict[str, tuple[str, int]] = {}
        for name in self.architectures:
            common = [corpus for corpus in self.sizes(deep, task) if corpus in self.sizes(name, task)]
            if common and not self.deep(name):
                found[name] = (common[-1], len(self.seeds((name, common[-1], task))))
        corpora = {corpus for corpus, _ in found.values()}
        if len(found) > 1 and len(corpora) == 1:
            found[MIXED] = (corpora.pop(), len(found))
        return {name: (corpus, members) for name, (corpus, members) in found.items() if members > 1}
