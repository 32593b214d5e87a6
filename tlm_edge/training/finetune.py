"""Fine-tuning a classifier: one optimiser step after another, each a pure function of seed and number."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.files import new_file
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.runtime.classifier import batches_by_length
from tlm_edge.training.examples import EncodedExamples, epoch_batches, mask_at_random
from tlm_edge.training.metrics import ClassificationMetrics, classification_metrics
from tlm_edge.training.optimizer import bf16_is_native, build_optimizers, one_cycle, set_learning_rates
from tlm_edge.training.state import load_state, save_state

#: The weights of the best epoch so far, beside the state of the run.
BEST = "best.safetensors"
#: Tokens of a validation batch, padding included.
_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class FinetuneRecipe:
    """Everything that determines a fine-tuning run besides model, data and tokenizer.

    ``batch_size`` counts rows an optimiser step, over all processes. ``mask_probability`` is the share of tokens
    hidden as augmentation. ``patience`` is the number of epochs without improvement after which the run ends.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: float = 0.08
    gradient_clip: float = 1.0
    dropout: float = 0.1
    mask_probability: float = 0.15
    label_smoothing: float = 0.0
    class_balance: bool = False
    patience: int = 3
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
    torch.set_flush_denormal(True)
    accelerator = Accelerator(mixed_precision=_mixed_precision(recipe.precision))
    optimizers = build_optimizers(
        model, name="adamw", learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps_an_epoch = -(-len(train) // recipe.batch_size)
    steps = steps_an_epoch * recipe.epochs
    counters = load_state(folder, model, optimizers) or {
        "step": 0, "tokens": 0, "seconds": 0.0, "losses": [], "best_epoch": 0, "best_score": None
    }  # fmt: skip
    wrapped, *prepared = accelerator.prepare(_LossModule(model, recipe.label_smoothing), *optimizers)
    step, tokens, before = int(counters["step"]), int(counters["tokens"]), float(counters["seconds"])
    losses: list[float | Tensor] = list(counters["losses"])
    best_epoch, best_score = int(counters["best_epoch"]), counters["best_score"]
    started = saved = reported_at = time.monotonic()
    reported_tokens = tokens
    best_metrics: ClassificationMetrics | None = None

    def elapsed() -> float:
        return before + time.monotonic() - started

    def save() -> None:
        if accelerator.is_main_process:
            state: dict[str, Any] = {"step": step, "tokens": tokens, "seconds": elapsed()}
            state["losses"] = [float(loss) for loss in losses]
            save_state(folder, model, optimizers, state | {"best_epoch": best_epoch, "best_score": best_score})

    while step < steps and step // steps_an_epoch < best_epoch + recipe.patience + (best_epoch == 0) * recipe.epochs:
        epoch = step // steps_an_epoch
        batches = epoch_batches(
            train, recipe.batch_size, class_balance=recipe.class_balance, seed=recipe.seed, epoch=epoch
        )
        model.train()
        for rows in batches[step % steps_an_epoch :]:
            set_learning_rates(optimizers, one_cycle((step + 1) / (steps + 1), recipe.warmup))
            losses.append(_step(accelerator, wrapped, prepared, train, rows, ids, recipe, step))
            tokens += int(train.lengths[rows].sum())
            step += 1
            if step % report_every == 0 or step % steps_an_epoch == 0:
                loss = float(np.mean([float(value) for value in losses]))
                now = time.monotonic()
                rate = (tokens - reported_tokens) / (now - reported_at)
                rate_of_learning = float(optimizers[0].param_groups[0]["lr"])
                report(FinetuneProgress(step, steps, epoch + 1, tokens, loss, rate_of_learning, elapsed(), rate))
                reported_at, reported_tokens, losses = now, tokens, []
            if step % steps_an_epoch == 0:
                break
            stop = _agreed(accelerator, interrupted())
            if stop or time.monotonic() - saved > save_every_seconds:
                save()
                saved = time.monotonic()
            if stop:
                return FinetuneResult(step, epoch, best_epoch, tokens, elapsed(), None, finished=False)
        if validation is not None:
            metrics = evaluate_examples(model, validation, ids.pad, accelerator)
            # Accuracy decides; among equals the lower loss.
            score = [metrics.accuracy, -metrics.loss]
            best = best_score is None or score > best_score
            if best:
                best_epoch, best_score, best_metrics = epoch + 1, score, metrics
                if accelerator.is_main_process:
                    _save_best(folder / BEST, model)
            report(EpochResult(epoch + 1, step, metrics, best))
            reported_at = time.monotonic()
        save()
        saved = time.monotonic()
    epochs = step // steps_an_epoch
    if validation is not None:
        accelerator.wait_for_everyone()
        model.load_state_dict(load_file(folder / BEST))
        best_metrics = best_metrics or evaluate_examples(model, validation, ids.pad, accelerator)
    return FinetuneResult(step, epochs, best_epoch or epochs, tokens, elapsed(), best_metrics, finished=True)
