"""How long the rest of a reproduction will take, by what finished runs of the same kind took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tlm_edge.reproduce.outcome import Outcome
from tlm_edge.reproduce.plan import Plan
from tlm_edge.reproduce.runs import Run


@dataclass(frozen=True)
class Rates:
    """How fast this machine is: wall seconds, as the runs have them that go on at the same time."""

    #: Tokens a second of pre-training, by architecture.
    tokens_per_second: dict[str, float] = field(default_factory=dict)
    #: Seconds of a fine-tuning, by architecture and task.
    finetune_seconds: dict[tuple[str, str], float] = field(default_factory=dict)

    def joined(self, other: Rates) -> Rates:
        """These rates, and those of ``other`` for what these don't know."""
        return Rates(other.tokens_per_second | self.tokens_per_second, other.finetune_seconds | self.finetune_seconds)


@dataclass(frozen=True)
class Estimate:
    """Wall seconds that some runs take one after another, and how many more there are that nothing is known of."""

    seconds: float
    unknown: int

    def without(self, seconds: float) -> Estimate:
        """What is left when so much of it has passed."""
        return Estimate(max(0.0, self.seconds - seconds), self.unknown)

    def said(self, jobs: int, price: float | None = None) -> str:
        """In words, for so many runs at once; with the cost if an hour of a job has a price."""
        if not self.seconds:
            return "time unknown until a run of each kind is done" if self.unknown else "nothing left"
        words = f"about {duration(self.seconds / jobs)} left"
        if price is not None:
            words += f", at {price:g} an hour of a job {price * self.seconds / 3600:.2f}"
        return words + (f", and {self.unknown} runs of unknown length" if self.unknown else "")


def measured_rates(outcomes: Iterable[Outcome]) -> Rates:
    """The rates of finished runs."""
    tokens, seconds = defaultdict[str, int](int), defaultdict[str, float](float)
    finetunings = defaultdict[tuple[str, str], list[float]](list)
    for outcome in outcomes:
        if outcome.kind == "pretrain":
            tokens[outcome.architecture] += outcome.tokens_seen
            seconds[outcome.architecture] += outcome.wall_seconds
        elif outcome.kind == "finetune":
            finetunings[outcome.architecture, outcome.task or ""].append(outcome.wall_seconds)
    return Rates(
        {name: tokens[name] / spent for name, spent in seconds.items() if spent},
        {names: sum(spent) / len(spent) for names, spent in finetunings.items()},
    )


def run_seconds(plan: Plan, run: Run, rates: Rates) -> float | None:
    """What ``run`` will take; None if ``rates`` don't tell. Preparing counts as nothing."""
    if run.kind == "prepare":
        return 0.0
    if run.kind == "finetune":
        return rates.finetune_seconds.get((run.architecture, run.task or ""))
    speed = rates.tokens_per_second.get(run.architecture)
    return None if not speed else plan.pretraining_of(run.architecture, run.corpus or "").max_tokens / speed


def estimate(plan: Plan, runs: Iterable[Run], rates: Rates) -> Estimate:
    """What ``runs`` will take, one after another."""
    each = [run_seconds(plan, run, rates) for run in runs]
    known = [seconds for seconds in each if seconds is not None]
    return Estimate(sum(known), len(each) - len(known))


def duration(seconds: float) -> str:
    """``seconds`` in words: ``40 s``, ``12 min``, ``3 h 20 min``, ``4 d 3 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
