"""A run of a plan as the job that ``tlm-edge pretrain`` or ``tlm-edge finetune`` would do, and as that command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tlm_edge.data.hub import parse_name
from tlm_edge.reproduce.plan import Architecture, Plan
from tlm_edge.reproduce.runs import (
    CLASSIFIERS,
    ENCODERS,
    MADE_DATA,
    MADE_TOKENIZER,
    PREPARED,
    Run,
    encoder_name,
    makes_tokenizer,
)
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import resolve_model, shipped_names

if TYPE_CHECKING:
    from tlm_edge.training.classification import FinetuneJob
    from tlm_edge.training.pretrain_job import PretrainJob

#: Environment variable that names the data folder, for those who give no --data.
DATA_VARIABLE = "TLM_EDGE_DATA"


@dataclass(frozen=True)
class Place:
    """A plan at work: the folder it fills, and the folder of its data where it has one."""

    plan: Plan
    folder: Path
    data: Path | None

    def source(self, name: str) -> str:
        """The path of the data that the plan calls ``name``; a hub dataset's name stays as it is."""
        if self.plan.data == "standard-library":
            return str(self.folder / MADE_DATA / name)
        if self.data is not None and (any(self.data.glob(name)) or parse_name(name) is None):
            return str(self.data / name)
        return name

    def corpus(self, name: str) -> tuple[str, ...]:
        """The sources of the corpus ``name``."""
        corpus = self.plan.corpora[name]
        if corpus.overlap:
            return (str(self.overlap_corpora(corpus.overlap_with or "") / f"overlap-{corpus.overlap}.jsonl.gz"),)
        return tuple(self.source(file) for file in corpus.files)

    def overlap_corpora(self, task: str) -> Path:
        """The folder of the two corpora made by their overlap with ``task``."""
        return self.folder / PREPARED / f"overlap-{task}"

    def tokenizer(self) -> Path:
        """The folder of the tokenizer."""
        if makes_tokenizer(self.plan) or self.plan.tokenizer is None:
            return self.folder / MADE_TOKENIZER
        return resolve_model(self.plan.tokenizer)

    def encoder(self, run: Run) -> Path:
        """The folder of the encoder that ``run`` makes or starts from."""
        return self.folder / ENCODERS / encoder_name(run.architecture, run.corpus or "", run.seed)

    def out(self, run: Run) -> Path:
        """Where ``run`` writes its checkpoint."""
        return self.encoder(run) if run.kind == "pretrain" else self.folder / CLASSIFIERS / run.name

    def shown(self, path: str | Path) -> str:
        """``path`` for a shell in the folder of the reproduction, with the data folder in its variable."""
        path = Path(path)
        if self.data is not None and path.is_relative_to(self.data):
            return f'"${DATA_VARIABLE}"/{shlex.quote(str(path.relative_to(self.data)))}'
        if path.is_relative_to(self.folder):
            return shlex.quote(str(path.relative_to(self.folder)))
        return shlex.quote(path.name if path.name in shipped_names() else str(path))


def check_data(place: Place) -> None:
    """Raise ``UserError`` for files of the plan that aren't there, before hours are spent."""
    plan = place.plan
    if plan.data == "standard-library":
        return
    sources = {f"corpora.{name}.files": corpus.files for name, corpus in plan.corpora.items()}
    sources |= {f"tasks.{name}": (task.train, task.test) for name, task in plan.tasks.items()}
    if plan.tokenizer is not None and makes_tokenizer(plan):
        sources["tokenizer"] = (plan.tokenizer,)
    for where, names in sources.items():
        for name in names:
            if place.data is None and parse_name(name) is None:
                raise UserError(
                    f"plan {plan.name}, {where}: {name!r} is a file below the data folder: name that with --data"
                )
            if place.data is not None and parse_name(name) is None and not any(place.data.glob(name)):
                raise UserError(f"plan {plan.name}, {where}: no {name!r} in {place.data}: put it there, or see --data")
    if not makes_tokenizer(plan):
        place.tokenizer()


def pretrain_job(place: Place, run: Run) -> PretrainJob:
    """The job of a pre-training."""
    from tlm_edge.training.pretrain import PretrainRecipe
    from tlm_edge.training.pretrain_job import EncoderSizes, Limits, PretrainJob

    shape, corpus, name = _shape(place, run), place.plan.corpora[run.corpus or ""], run.corpus or ""
    recipe = place.plan.pretraining_of(run.architecture, name)
    return PretrainJob(
        corpus=place.corpus(name),
        out=place.out(run),
        recipe=PretrainRecipe(
            max_steps=1,
            batch_size=recipe.batch_size,
            gradient_accumulation=recipe.gradient_accumulation,
            learning_rate=recipe.learning_rate,
            muon_learning_rate=recipe.muon_learning_rate,
            optimizer=recipe.optimizer,
            mask_probability=recipe.mask_probability,
            precision=recipe.precision,
            compile=recipe.compile,
            seed=run.seed,
        ),
        limits=Limits(tokens=recipe.max_tokens),
        sizes=EncoderSizes(shape.arch, shape.hidden_size, shape.heads, shape.layers),
        tokenizer=place.tokenizer(),
        articles=corpus.articles,
        first_tokens=corpus.first_tokens,
    )


def finetune_job(place: Place, run: Run) -> FinetuneJob:
    """The job of a fine-tuning."""
    from tlm_edge.training.classification import FinetuneJob, scratch_config
    from tlm_edge.training.finetune import FinetuneRecipe

    shape, task = _shape(place, run), place.plan.tasks[run.task or ""]
    recipe = place.plan.finetuning_of(run.architecture, run.task or "")
    scratch = run.corpus is None
    sizes = {"hidden_size": shape.hidden_size, "heads": shape.heads, "layers": shape.layers}
    return FinetuneJob(
        data=(place.source(task.train),),
        out=place.out(run),
        recipe=FinetuneRecipe(
            epochs=recipe.epochs,
            plain_start=run.corpus is not None,  # as the paper does; a new encoder starts so anyway
            averaged=0.0,  # the paper keeps the weights of a step
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            dropout=recipe.dropout,
            mask_probability=recipe.mask_probability,
            precision=recipe.precision,
            seed=run.seed,
        ),
        checkpoint=None if scratch else place.encoder(run),
        scratch=scratch_config(shape.arch, place.tokenizer(), **sizes) if scratch else None,
        tokenizer=place.tokenizer() if scratch else None,
        text_columns=task.text_columns,
        label_column=task.label_column,
        validation_share=0.0,
        rows_per_label=task.rows_per_label,
    )


def command(place: Place, run: Run) -> str:
    """What a user types to do ``run`` alone, in the folder of the reproduction, with ``TLM_EDGE_DATA`` set."""
    words = _pretrain_words(place, run) if run.kind == "pretrain" else _finetune_words(place, run)
    return " ".join(words)


def _pretrain_words(place: Place, run: Run) -> list[str]:
    name = run.corpus or ""
    corpus, recipe = place.plan.corpora[name], place.plan.pretraining_of(run.architecture, name)
    words = ["tlm-edge", "pretrain", *_shape_words(place, run, "--arch")]
    for source in place.corpus(name):
        words += ["--corpus", place.shown(source)]
    if corpus.articles:
        words += ["--articles", str(corpus.articles)]
    if corpus.first_tokens:
        words += ["--first-tokens", str(corpus.first_tokens)]
    words += ["--max-tokens", str(recipe.max_tokens), "--batch-size", str(recipe.batch_size)]
    words += ["--gradient-accumulation", str(recipe.gradient_accumulation)]
    words += ["--optimizer", recipe.optimizer, "--learning-rate", f"{recipe.learning_rate:g}"]
    words += ["--muon-learning-rate", f"{recipe.muon_learning_rate:g}"]
    words += ["--mask-probability", f"{recipe.mask_probability:g}", "--precision", recipe.precision]
    words += ["--compile"] if recipe.compile else []
    return [*words, "--seed", str(run.seed), "--out", place.shown(place.out(run))]


def _finetune_words(place: Place, run: Run) -> list[str]:
    task, recipe = place.plan.tasks[run.task or ""], place.plan.finetuning_of(run.architecture, run.task or "")
    start = _shape_words(place, run, "--from-scratch") if run.corpus is None else [place.shown(place.encoder(run))]
    columns = [word for column in task.text_columns for word in ("--text-column", shlex.quote(column))]
    columns += ["--label-column", shlex.quote(task.label_column)] if task.label_column else []
    words = ["tlm-edge", "finetune", *start, "--data", place.shown(place.source(task.train)), *columns]
    if task.rows_per_label:
        words += ["--rows-per-label", str(task.rows_per_label)]
    words += ["--validation-share", "0", "--epochs", str(recipe.epochs), "--batch-size", str(recipe.batch_size)]
    words += ["--learning-rate", f"{recipe.learning_rate:g}", "--dropout", f"{recipe.dropout:g}"]
    words += ["--mask-probability", f"{recipe.mask_probability:g}", "--precision", recipe.precision]
    words += ["--averaged", "0", *([] if run.corpus is None else ["--plain-start"])]
    out = place.shown(place.out(run))
    words += ["--seed", str(run.seed), "--out", out]
    return [*words, "&&", "tlm-edge", "evaluate", out, "--data", place.shown(place.source(task.test)), *columns]


def _shape(place: Place, run: Run) -> Architecture:
    return place.plan.architectures[run.architecture]


def _shape_words(place: Place, run: Run, option: str) -> list[str]:
    shape = _shape(place, run)
    words = [option, shape.arch, "--tokenizer", place.shown(place.tokenizer())]
    for name, value in (("--hidden-size", shape.hidden_size), ("--heads", shape.heads), ("--layers", shape.layers)):
        words += [] if value is None else [name, str(value)]
    return words
