"""BERT-6 that may exit early: its first layers with a readout of their own, and all six only where those are undecided.

In the spirit of DeeBERT (Xin et al., arXiv 2004.12993) and PABEE (Zhou et al., arXiv 2006.04152), as a cascade of two
members: the first layers, cut from the fine-tuned BERT-6 and fine-tuned on with all of it as their teacher, and BERT-6
itself. What the first layers said stays in the vote; votes are weighted and the margin is calibrated on the weighing
rows, as those of the committees are. Each member is a file of its own, so that a text that goes on begins again;
``shared_trunk`` tells what it would take at least if it didn't have to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contenders.contender import Contender
from contenders.figures import Turns, model_samples, summary
from contenders.ours import TARGETS, calibrated, members_asked, training_settings, weighted
from contenders.rows import Rows

NAME = "BERT-6 early exit"
#: After how many layers an exit is tried: three of them alone take more than the exit after two does on average.
DEPTHS = (1, 2)
#: Passes of the first layers over all rows, then over those with titles, the form that will be read, as BERT-6's were.
PASSES, TITLED_PASSES = 2, 2
LEARNING_RATE, TITLED_LEARNING_RATE = 3e-4, 2e-4


@dataclass(frozen=True)
class Exit:
    """An exit after so many ``layers``, as the weighing rows that certified its margin saw it.

    ``goes_on`` is the share of texts that BERT-6 is asked of, ``accuracy`` that of both together as they are asked,
    ``multiply_adds`` the mean of a text of the longest length.
    """

    layers: int
    first: Path
    cascade: Path
    goes_on: float
    accuracy: float
    multiply_adds: float

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if not isinstance(value, Path)}


def exits(rows: Rows, work: Path, deep: Path) -> tuple[Exit, ...]:
    """The exits of BERT-6, ``deep``, after each of ``DEPTHS``, trained and calibrated unless ``work`` holds them."""
    return tuple(_exit(layers, rows, work, deep) for layers in DEPTHS)


def cheapest(tried: Sequence[Exit]) -> Exit:
    """The exit by which a text takes the fewest multiply-adds, by the weighing rows."""
    return min(tried, key=lambda each: each.multiply_adds)


def models(chosen: Exit, ngrams: Path, rows: Rows, work: Path, deep: Path) -> dict[str, Path]:
    """What takes part, by name: the exit, the exit with the n-grams that help the committees, its layers alone."""
    mixed = weighted([chosen.first, deep, ngrams], rows, work / f"exit-{chosen.layers}-mixed")
    return {
        first_layers(chosen.layers): chosen.first,
        NAME: chosen.cascade,
        f"{NAME} + n-grams": calibrated(mixed, rows, work / f"exit-{chosen.layers}-mixed-cascade"),
    }


def first_layers(layers: int) -> str:
    """What the first ``layers`` alone are called."""
    return "BERT-6's first layer" if layers == 1 else f"BERT-6's first {layers} layers"


def told(
    tried: Sequence[Exit], contenders: Sequence[Contender], turns: dict[str, Turns], timed: Sequence[str]
) -> dict[str, Any]:
    """What is kept beside the rows: the exits that were tried, the training, the time that a shared trunk would take.

    ``turns`` are those of each contender by name, ``timed`` the texts of them.
    """
    chosen = cheapest(tried)
    by_name = {contender.name: contender for contender in contenders}
    trunks = {}
    for target in TARGETS:
        both, first = (f"{name}, {target} int8" for name in (NAME, first_layers(chosen.layers)))
        if both in by_name and first in by_name:
            goes_on = members_asked(by_name[both].folder, timed) > 1
            model_ms = shared_trunk(turns[both], turns[first], goes_on)
            trunks[target] = {"provenance": "estimated", "goes_on": float(goes_on.mean()), "model_ms": model_ms}
    return {
        "layers": chosen.layers,
        "tried": [each.to_json() for each in tried],
        "training": {
            "teacher": "BERT-6",
            "with_it": training_settings(_taught(chosen.first)),
            "then": training_settings(chosen.first),
        },
        "shared_trunk": trunks,
    }


def shared_trunk(both: Turns, first: Turns, goes_on: np.ndarray) -> dict[str, float]:
    """The least model time, ms, if a text that goes on kept what its first layers have computed: estimated.

    ``both`` are the turns of the early exit, ``first`` those of its first layers alone in the same rounds, and
    ``goes_on`` (texts,) whether BERT-6 is asked. A shared trunk saves no more than all that the first layers took.
    """
    return summary(model_samples(both) - model_samples(first) * goes_on)


def _exit(layers: int, rows: Rows, work: Path, deep: Path) -> Exit:
    from tlm_edge.compile.inspect import inspect_model
    from tlm_edge.modeling.stored_cascade import read_cascade

    first = _first_layers(layers, rows, work, deep)
    both = weighted([first, deep], rows, work / f"exit-{layers}-both")
    cascade = calibrated(both, rows, work / f"exit-{layers}-cascade")
    stored = read_cascade(cascade)
    assert stored is not None
    costs = [inspect_model(model).rewritten[-1].multiply_adds for model in (first, deep)]
    goes_on = stored.mean_members - 1
    multiply_adds = costs[stored.order[0]] + goes_on * costs[stored.order[1]]
    return Exit(layers, first, cascade, goes_on, stored.accuracy, multiply_adds)


def _first_layers(layers: int, rows: Rows, work: Path, deep: Path) -> Path:
    """The classifier of the first ``layers``; an interrupted training goes on."""
    out = work / f"exit-{layers}"
    taught = _taught(out)
    # The teacher as its int8 bundle, which says the same in a third of the time.
    _train(deep, taught, rows.sources, layers, PASSES, LEARNING_RATE, teacher=deep / "onnx-int8")
    return _train(taught, out, rows.sources[:1], layers, TITLED_PASSES, TITLED_LEARNING_RATE)


def _taught(first: Path) -> Path:
    """Where the first layers are before their last passes."""
    return first.with_name(f"{first.name}-taught")


def _train(
    start: Path,
    out: Path,
    data: tuple[str, ...],
    layers: int,
    passes: int,
    learning_rate: float,
    teacher: Path | None = None,
) -> Path:
    from tlm_edge.training.classification import FinetuneJob
    from tlm_edge.training.distillation import Distillation
    from tlm_edge.training.finetune import FinetuneRecipe
    from tlm_edge.training.finetune_job import run_finetune
    from tlm_edge.training.run import work_folder

    if not out.exists():
        # As BERT-6 itself was fine-tuned (models/train.sh).
        recipe = FinetuneRecipe(
            epochs=passes, learning_rate=learning_rate, mask_probability=0.15, class_balance=True, averaged=0.0, seed=1
        )
        distillation = None if teacher is None else Distillation(teacher)
        job = FinetuneJob(
            data, out, recipe, start, layers=layers, validation_share=0.0, half=True, distillation=distillation
        )
        run_finetune(job, resume=work_folder(out).exists())
    return out
