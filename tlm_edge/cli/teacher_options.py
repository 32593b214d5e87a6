"""Options of the training commands that make a classifier the teacher of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlm_edge.runtime.errors import UserError

if TYPE_CHECKING:
    from tlm_edge.training.distillation import Distillation

TeacherOption = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="MODEL",
        help="Learn the probabilities of this classifier, too: a checkpoint, a committee or, faster, a bundle.",
    ),
]
TeacherWeightOption = Annotated[
    float,
    typer.Option("--teacher-weight", min=0.0, max=1.0, metavar="X", help="Their share; the rest are the labels."),
]
UnlabelledOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--unlabelled", metavar="FILE", help="More texts, one a line or in a column 'text', to learn from --teacher."
    ),
]


def distillation(teacher: str | None, weight: float, unlabelled: Sequence[Path] | None) -> Distillation | None:
    """What the three options ask for. Raises ``UserError`` for texts that nobody is to label."""
    if unlabelled and teacher is None:
        raise UserError("--unlabelled needs --teacher MODEL: who else would say what the texts are")
    if teacher is None:
        return None
    from tlm_edge.shipped import resolve_model
    from tlm_edge.training.distillation import Distillation

    return Distillation(resolve_model(teacher), weight, tuple(unlabelled or ()))
