"""What a reproduction has come to so far, read from its folder, or from what is kept of one that is gone.

Kept are outcomes and every model's answers by the number of the label; the probabilities serve to form committees and
are then dispensable, and texts were never part of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlm_edge.files import new_folder
from tlm_edge.reproduce.conditions import MIXED, Design
from tlm_edge.reproduce.folder import PLAN
from tlm_edge.reproduce.kept import read_kept, write_kept
from tlm_edge.reproduce.outcome import OUTCOMES, Outcome, read_expected, read_outcomes, read_probabilities
from tlm_edge.reproduce.overlap import Overlap
from tlm_edge.reproduce.plan import SCRATCH, Plan, read_plan
from tlm_edge.reproduce.runs import plan_runs
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json

#: Beside the outcomes: the overlap of each corpus with each task, once it was measured.
OVERLAPS = "overlap.json"
#: The kind of outcomes that no training has, and how their names begin.
BASELINE = "baseline"
#: Committees of one size that are formed of the same members.
_MOST_COMMITTEES = 12


@dataclass(frozen=True)
class Committee:
    """The soft vote of independently pre-trained classifiers, the mean of their probabilities.

    They differ in their seeds alone or, where ``architecture`` is ``MIXED``, in their architectures too.
    """

    name: str
    architecture: str
    corpus: str | None
    task: str
    #: Names of their runs.
    members: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """A plan with what is known of it. ``expected`` is by task, ``predicted`` by run or committee; both (rows,)."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    committees: tuple[Committee, ...]
    expected: dict[str, NDArray[np.int64]]
    predicted: dict[str, NDArray[np.int64]]
    #: By corpus and task.
    overlaps: dict[str, dict[str, Overlap]]

    @property
    def planned(self) -> tuple[str, ...]:
        """Names of the trainings that the plan asks for."""
        return tuple(run.name for run in plan_runs(self.plan) if run.kind != "prepare")

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of those without an outcome."""
        done = {outcome.run for outcome in self.outcomes}
        return tuple(name for name in self.planned if name not in done)

    def classifiers(self, architecture: str, corpus: str | None, task: str) -> dict[int, Outcome]:
        """The fine-tuned models of one condition by their seeds."""
        wanted = (architecture, corpus, task)
        found = (o for o in self.outcomes if o.kind != "pretrain" and (o.architecture, o.corpus, o.task) == wanted)
        return {outcome.seed: outcome for outcome in found}

    def right(self, name: str, task: str) -> NDArray[np.bool_]:
        """Which test rows a run or committee has right, (rows,)."""
        return np.asarray(self.predicted[name] == self.expected[task])


def read_results(folder: Path) -> Results:
    """The results in the folder of a reproduction, finished or not, or in one that ``distil`` wrote.

    A folder may be both, a reproduction that goes on from what is kept of an earlier one: what was done again counts.
    Outcomes of what the plan no longer names are passed over, and so are committees whose members' probabilities are
    not all at hand and whose answers weren't kept. Raises ``UserError`` for a folder that is neither, and for what
    can't be read in it.
    """
    plan = read_plan(folder / PLAN)
    kept = read_kept(folder)
    own = {outcome.run: outcome for outcome in read_outcomes(folder / OUTCOMES)}
    outcomes = _of_plan(plan, ({outcome.run: outcome for outcome in kept.outcomes} | own).values())
    probabilities: dict[str, NDArray[np.float32]] = {}
    expected: dict[str, NDArray[np.int64]] = {}
    predicted: dict[str, NDArray[np.int64]] = {}
    for outcome in outcomes:
        if outcome.task is None or not outcome.probabilities:
            continue
        if outcome.run in own:
            asked = read_expected(folder / OUTCOMES, outcome)
            rows = read_probabilities(folder / OUTCOMES, outcome).astype(np.float32)
            probabilities[outcome.run], predicted[outcome.run] = rows, rows.argmax(axis=1)
        else:
            asked, predicted[outcome.run] = kept.expected[outcome.task], kept.predicted[outcome.run]
        if not np.array_equal(asked, expected.setdefault(outcome.task, asked)):
            raise UserError(f"{folder}: {outcome.run} was tested on other rows of {outcome.task} than others were")
        if len(predicted[outcome.run]) != len(asked):
            raise UserError(
                f"{folder / OUTCOMES / outcome.run}.npy: not as many rows as {outcome.expected}: delete both"
            )
    for committee in (committees := _committees(Design.of(plan), outcomes)):
        if probabilities.keys() >= set(committee.members):
            votes = [probabilities[member] for member in committee.members]
            predicted[committee.name] = np.mean(votes, axis=0).argmax(axis=1)
        elif own.keys().isdisjoint(committee.members) and committee.name in kept.predicted:
            predicted[committee.name] = kept.predicted[committee.name]
    known = tuple(committee for committee in committees if committee.name in predicted)
    return Results(plan, outcomes, known, expected, predicted, read_overlaps(folder))


def distil(folder: Path, out: Path) -> Results:
    """Write what is worth keeping of the reproduction in ``folder`` as the folder ``out``; an old one is replaced.

    It has no probabilities and no texts, and gives the same findings. Raises ``UserError`` as ``read_results`` does.
    """
    results = read_results(folder)
    with new_folder(out, force=True) as kept:
        (kept / PLAN).write_bytes((folder / PLAN).read_bytes())
        write_kept(kept, results.outcomes, results.expected, results.predicted)
        write_overlaps(kept, results.overlaps)
    return results


def write_overlaps(folder: Path, overlaps: dict[str, dict[str, Overlap]]) -> None:
    """Note the overlaps, by corpus and task, in the folder of a reproduction."""
    content = {corpus: {task: asdict(one) for task, one in tasks.items()} for corpus, tasks in overlaps.items()}
    (folder / OVERLAPS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _of_plan(plan: Plan, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    names = {run.name for run in plan_runs(plan)} | {f"{BASELINE}-{task}" for task in plan.tasks}
    return tuple(outcome for outcome in sorted(outcomes, key=lambda one: one.run) if outcome.run in names)


def _committees(design: Design, outcomes: Sequence[Outcome]) -> tuple[Committee, ...]:
    """Committees of two members and more: of all sizes that the seeds make, and of one of each shallow architecture."""

    def condition(outcome: Outcome) -> tuple[str, str, str]:
        return outcome.architecture, outcome.corpus or "", outcome.task or ""

    tuned = sorted((o for o in outcomes if o.kind == "finetune"), key=lambda o: (*condition(o), o.seed))
    found = []
    variants: dict[tuple[str, str], list[str]] = {}
    for (architecture, corpus, task), group in groupby(tuned, key=condition):
        runs = {outcome.seed: outcome.run for outcome in group}
        for size in range(2, len(runs) + 1):
            for seeds in islice(combinations(runs, size), _MOST_COMMITTEES):
                name = f"committee-{task}-{architecture}-{corpus or SCRATCH}-seeds{'.'.join(map(str, seeds))}"
                members = tuple(runs[seed] for seed in seeds)
                found.append(Committee(name, architecture, corpus or None, task, members))
        if corpus and architecture in design.architectures and not design.deep(architecture):
            variants.setdefault((corpus, task), []).append(runs[min(runs)])
    for (corpus, task), members_of in variants.items():
        if len(members_of) > 1:
            name = f"committee-{task}-{MIXED}-{corpus}-{len(members_of)}"
            found.append(Committee(name, MIXED, corpus, task, tuple(members_of)))
    return tuple(found)


def read_overlaps(folder: Path) -> dict[str, dict[str, Overlap]]:
    """The overlaps, by corpus and task, as noted in the folder; none if there are none. Raises ``UserError``."""
    path = folder / OVERLAPS
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            corpus: {task: from_json(Overlap, overlap) for task, overlap in tasks.items()}
            for corpus, tasks in content.items()
        }
    except (JsonShapeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not the overlaps of corpora and tasks ({error}): delete it") from error
