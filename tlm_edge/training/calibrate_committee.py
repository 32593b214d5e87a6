"""Calibrates the cascade of a committee on labelled texts and stores it with the committee."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlm_edge.compile.inspect import member_costs
from tlm_edge.data.tasks import load_examples
from tlm_edge.files import new_folder
from tlm_edge.modeling.committee import is_committee
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.modeling.stored_cascade import StoredCascade, members_digest, write_cascade
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import is_shipped
from tlm_edge.training.calibration import calibrate

#: Texts whose logits are computed at once.
_CHUNK = 4096


@dataclass(frozen=True)
class CalibrationJob:
    """What to calibrate on which texts; ``max_drop`` and ``confidence`` are fractions."""

    committee: Path
    data: str
    max_drop: float
    confidence: float
    split: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    columns: tuple[str, ...] = ()
    seed: int = 0


def calibrate_committee(
    job: CalibrationJob, *, out: Path | None = None, force: bool = False
) -> tuple[Path, StoredCascade]:
    """Calibrate and store the cascade in the committee, or in a copy of it at ``out``; the folder and the cascade.

    Raises ``UserError`` if it is no committee, a shipped one without ``out``, or the texts don't do.
    """
    if not is_committee(job.committee):
        raise UserError(f"{job.committee} is no committee: build one with `tlm-edge committee build`")
    if out is None and is_shipped(job.committee):
        raise UserError(f"{job.committee} is shipped and stays as it is: name a place for a copy with --out")
    classifier = TorchClassifier(job.committee, all_members=True)
    examples = load_examples(
        job.data,
        classifier.labels,
        split=job.split,
        text_columns=job.text_columns,
        label_column=job.label_column,
        columns=job.columns,
    )
    chunks = range(0, len(examples.texts), _CHUNK)
    logits = np.concatenate([classifier.member_logits(examples.texts[first : first + _CHUNK]) for first in chunks])
    found = calibrate(
        logits.astype(np.float64),
        np.asarray(examples.labels),
        max_drop=job.max_drop,
        confidence=job.confidence,
        costs=member_costs(job.committee),
        weights=classifier.weights,
        seed=job.seed,
    )
    stored = StoredCascade(
        order=found.cascade.order,
        margins=found.cascade.margins,
        members_sha256=members_digest(job.committee),
        max_drop=found.max_drop,
        confidence=found.confidence,
        data=job.data,
        rows=found.rows,
        accuracy=found.accuracy,
        full_accuracy=found.full_accuracy,
        mean_members=found.mean_members,
        p_value=found.p_value,
    )
    with ExitStack() as stack:
        folder = job.committee
        if out is not None:
            folder = stack.enter_context(new_folder(out, force=force))
            shutil.copytree(job.committee, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("onnx-int8"))
        write_cascade(folder, stored)
    return out or job.committee, stored
