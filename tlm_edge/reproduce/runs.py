"""The runs that a plan asks for: what each is, what it needs, and what a user would type to do it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tlm_edge.reproduce.plan import SCRATCH, Plan

#: Below the folder of the reproduction: what is made once for all runs.
PREPARED = "prepared"
ENCODERS = "encoders"
CLASSIFIERS = "classifiers"
MADE_DATA = f"{PREPARED}/data"
MADE_TOKENIZER = f"{PREPARED}/tokenizer"


@dataclass(frozen=True)
class Run:
    """One thing to do, in a process of its own, once all that it ``needs`` is done.

    ``prepare`` makes data, a tokenizer, or corpora by their overlap with the task; ``pretrain`` makes an encoder;
    ``finetune`` makes a classifier, from that encoder or, without a corpus, from scratch.
    """

    name: str
    kind: Literal["prepare", "pretrain", "finetune"]
    needs: tuple[str, ...] = ()
    architecture: str = ""
    corpus: str | None = None
    task: str | None = None
    seed: int = 0


def plan_runs(plan: Plan) -> tuple[Run, ...]:
    """The runs of ``plan`` in the order of its experiments, each after what it needs, each once."""
    found: dict[str, Run] = {}

    def add(run: Run) -> Run:
        return found.setdefault(run.name, run)

    base = tuple(add(run).name for run in _common(plan))
    for experiment in plan.experiments:
        for seed in experiment.seeds:
            for architecture in experiment.architectures:
                for corpus in experiment.corpora:
                    start = base
                    if corpus != SCRATCH:
                        made = base
                        if task := plan.corpora[corpus].overlap_with:
                            made = (add(Run(f"prepare-overlap-{task}", "prepare", base, task=task)).name,)
                        start = (add(_pretrain(made, architecture, corpus, seed)).name,)
                    for task in experiment.tasks:
                        add(_finetune(start, architecture, corpus, task, seed))
    return tuple(found.values())


def _common(plan: Plan) -> list[Run]:
    """What all other runs need."""
    runs: list[Run] = []
    if plan.data == "standard-library":
        runs.append(Run("prepare-data", "prepare"))
    if makes_tokenizer(plan):
        runs.append(Run("prepare-tokenizer", "prepare", tuple(run.name for run in runs)))
    return runs


def makes_tokenizer(plan: Plan) -> bool:
    """Whether the tokenizer has to be learned, or made of a vocabulary file."""
    return plan.tokenizer is None or plan.tokenizer.endswith(".txt")


def encoder_name(architecture: str, corpus: str, seed: int) -> str:
    """The folder of an encoder below ``ENCODERS``."""
    return f"{architecture}-{corpus}-seed{seed}"


def _pretrain(needs: tuple[str, ...], architecture: str, corpus: str, seed: int) -> Run:
    name = f"pretrain-{encoder_name(architecture, corpus, seed)}"
    return Run(name, "pretrain", needs, architecture, corpus, seed=seed)


def _finetune(needs: tuple[str, ...], architecture: str, corpus: str, task: str, seed: int) -> Run:
    name = f"finetune-{task}-{encoder_name(architecture, corpus, seed)}"
    return Run(name, "finetune", needs, architecture, None if corpus == SCRATCH else corpus, task, seed)


def only(runs: tuple[Run, ...], chosen: set[str]) -> tuple[Run, ...]:
    """The runs named in ``chosen`` and, before them, all that they need."""
    by_name = {run.name: run for run in runs}
    wanted: set[str] = set()
    waiting = list(chosen)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += by_name[name].needs
    return tuple(run for run in runs if run.name in wanted)
