"""From text and a tokenizer to a pre-trained encoder's checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from tlm_edge.data.token_cache import TokenCache, load_token_cache
from tlm_edge.data.tokenizer import load_tokenizer, write_tokenizer
from tlm_edge.files import new_folder, sha256_file
from tlm_edge.interruption import interruption
from tlm_edge.modeling.checkpoint import (
    load_masked_language_model,
    load_weights,
    read_weights,
    require_weights,
    save_checkpoint,
    tokenizer_vocabulary,
)
from tlm_edge.modeling.config import EncoderConfig, architecture, read_config
from tlm_edge.modeling.growth import grow_from
from tlm_edge.modeling.heads import MaskedLanguageModel
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.model_card import encoder_card
from tlm_edge.training.packing import PackedBlocks
from tlm_edge.training.plot import plot_run
from tlm_edge.training.pretrain import (
    PretrainRecipe,
    PretrainResult,
    Progress,
    TokenIds,
    pretrain,
    run_progress,
)
from tlm_edge.training.provenance import described_sources, environment, named_source
from tlm_edge.training.run import (
    LOG,
    RunFolder,
    RunInterruptedError,
    RunLog,
    check_out,
    close_run,
    finished_result,
    open_run,
    progress_bar,
    read_log,
)
from tlm_edge.training.state import stored_step
from tlm_edge.training.tokens import special_id, special_ids

#: Steps of a run that only its time limits.
_UNLIMITED = 1_000_000_000


@dataclass(frozen=True)
class EncoderSizes:
    """A named architecture, with its sizes overridden where they are given."""

    name: str
    hidden_size: int | None = None
    heads: int | None = None
    layers: int | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class Limits:
    """Where a run ends: at whichever comes first. With none, after one pass over the corpus."""

    tokens: int | None = None
    steps: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class PretrainJob:
    """What to pre-train on what.

    A new encoder has ``sizes`` and a ``tokenizer``; with ``grow_from`` it starts from a shallower checkpoint. Or
    ``checkpoint`` is trained on, with its own sizes and tokenizer. ``recipe.max_steps`` and ``recipe.max_minutes``
    are set from ``limits``.
    """

    corpus: tuple[str, ...]
    out: Path
    recipe: PretrainRecipe
    limits: Limits = Limits()
    sizes: EncoderSizes | None = None
    tokenizer: Path | None = None
    checkpoint: Path | None = None
    grow_from: Path | None = None
    articles: int | None = None
    first_tokens: int | None = None
    half: bool = False


def run_pretrain(job: PretrainJob, *, resume: bool = False, force: bool = False) -> dict[str, Any]:
    """Pre-train and write the checkpoint ``job.out``; return the content of its ``training.json``.

    Raises ``UserError`` for input that doesn't fit, ``RunInterruptedError`` when stopped by a signal.
    """
    check_out(job.out, resume=resume, force=force)
    source = job.checkpoint or job.tokenizer or job.grow_from
    if source is None or (job.sizes is None) == (job.checkpoint is None):
        raise ValueError("a job needs a checkpoint, or the sizes of a new encoder with a tokenizer")
    config, ids = _config_and_ids(job, source)
    with PartialState().main_process_first():
        cache = load_token_cache(job.corpus, source, articles=job.articles, first_tokens=job.first_tokens)
    blocks = PackedBlocks(cache.tokens, cache.starts, length=config.max_position_embeddings, cls=ids.cls, sep=ids.sep)
    job = replace(job, recipe=_limited(job, blocks))
    settings = _settings(job, config, cache)
    if resume and (done := finished_result(job.out, settings)) is not None:
        return done
    torch.manual_seed(job.recipe.seed)
    model = _initial_model(job, config)
    with open_run(job.out, settings, resume=resume, force=force) as run:
        with interruption() as interrupted, _reporting(run, job) as report:
            result = pretrain(
                model, blocks, ids, job.recipe, run.work, report=report, interrupted=lambda: bool(interrupted())
            )
            if not result.finished:
                raise RunInterruptedError(run, interrupted())
        recipe = _recipe(job, settings, cache, result)
        if PartialState().is_main_process:
            _write_checkpoint(job, run, model, source, recipe)
        close_run(run)
    return recipe


def _config_and_ids(job: PretrainJob, source: Path) -> tuple[EncoderConfig, TokenIds]:
    tokenizer = load_tokenizer(source)
    vocab_size = tokenizer.get_vocab_size(with_added_tokens=True)
    cls, sep, mask = (special_id(tokenizer, token, source) for token in ("[CLS]", "[SEP]", "[MASK]"))
    ids = TokenIds(cls, sep, mask, special_ids(tokenizer, source), vocab_size)
    if job.checkpoint is not None:
        config = replace(read_config(job.checkpoint), labels=(), markers=())
        tokenizer_vocabulary(config, vocab_size, job.checkpoint)
        return config, ids
    sizes = job.sizes
    if sizes is None:
        raise ValueError("a new encoder needs sizes")
    config = architecture(
        sizes.name,
        vocab_size=vocab_size,
        hidden_size=sizes.hidden_size,
        heads=sizes.heads,
        layers=sizes.layers,
        max_length=sizes.max_length,
    )
    return replace(config, pad_token_id=special_id(tokenizer, "[PAD]", source)), ids


def _limited(job: PretrainJob, blocks: PackedBlocks) -> PretrainRecipe:
    """The recipe with its number of steps; a corpus too small for a single block is refused."""
    if not len(blocks):
        raise UserError(
            f"{', '.join(job.corpus)}: the corpus has fewer than {blocks.length} tokens, not one block: add text"
        )
    limits, batch = job.limits, job.recipe.batch_size
    steps = [_UNLIMITED]
    if limits.steps is not None:
        steps.append(limits.steps)
    if limits.tokens is not None:
        steps.append(-(-limits.tokens // (batch * blocks.length)))
    if limits == Limits():
        steps.append(-(-len(blocks) // batch))
    return replace(job.recipe, max_steps=max(1, min(steps)), max_minutes=limits.minutes)


def _initial_model(job: PretrainJob, config: EncoderConfig) -> MaskedLanguageModel:
    model = MaskedLanguageModel(config)
    if job.checkpoint is not None:
        # A checkpoint without a prediction head (a classifier's, a bare BertModel's) gets a new one.
        load_weights(model, read_weights(job.checkpoint), job.checkpoint, optional=r"cls\.")
    if job.grow_from is not None:
        grow_from(model, load_masked_language_model(job.grow_from))
    return model


def _settings(job: PretrainJob, config: EncoderConfig, cache: TokenCache) -> dict[str, Any]:
    """What determines the result, as plain JSON values: a run goes on only with the same."""
    base = job.checkpoint or job.grow_from
    return {
        "recipe": asdict(job.recipe),
        "config": asdict(config),
        "corpus": cache.folder.name,
        "base_sha256": None if base is None else sha256_file(require_weights(base)),
        "half": job.half,
    }


@contextmanager
def _reporting(run: RunFolder, job: PretrainJob) -> Iterator[Callable[[Progress], None]]:
    """Yield what writes the log and moves the bar."""
    log = RunLog(run.log, from_step=stored_step(run.work)) if PartialState().is_main_process else None
    measured = ""
    with progress_bar(job.out.name) as show:

        def report(told: Progress) -> None:
            nonlocal measured
            if told.validation_loss is not None:
                measured = f" · validation {told.validation_loss:.3f}"
            speed = f"{told.tokens_per_second / 1000:.1f}k tokens/s"
            note = f"loss {told.loss:.3f} · {speed} · {told.tokens / 1e6:.1f}M tokens{measured}"
            show(run_progress(told.step, told.seconds, job.recipe), 1.0, note)
            if log:
                log.write(event="steps", **asdict(told))

        try:
            yield report
        finally:
            if log:
                log.close()


def _recipe(job: PretrainJob, settings: dict[str, Any], cache: TokenCache, result: PretrainResult) -> dict[str, Any]:
    grown, continued = job.grow_from, job.checkpoint
    return {
        "schema_version": 1,
        "kind": "pretrain",
        "continued_from": None if continued is None else named_source(str(continued)),
        "grown_from": None if grown is None else named_source(str(grown)),
        "corpus": described_sources(job.corpus),
        "corpus_tokens": len(cache.tokens),
        "corpus_documents": len(cache.starts) - 1,
        "articles": job.articles,
        "first_tokens": job.first_tokens,
        "settings": settings,
        "result": {
            "steps": result.step,
            "tokens": result.tokens,
            "seconds": round(result.seconds, 1),
            "validation_loss": result.validation_loss,
        },
        "environment": environment(),
    }


def _write_checkpoint(
    job: PretrainJob, run: RunFolder, model: MaskedLanguageModel, source: Path, recipe: dict[str, Any]
) -> None:
    if not (source / "tokenizer.json").is_file():
        write_tokenizer(source, run.work / "tokenizer", force=True)
        source = run.work / "tokenizer"
    with new_folder(run.out, force=run.force) as folder:
        text = encoder_card(run.out.name, model.config, recipe)
        save_checkpoint(folder, model, source, recipe=recipe, card=text, half=job.half)
        shutil.copyfile(run.log, folder / LOG)
        plot_run(read_log(run.log), folder / "training.png", run.out.name)
