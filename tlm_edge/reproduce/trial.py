"""How fast architectures are that no run has finished with: a few steps of their training, on made-up tokens."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tlm_edge.data.tasks import draw_rows, load_task
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.config import EncoderConfig, architecture
from tlm_edge.modeling.heads import MaskedLanguageModel, SequenceClassifier
from tlm_edge.reproduce.estimate import Rates
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.runs import Run
from tlm_edge.training.examples import EncodedExamples, encode_examples
from tlm_edge.training.finetune import EpochResult, FinetuneProgress, FinetuneRecipe, FinetuneTokenIds, finetune
from tlm_edge.training.packing import PackedBlocks
from tlm_edge.training.pretrain import PretrainRecipe, Progress, TokenIds, pretrain

#: Seconds that each of the two trainings of an architecture is tried for, its first step not counted.
_TRIAL = 3.0
#: Floating-point operations that a processor is asked for in a step: seconds of one core.
_STEP = 2e11
#: Seconds that a run takes to start and to end, and the share of a training token's time that answering one takes.
_AROUND, _ANSWERING = 6.0, 0.4
#: Texts that tell how long those of a task are.
_SAMPLE = 500


def trial_rates(place: Place, runs: Iterable[Run], known: Rates, threads: int) -> Rates:
    """Rates of this machine for what of ``runs`` isn't ``known``; left out for tasks whose rows aren't here yet.

    The numbers of tokens in the texts of a task are those of a sample.
    """
    torch.set_num_threads(threads)
    runs, found = list(runs), Rates()
    vocab_size = place.plan.vocab_size or _vocabulary(place)
    for run in runs:
        config = _config(place, run.architecture, vocab_size) if run.kind != "prepare" else None
        if config is None:
            continue
        if run.kind == "pretrain" and run.architecture not in known.joined(found).tokens_per_second:
            recipe = place.plan.pretraining_of(run.architecture, run.corpus or "")
            found.tokens_per_second[run.architecture] = _pretrain_speed(config, recipe.optimizer, recipe.batch_size)
        names = run.architecture, run.task or ""
        if run.kind == "finetune" and names not in known.joined(found).finetune_seconds:
            tuning, work = place.plan.finetuning_of(*names), _task_tokens(place, run.task or "")
            if work is not None:
                speed = _finetune_speed(config, tuning.batch_size, work[2])
                tokens = tuning.epochs * work[0] + _ANSWERING * work[1]
                found.finetune_seconds[names] = _AROUND + tokens / speed
    return found


def _vocabulary(place: Place) -> int:
    home = place.tokenizer()
    return load_tokenizer(home).get_vocab_size() if home.exists() else 30_522


def _config(place: Place, name: str, vocab_size: int) -> EncoderConfig:
    shape = place.plan.architectures[name]
    return architecture(
        shape.arch, vocab_size=vocab_size, hidden_size=shape.hidden_size, heads=shape.heads, layers=shape.layers
    )


def _task_tokens(place: Place, name: str) -> tuple[float, float, int] | None:
    """Tokens of the task's training and test rows, and of a row; None where they aren't on this machine."""
    plan = place.plan.tasks[name]
    sources = [place.source(plan.train), place.source(plan.test)]
    if not place.tokenizer().exists() or any(not Path(source).exists() for source in sources):
        return None
    columns = {"text_columns": plan.text_columns, "label_column": plan.label_column}
    train, test = (load_task(source, **columns).splits["train"] for source in sources)  # type: ignore[arg-type]
    if plan.rows_per_label:
        train = draw_rows(train, plan.rows_per_label)
    chosen = np.random.default_rng(0).permutation(len(train))[:_SAMPLE]
    texts = [train.texts[row] for row in chosen]
    encoded = encode_examples(load_tokenizer(place.tokenizer()), texts, train.labels[chosen], 128)
    length = float(encoded.lengths.mean())
    return length * len(train), length * len(test), max(3, round(length))


def _pretrain_speed(config: EncoderConfig, optimizer: str, batch_size: int) -> float:
    """Tokens a second."""
    model, length = MaskedLanguageModel(config), config.max_position_embeddings
    batch = _batch(model, batch_size, length)
    tokens = np.random.default_rng(0).integers(5, config.vocab_size, batch * length, dtype=np.uint32)
    blocks = PackedBlocks(tokens, np.array([0, len(tokens)]), length=length, cls=2, sep=3)
    recipe = PretrainRecipe(max_steps=1000, batch_size=min(batch, len(blocks)), optimizer=optimizer)
    with tempfile.TemporaryDirectory() as folder:
        told: list[Progress] = []
        pretrain(
            model,
            blocks,
            TokenIds(2, 3, 4, (0, 1, 2, 3, 4), config.vocab_size),
            recipe,
            Path(folder),
            report=told.append,
            interrupted=_after(told),
            report_every=1,
        )
    return statistics.median(step.tokens_per_second for step in told[1:])


def _finetune_speed(config: EncoderConfig, batch_size: int, length: int) -> float:
    """Tokens a second, on rows of ``length``."""
    config = replace(config, labels=("0", "1"))
    model, generator = SequenceClassifier(config), np.random.default_rng(0)
    batch = _batch(model, batch_size, length)
    rows = 1000 * batch
    tokens = np.tile(generator.integers(5, config.vocab_size, length * batch, dtype=np.int32), 1000)
    examples = EncodedExamples(
        tokens, np.arange(rows + 1) * length, generator.integers(0, 2, rows), np.zeros(rows, dtype=np.int64)
    )
    with tempfile.TemporaryDirectory() as folder:
        told: list[FinetuneProgress | EpochResult] = []
        finetune(
            model,
            examples,
            None,
            FinetuneTokenIds(0, 4, (0, 1, 2, 3, 4)),
            FinetuneRecipe(epochs=1, batch_size=batch),
            Path(folder),
            report=told.append,
            interrupted=_after(told),
            report_every=1,
        )
    return statistics.median(step.tokens_per_second for step in told[1:] if isinstance(step, FinetuneProgress))


def _batch(model: torch.nn.Module, wanted: int, length: int) -> int:
    """As many rows as a step takes; fewer on a processor that would compute it for minutes, which makes it slower."""
    if torch.cuda.is_available():
        return wanted
    weights = sum(parameter.numel() for parameter in model.parameters())
    return max(2, min(wanted, round(_STEP / (6 * weights * length))))


def _after(told: list[Progress] | list[FinetuneProgress | EpochResult]) -> Callable[[], bool]:
    """Whether the trial is over: two steps at least, and seconds enough."""
    started = time.monotonic()
    return lambda: len(told) > 2 and time.monotonic() - started > _TRIAL
