"""Masked-language-model pre-training: one optimiser step after another, each a pure function of seed and number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from tlm_edge.modeling.heads import MaskedLanguageModel, set_dropout
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.fused_loss import masked_language_model_loss
from tlm_edge.training.masking import MaskedBatch, mask_tokens
from tlm_edge.training.optimizer import build_optimizers, one_cycle, set_learning_rates
from tlm_edge.training.packing import PackedBlocks, shuffled_indices
from tlm_edge.training.processes import agreed, denormals_flushed, mixed_precision, shared_seconds, step_seed
from tlm_edge.training.state import load_state, save_state

#: Blocks kept out of training to measure the loss on, and the share of the corpus they may take at most.
HELD_OUT_BLOCKS = 512
HELD_OUT_SHARE = 0.02
#: Of held-out blocks always as many tokens are to be guessed, so that losses of different recipes can be compared.
HELD_OUT_MASK_PROBABILITY = 0.15


@dataclass(frozen=True)
class PretrainRecipe:
    """Everything that determines a pre-training run besides model, corpus and tokenizer.

    ``batch_size`` counts blocks an optimiser step, over all processes and accumulation steps. The run ends at
    ``max_steps`` or ``max_minutes``, whichever comes first; the learning rate follows whichever is nearer its end.
    """

    max_steps: int
    max_minutes: float | None = None
    batch_size: int = 64
    gradient_accumulation: int = 1
    learning_rate: float = 2e-3
    muon_learning_rate: float = 0.02
    optimizer: str = "muon"
    weight_decay: float = 0.01
    warmup: float = 0.05
    mask_probability: float = 0.15
    gradient_clip: float = 1.0
    dropout: float = 0.0
    seed: int = 0
    precision: str = "auto"
    compile: bool = False


@dataclass(frozen=True)
class TokenIds:
    """The special tokens' ids and the size of the vocabulary."""

    cls: int
    sep: int
    mask: int
    special: tuple[int, ...]
    vocab_size: int


@dataclass(frozen=True)
class Progress:
    """What a step reports: ``loss`` in nats a guessed token; ``validation_loss`` only where it was measured."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    seconds: float
    tokens_per_second: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class PretrainResult:
    """How a run ended. ``finished`` is False when it was interrupted and can be resumed."""

    step: int
    tokens: int
    seconds: float
    validation_loss: float | None
    finished: bool


@denormals_flushed()
def pretrain(
    model: MaskedLanguageModel,
    blocks: PackedBlocks,
    ids: TokenIds,
    recipe: PretrainRecipe,
    folder: Path,
    *,
    report: Callable[[Progress], None],
    interrupted: Callable[[], bool] = lambda: False,
    report_every: int = 20,
    validate_every: int = 500,
    save_every_seconds: float = 300.0,
) -> PretrainResult:
    """Train ``model`` in place; keep the state of the run in ``folder`` and continue from it if there is one.

    Runs in one process, or in each of several started by torchrun or ``accelerate launch``. The losses are the same
    for any number of processes that divides the batch, up to the order of float sums (and dropout, if there is any).

    Raises ``UserError`` if the batch can't be shared evenly, or if the state belongs to another run.
    """
    accelerator = Accelerator(mixed_precision=mixed_precision(recipe.precision))
    _check_batch(recipe, accelerator.num_processes)
    held_out = min(HELD_OUT_BLOCKS, int(len(blocks) * HELD_OUT_SHARE))
    training_blocks = len(blocks) - held_out
    optimizers = build_optimizers(
        model,
        name=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        muon_learning_rate=recipe.muon_learning_rate,
        weight_decay=recipe.weight_decay,
        device=accelerator.device,
    )
    set_dropout(model, recipe.dropout)
    counters = load_state(folder, model, optimizers) or {"step": 0, "seconds": 0.0}
    wrapped, *prepared = accelerator.prepare(_LossModule(model, compiled=recipe.compile), *optimizers)
    step, before = int(counters["step"]), float(counters["seconds"])
    tokens_a_step = recipe.batch_size * blocks.length
    started = saved = time.monotonic()
    reported_at, reported_step = started, step
    losses: list[float | Tensor] = list(counters.get("losses", []))
    validation_loss: float | None = counters.get("validation_loss")
    wrapped.train()

    def elapsed() -> float:
        return before + time.monotonic() - started

    def state() -> dict[str, Any]:
        # Losses not reported yet go along, so that a resumed run reports the same means.
        pending = [float(loss) for loss in losses]
        return {"step": step, "seconds": elapsed(), "validation_loss": validation_loss, "losses": pending}

    def progress() -> float:
        seconds = shared_seconds(accelerator, elapsed()) if recipe.max_minutes else 0.0
        return run_progress(step, seconds, recipe)

    while (done := progress()) < 1.0:
        factor = one_cycle(done, recipe.warmup) if step else 1 / max(1.0, recipe.warmup * recipe.max_steps)
        set_learning_rates(optimizers, factor)
        indices = shuffled_indices(step, recipe.batch_size, training_blocks, recipe.seed)
        losses.append(_step(accelerator, wrapped, prepared, blocks.read(indices), ids, recipe, step))
        step += 1
        if step % report_every == 0 or step == recipe.max_steps:
            now = time.monotonic()
            if step % validate_every == 0:
                validation_loss = _validate(model, accelerator, blocks, held_out, ids, recipe)
            rate = (step - reported_step) * tokens_a_step / (now - reported_at)
            mean = sum(float(loss) for loss in losses) / len(losses)
            measured = validation_loss if step % validate_every == 0 else None
            report(Progress(step, step * tokens_a_step, mean, _peak(optimizers), elapsed(), rate, measured))
            reported_at, reported_step, losses = time.monotonic(), step, []
        stop = agreed(accelerator, interrupted())
        if accelerator.is_main_process and (stop or time.monotonic() - saved > save_every_seconds):
            save_state(folder, model, optimizers, state())
            saved = time.monotonic()
        if stop:
            return PretrainResult(step, step * tokens_a_step, elapsed(), validation_loss, finished=False)
    validation_loss = _validate(model, accelerator, blocks, held_out, ids, recipe)
    return PretrainResult(step, step * tokens_a_step, elapsed(), validation_loss, finished=True)


class _LossModule(nn.Module):
    """The loss as a module's forward, which is what distributed wrappers hook into."""

    def __init__(self, model: MaskedLanguageModel, *, compiled: bool) -> None:
        super().__init__()
        self.model = model
        self.features = torch.compile(model.features) if compiled else model.features

    def forward(self, input_ids: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
        features = self.features(input_ids, None, rows).flatten(0, 1)
        decoder = self.model.encoder.embeddings.word.weight
        return masked_language_model_loss(features, decoder, self.model.decoder_bias, targets.flatten())


def _step(
    accelerator: Accelerator,
    loss_module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    batch: NDArray[np.int64],
    ids: TokenIds,
    recipe: PretrainRecipe,
    step: int,
) -> Tensor:
    """One optimiser step on ``batch`` (batch, length); the mean loss over all processes."""
    masked = _mask(batch, ids, recipe.mask_probability, np.random.default_rng([recipe.seed, step, 2]))
    torch.manual_seed(step_seed(recipe.seed, step, accelerator.process_index))
    total = torch.zeros((), device=accelerator.device)
    parts = list(_shares(masked, accelerator, recipe.gradient_accumulation))
    for number, (input_ids, rows, targets) in enumerate(parts):
        last = number == len(parts) - 1
        with accelerator.autocast() if last else accelerator.no_sync(loss_module), accelerator.autocast():
            loss = loss_module(input_ids, rows, targets) / len(parts)
            accelerator.backward(loss)
        total += loss.detach()
    accelerator.clip_grad_norm_(loss_module.parameters(), recipe.gradient_clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    mean: Tensor = accelerator.reduce(total, "mean")
    return mean


def _shares(masked: MaskedBatch, accelerator: Accelerator, accumulation: int) -> Iterator[tuple[Tensor, ...]]:
    """What this process takes of the batch, cut into accumulation steps."""
    processes = accelerator.num_processes
    for part in range(accumulation):
        mine = slice(part * processes + accelerator.process_index, None, processes * accumulation)
        yield tuple(
            torch.from_numpy(array[mine]).to(accelerator.device)
            for array in (masked.input_ids, masked.rows, masked.targets)
        )


@torch.no_grad()
def _validate(
    model: MaskedLanguageModel,
    accelerator: Accelerator,
    blocks: PackedBlocks,
    held_out: int,
    ids: TokenIds,
    recipe: PretrainRecipe,
) -> float | None:
    """Mean loss on the held-out blocks, masked the same way every time and whatever the share in training.

    None if the corpus is too small for any.
    """
    if not held_out:
        return None
    model.eval()
    generator = np.random.default_rng([recipe.seed, 3])
    first = len(blocks) - held_out
    losses = []
    for start in range(first, len(blocks), 64):
        indices = np.arange(start, min(start + 64, len(blocks)))
        masked = _mask(blocks.read(indices), ids, HELD_OUT_MASK_PROBABILITY, generator)
        input_ids, rows, targets = (
            torch.from_numpy(array).to(accelerator.device) for array in (masked.input_ids, masked.rows, masked.targets)
        )
        with accelerator.autocast():
            features = model.features(input_ids, None, rows).flatten(0, 1)
            loss = masked_language_model_loss(
                features, model.encoder.embeddings.word.weight, model.decoder_bias, targets.flatten()
            )
        losses.append((loss.item(), len(indices)))
    model.train()
    return sum(loss * count for loss, count in losses) / held_out


def _mask(batch: NDArray[np.int64], ids: TokenIds, probability: float, generator: np.random.Generator) -> MaskedBatch:
    return mask_tokens(
        batch,
        probability=probability,
        special=np.array(ids.special),
        mask=ids.mask,
        vocab_size=ids.vocab_size,
        generator=generator,
    )


def run_progress(step: int, seconds: float, recipe: PretrainRecipe) -> float:
    """How much of the run is done, 0 … 1, by steps or by time, whichever is further."""
    timed = seconds / (60 * recipe.max_minutes) if recipe.max_minutes else 0.0
    return max(step / recipe.max_steps, timed)


def _check_batch(recipe: PretrainRecipe, processes: int) -> None:
    parts = processes * recipe.gradient_accumulation
    if recipe.batch_size % parts:
        raise UserError(
            f"--batch-size {recipe.batch_size} can't be shared evenly by {processes} processes with "
            f"{recipe.gradient_accumulation} accumulation steps: choose a multiple of {parts}"
        )


def _peak(optimizers: list[torch.optim.Optimizer]) -> float:
    return float(optimizers[-1].param_groups[0]["lr"])
