"""What a reproduction is to find out, read from a TOML file: corpora, tasks, architectures, and who meets whom."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tlm_edge.modeling.config import ARCHITECTURES
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json

#: The plans that come with the package, smallest first.
SCALES = ("smoke", "laptop", "paper")
#: What an encoder that was never pre-trained has in the place of a corpus in the names of runs.
SCRATCH = "scratch"
_PLANS = Path(__file__).parent / "plans"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")

#: Values of a recipe that differ for one architecture, corpus or task.
Changes = dict[str, bool | int | float | str]


@dataclass(frozen=True)
class Pretraining:
    """The recipe of every pre-training; the options of ``tlm-edge pretrain``."""

    max_tokens: int
    batch_size: int = 64
    gradient_accumulation: int = 1
    learning_rate: float = 2e-3
    muon_learning_rate: float = 0.02
    optimizer: Literal["muon", "adamw"] = "muon"
    mask_probability: float = 0.15
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False


@dataclass(frozen=True)
class Finetuning:
    """The recipe of every fine-tuning; the options of ``tlm-edge finetune``. No rows are held out of training."""

    epochs: int
    batch_size: int = 32
    learning_rate: float = 5e-4
    dropout: float = 0.1
    mask_probability: float = 0.15
    precision: Literal["auto", "fp32", "bf16"] = "auto"


@dataclass(frozen=True)
class Architecture:
    """An architecture of ``modeling/config.py`` with sizes overridden, and what its recipes have otherwise."""

    arch: str
    hidden_size: int | None = None
    heads: int | None = None
    layers: int | None = None
    pretraining: Changes | None = None
    finetuning: Changes | None = None


@dataclass(frozen=True)
class Corpus:
    """Unlabelled text: files or globs below the data folder, or names of hub datasets.

    ``articles`` documents are drawn with seed 42, ``first_tokens`` of each are kept, both as the paper does. With
    ``overlap`` it is instead so many ``tokens`` of all that text, chosen for much (``high``) or little (``low``) in
    common with the training texts of the task ``overlap_with`` (see ``overlap.py``).
    """

    files: tuple[str, ...]
    articles: int | None = None
    first_tokens: int | None = None
    overlap: Literal["high", "low"] | None = None
    overlap_with: str | None = None
    tokens: int | None = None
    pretraining: Changes | None = None


@dataclass(frozen=True)
class TaskPlan:
    """Labelled text: a file for training and one for testing below the data folder, or names of hub datasets.

    ``rows_per_label`` rows of each label are trained on, the same ones whatever the seed; all if None.
    """

    train: str
    test: str
    rows_per_label: int | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    finetuning: Changes | None = None


@dataclass(frozen=True)
class Experiment:
    """Everyone with everyone: each architecture on each corpus with each seed, fine-tuned for each task.

    ``scratch`` stands among the corpora for encoders that were not pre-trained.
    """

    architectures: tuple[str, ...]
    corpora: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """All of a reproduction. Experiments run in their order; what several ask for runs once.

    ``tokenizer`` is a shipped model, a folder, or a vocabulary file below the data folder; without one a tokenizer of
    ``vocab_size`` tokens is learned from the files of all corpora. ``data`` says where files lie: in a folder that the
    user names, or in one that is made from the documentation of Python's standard library.
    """

    name: str
    about: str
    pretraining: Changes
    finetuning: Changes
    architectures: dict[str, Architecture]
    corpora: dict[str, Corpus]
    tasks: dict[str, TaskPlan]
    experiments: tuple[Experiment, ...]
    tokenizer: str | None = None
    vocab_size: int | None = None
    data: Literal["folder", "standard-library"] = "folder"

    def pretraining_of(self, architecture: str, corpus: str) -> Pretraining:
        """The recipe that pre-trains ``architecture`` on ``corpus``."""
        changes = [self.pretraining, self.architectures[architecture].pretraining, self.corpora[corpus].pretraining]
        return from_json(Pretraining, _merged(changes), f"pretraining of {architecture} on {corpus}")

    def finetuning_of(self, architecture: str, task: str) -> Finetuning:
        """The recipe that fine-tunes ``architecture`` for ``task``."""
        changes = [self.finetuning, self.tasks[task].finetuning, self.architectures[architecture].finetuning]
        return from_json(Finetuning, _merged(changes), f"finetuning of {architecture} for {task}")


def _merged(changes: Iterable[Changes | None]) -> Changes:
    merged: Changes = {}
    for more in changes:
        merged |= more or {}
    return merged


def plan_file(name: str) -> Path:
    """The file of the plan that a user named: a scale, or a path. Raises ``UserError`` if there is none."""
    if name in SCALES:
        return _PLANS / f"{name}.toml"
    path = Path(name)
    if not path.is_file():
        raise UserError(f"no plan {name!r}: give {', '.join(SCALES)}, or a TOML file (docs/reproduce.md)")
    return path


def read_plan(path: Path) -> Plan:
    """The plan in a TOML file. Raises ``UserError``, naming the place, for anything that doesn't make one."""
    return parse_plan(read_tables(path), path)


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a TOML file as they are written. Raises ``UserError`` if it isn't one."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from error


def parse_plan(tables: Mapping[str, Any], path: Path) -> Plan:
    """The plan of ``tables``, which were read from ``path``. Raises ``UserError`` as ``read_plan`` does."""
    try:
        plan = from_json(Plan, dict(tables))
        _check_names(plan)
        _check_references(plan)
        _check_values(plan)
    except JsonShapeError as error:
        raise UserError(f"{path}: {error}") from error
    return plan


def _check_names(plan: Plan) -> None:
    for table in ("architectures", "corpora", "tasks"):
        for name in getattr(plan, table):
            if not _NAME.fullmatch(name) or name == SCRATCH:
                raise JsonShapeError(
                    f"{table}.{name}: names are lower-case letters, digits, '.' and '-', and not {SCRATCH!r}"
                )
    if not _NAME.fullmatch(plan.name):
        raise JsonShapeError(f"name: {plan.name!r}: names are lower-case letters, digits, '.' and '-'")
    if not plan.experiments:
        raise JsonShapeError("experiments: none, so there is nothing to do")


def _check_references(plan: Plan) -> None:
    for number, experiment in enumerate(plan.experiments):
        for table in ("architectures", "corpora", "tasks"):
            named = set(getattr(experiment, table)) - ({SCRATCH} if table == "corpora" else set())
            _check_known(plan, table, named, f"experiments[{number}].{table}")
            if not getattr(experiment, table):
                raise JsonShapeError(f"experiments[{number}].{table}: empty, so there is nothing to do")
        if not experiment.seeds or len(set(experiment.seeds)) < len(experiment.seeds) or min(experiment.seeds) < 0:
            raise JsonShapeError(f"experiments[{number}].seeds: give at least one, each once, from 0 on")
    for name, corpus in plan.corpora.items():
        _check_overlap(plan, name, corpus)


def _check_overlap(plan: Plan, name: str, corpus: Corpus) -> None:
    if corpus.overlap is None:
        if corpus.overlap_with is not None or corpus.tokens is not None:
            raise JsonShapeError(f"corpora.{name}: overlap_with and tokens are for a corpus with overlap")
        return
    if corpus.overlap_with is None or corpus.tokens is None:
        raise JsonShapeError(f"corpora.{name}: overlap needs overlap_with and tokens")
    if corpus.articles is not None or corpus.first_tokens is not None:
        raise JsonShapeError(f"corpora.{name}: a corpus with overlap has tokens, not articles or first_tokens")
    _check_known(plan, "tasks", {corpus.overlap_with}, f"corpora.{name}.overlap_with")
    for other_name, other in plan.corpora.items():
        same = (other.files, other.tokens) == (corpus.files, corpus.tokens)
        if other.overlap_with == corpus.overlap_with and not same:
            raise JsonShapeError(
                f"corpora.{name} and {other_name}: both overlap with one task, so give both the same files and tokens"
            )


def _check_known(plan: Plan, table: str, named: set[str], where: str) -> None:
    unknown = sorted(named - set(getattr(plan, table)))
    if unknown:
        known = ", ".join(getattr(plan, table)) or "none"
        raise JsonShapeError(f"{where}: no {unknown[0]!r} among the {table} ({known})")


def _check_values(plan: Plan) -> None:
    for name, shape in plan.architectures.items():
        if shape.arch not in ARCHITECTURES:
            raise JsonShapeError(f"architectures.{name}.arch: no {shape.arch!r}; there is {', '.join(ARCHITECTURES)}")
        _check_positive(f"architectures.{name}", shape, "hidden_size", "heads", "layers")
    for name, corpus in plan.corpora.items():
        _check_positive(f"corpora.{name}", corpus, "articles", "first_tokens", "tokens")
        if not corpus.files:
            raise JsonShapeError(f"corpora.{name}.files: empty; name files, globs or hub datasets")
    for name, task in plan.tasks.items():
        _check_positive(f"tasks.{name}", task, "rows_per_label")
    if (plan.tokenizer is None) == (plan.vocab_size is None):
        raise JsonShapeError("give either tokenizer or vocab_size, to learn one from the corpora")
    _check_recipes(plan)


def _check_recipes(plan: Plan) -> None:
    for experiment in plan.experiments:
        for architecture in experiment.architectures:
            for corpus_name in (name for name in experiment.corpora if name != SCRATCH):
                recipe = plan.pretraining_of(architecture, corpus_name)
                where = f"pretraining of {architecture} on {corpus_name}"
                _check_positive(where, recipe, "max_tokens", "batch_size", "gradient_accumulation", "learning_rate")
            for task_name in experiment.tasks:
                tuning = plan.finetuning_of(architecture, task_name)
                where = f"finetuning of {architecture} for {task_name}"
                _check_positive(where, tuning, "epochs", "batch_size", "learning_rate")


def _check_positive(where: str, table: object, *names: str) -> None:
    for name in names:
        value = getattr(table, name)
        if value is not None and value <= 0:
            raise JsonShapeError(f"{where}.{name}: {value}; give more than 0")
