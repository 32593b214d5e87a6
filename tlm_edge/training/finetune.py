"""Fine-tuning a classifier: one optimiser step after another, each a pure function of seed and number."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.files import new_file
from tlm_edge.modeling.heads import SequenceClassifier, set_dropout
from tlm_edge.training.averaging import RunningMean
from tlm_edge.training.counters import Clock, Counters
from tlm_edge.training.examples import EncodedExamples, epoch_batches, mask_at_random
from tlm_edge.training.metrics import ClassificationMetrics
from tlm_edge.training.optimizer import build_optimizers, one_cycle, set_learning_rates
from tlm_edge.training.processes import agreed, denormals_flushed, mixed_precision, step_seed
from tlm_edge.training.scoring import evaluate_examples
from tlm_edge.training.state import load_state, save_state

#: The weights of the best epoch so far, beside the state of the run.
BEST = "best.safetensors"


@dataclass(frozen=True)
class FinetuneRecipe:
    """Everything that determines a fine-tuning run besides model, data and tokenizer.

    ``batch_size`` counts rows an optimiser step, over all processes. ``mask_probability`` is the share of tokens
    hidden as augmentation. ``patience`` is the number of epochs without improvement after which the run ends, but not
    before ``least_steps``, for which few rows are passed over more than ``epochs`` times. ``plain_start`` begins with
    [CLS] as it was pre-trained and a random head, as BERT does, instead of what ``start`` makes of them. What is scored
    and kept is the mean of the weights over about the last ``averaged`` of the run's steps, 0 for no mean.
    """

    epochs: int = 8
    least_steps: int = 0
    plain_start: bool = False
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: float = 0.08
    gradient_clip: float = 1.0
    dropout: float = 0.1
    mask_probability: float = 0.3
    label_smoothing: float = 0.0
    class_balance: bool = False
    patience: int = 3
    averaged: float = 0.125
    seed: int = 0
    precision: str = "auto"


@dataclass(frozen=True)
class FinetuneTokenIds:
    """The ids that masking needs: [PAD], [MASK], and all special tokens, which are never hidden."""

    pad: int
    mask: int
    special: tuple[int, ...]


@dataclass(frozen=True)
class FinetuneProgress:
    """What some steps report: ``loss`` is their mean; ``tokens`` are counted without padding from the start."""

    step: int
    steps: int
    epoch: int
    tokens: int
    loss: float
    learning_rate: float
    seconds: float
    tokens_per_second: float


@dataclass(frozen=True)
class EpochResult:
    """The validation scores at the end of ``epoch``, counted from 1, and whether they are the best so far."""

    epoch: int
    step: int
    metrics: ClassificationMetrics
    best: bool


@dataclass(frozen=True)
class FinetuneResult:
    """How a run ended. ``finished`` is False when it was interrupted and can be resumed.

    ``best_epoch`` is the epoch whose weights the model now has; ``validation`` its scores, None without validation
    rows.
    """

    step: int
    epochs: int
    best_epoch: int
    tokens: int
    seconds: float
    validation: ClassificationMetrics | None
    finished: bool


@denormals_flushed()
def finetune(
    model: SequenceClassifier,
    train: EncodedExamples,
    validation: EncodedExamples | None,
    ids: FinetuneTokenIds,
    recipe: FinetuneRecipe,
    folder: Path,
    *,
    report: Callable[[FinetuneProgress | EpochResult], None],
    interrupted: Callable[[], bool] = lambda: False,
    report_every: int = 20,
    save_every_seconds: float = 60.0,
) -> FinetuneResult:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    The state of the run is kept in ``folder``, and continued from if there is one. Runs in one process, or in each
    of several started by torchrun or ``accelerate launch``, which share every batch.
    """
    accelerator = Accelerator(mixed_precision=mixed_precision(recipe.precision))
    set_dropout(model, recipe.dropout)
    optimizers = build_optimizers(
        model, name="adamw", learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps_an_epoch = -(-len(train) // recipe.batch_size)
    steps = steps_an_epoch * max(recipe.epochs, -(-recipe.least_steps // steps_an_epoch))
    mean = RunningMean(model, recipe.averaged * steps)
    counters = Counters(**(load_state(folder, mean.state, optimizers) or {}))
    wrapped, *prepared = accelerator.prepare(_LossModule(model, recipe.label_smoothing), *optimizers)
    clock = Clock(counters.seconds, counters.tokens)

    def save() -> None:
        counters.seconds = clock.elapsed()
        _save(accelerator, folder, mean.state, optimizers, counters)
        clock.saved = time.monotonic()

    while counters.goes_on(steps, least_steps=recipe.least_steps, patience=recipe.patience):
        epoch, done = divmod(counters.step, steps_an_epoch)
        balance = recipe.class_balance
        batches = epoch_batches(train, recipe.batch_size, class_balance=balance, seed=recipe.seed, epoch=epoch)
        model.train()
        for rows in batches[done:]:
            set_learning_rates(optimizers, one_cycle((counters.step + 1) / (steps + 1), recipe.warmup))
            batch = _batch(train, rows, ids, recipe, counters.step)
            counters.losses.append(_step(accelerator, wrapped, prepared, batch, recipe, counters.step))
            mean.update()
            counters.tokens += int(batch.attention_mask.sum())
            counters.step += 1
            ended = counters.step % steps_an_epoch == 0
            if ended or counters.step % report_every == 0:
                rate = clock.tokens_per_second(counters.tokens)
                learning_rate = float(optimizers[0].param_groups[0]["lr"])
                loss = sum(counters.losses) / len(counters.losses)
                counters.losses = []
                place = (counters.step, steps, epoch + 1, counters.tokens)
                report(FinetuneProgress(*place, loss, learning_rate, clock.elapsed(), rate))
            stop = agreed(accelerator, interrupted()) and counters.step < steps
            # An epoch of a few rows takes less time than saving does: without scores its end is no reason to.
            due = time.monotonic() - clock.saved > save_every_seconds
            if ended and validation is not None:
                report(_validate(accelerator, folder, mean.model, validation, ids, counters, epoch + 1))
                due = True
            if due or stop:
                save()
            if stop:
                return FinetuneResult(counters.step, epoch, 0, counters.tokens, clock.elapsed(), None, finished=False)
    accelerator.wait_for_everyone()
    model.load_state_dict(mean.model.state_dict() if validation is None else load_file(folder / BEST))
    scores = None if validation is None else evaluate_examples(model, validation, ids.pad, accelerator)
    model.eval()
    epochs = counters.step // steps_an_epoch
    best_epoch = counters.best_epoch or epochs
    return FinetuneResult(counters.step, epochs, best_epoch, counters.tokens, clock.elapsed(), scores, finished=True)


def _validate(
    accelerator: Accelerator,
    folder: Path,
    model: SequenceClassifier,
    validation: EncodedExamples,
    ids: FinetuneTokenIds,
    counters: Counters,
    epoch: int,
) -> EpochResult:
    """Score the end of ``epoch`` and keep the weights if it is the best so far."""
    metrics = evaluate_examples(model, validation, ids.pad, accelerator)
    best = counters.rate(metrics, epoch)
    if best:
        _save_best(accelerator, folder, model)
    return EpochResult(epoch, counters.step, metrics, best)


def _save(
    accelerator: Accelerator,
    folder: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    counters: Counters,
) -> None:
    if accelerator.is_main_process:
        save_state(folder, model, optimizers, asdict(counters))


def _save_best(accelerator: Accelerator, folder: Path, model: nn.Module) -> None:
    if accelerator.is_main_process:
        with new_file(folder / BEST) as temporary:
            save_file(model.state_dict(), temporary)


@dataclass(frozen=True)
class _Batch:
    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    targets: NDArray[np.int64] | NDArray[np.float32]


def _batch(
    examples: EncodedExamples, rows: NDArray[np.int64], ids: FinetuneTokenIds, recipe: FinetuneRecipe, step: int
) -> _Batch:
    input_ids, attention_mask = examples.batch(rows, ids.pad)
    masked = mask_at_random(
        input_ids,
        probability=recipe.mask_probability,
        special=np.array(ids.special),
        mask=ids.mask,
        generator=np.random.default_rng([recipe.seed, step, 12]),
    )
    targets = examples.labels if examples.targets is None else examples.targets
    return _Batch(masked, attention_mask, targets[rows])


class _LossModule(nn.Module):
    """The summed loss as a module's forward, which is what distributed wrappers hook into."""

    def __init__(self, model: SequenceClassifier, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, input_ids: Tensor, attention_mask: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(input_ids, attention_mask).float()
        return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.label_smoothing)


def _step(
    accelerator: Accelerator,
    loss_module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    batch: _Batch,
    recipe: FinetuneRecipe,
    step: int,
) -> float:
    """One optimiser step on ``batch``, of which every process takes its share; the mean loss over all rows."""
    torch.manual_seed(step_seed(recipe.seed, step, accelerator.process_index))
    mine = slice(accelerator.process_index, None, accelerator.num_processes)
    share = (
        torch.from_numpy(array[mine]).to(accelerator.device)
        for array in (batch.input_ids, batch.attention_mask, batch.targets)
    )
    with accelerator.autocast():
        loss = loss_module(*share) / len(batch.targets)
    # Distributed wrappers average gradients over processes; the loss is a sum over them.
    accelerator.backward(loss * accelerator.num_processes)
    accelerator.clip_grad_norm_(loss_module.parameters(), recipe.gradient_clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(accelerator.reduce(loss.detach(), "sum"))
