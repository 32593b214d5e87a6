"""What one finished run of a reproduction came to: a JSON file, with the answers to the test rows beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlm_edge.files import new_file, write_json
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json

#: The folder of the outcomes inside that of a reproduction.
OUTCOMES = "outcomes"
_REMEDY = "delete it, and tlm-edge reproduce does its run again"


@dataclass(frozen=True)
class Outcome:
    """One finished run, a pre-training or a fine-tuning; ``outcomes/<run>.json`` in the folder of the reproduction.

    Scores are 0 … 1 on the task's test rows, losses nats a guessed token. ``probabilities`` lets committees of any
    independently pre-trained members be computed without training anything again.
    """

    #: The run's name, unique in its plan: ``finetune-agnews-bert-1-16m-seed2``.
    run: str
    #: ``pretrain`` or ``finetune``.
    kind: str
    #: The plan's name of the architecture: ``bert-1``.
    architecture: str
    #: The plan's name of the corpus that was pre-trained on; None from scratch.
    corpus: str | None
    #: Tokens of that corpus; 0 from scratch.
    corpus_tokens: int
    #: Tokens that pre-training read, repetitions counted; 0 from scratch.
    tokens_seen: int
    #: The plan's name of the task; None for a pre-training.
    task: str | None
    #: Training rows of each label at most; None for all there are, and for a pre-training.
    rows_per_label: int | None
    seed: int
    #: What a user types to do this run alone.
    command: str
    #: Processor time, summed over threads.
    seconds: float
    wall_seconds: float
    #: Masked-language-model loss on held-out blocks, of a pre-training.
    loss: float | None
    #: The task's labels by number; empty for a pre-training.
    labels: tuple[str, ...]
    #: Name of the file beside this one with the right labels' numbers, int64 (rows,); empty for a pre-training.
    expected: str
    #: Name of the file beside this one with the probabilities, float16 (rows, labels); None for a pre-training.
    probabilities: str | None
    accuracy: float | None
    macro_f1: float | None
    #: Versions, processor and threads, as a checkpoint's ``training.json`` has them.
    machine: dict[str, str | int]


def write_outcome(
    folder: Path,
    outcome: Outcome,
    *,
    expected: NDArray[np.int64] | None = None,
    probabilities: NDArray[np.float32] | None = None,
) -> None:
    """Write ``outcome`` into ``folder``, after the arrays (rows,) and (rows, labels) that it names."""
    if outcome.probabilities is not None and probabilities is not None:
        _write_array(folder / outcome.probabilities, probabilities.astype(np.float16))
    if outcome.expected and expected is not None:
        _write_array(folder / outcome.expected, expected.astype(np.int64))
    write_json(outcome_path(folder, outcome.run), asdict(outcome))


def outcome_path(folder: Path, run: str) -> Path:
    """Where the outcome of the run named ``run`` lies in the folder of outcomes."""
    return folder / f"{run}.json"


def read_outcome(path: Path) -> Outcome:
    """The outcome in a file. Raises ``UserError`` if it isn't a whole one, or not that of the file's name."""
    try:
        outcome = from_json(Outcome, json.loads(path.read_bytes()))
    except JsonShapeError as error:
        raise UserError(f"{path}: {error}: not an outcome of this version; {_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}): {_REMEDY}") from error
    if outcome.run != path.stem:
        raise UserError(f"{path} is the outcome of another run, {outcome.run}: give it that name, or delete it")
    for name in (outcome.expected, outcome.probabilities or ""):
        if Path(name).name != name:
            raise UserError(f"{path}: {name!r} is not the name of a file beside it; {_REMEDY}")
    return outcome


def read_outcomes(folder: Path) -> list[Outcome]:
    """All outcomes in ``folder``, sorted by name; none if there is no such folder. Raises as ``read_outcome`` does."""
    return [read_outcome(path) for path in sorted(folder.glob("*.json"))]


def read_expected(folder: Path, outcome: Outcome) -> NDArray[np.int64]:
    """The right labels' numbers of the test rows, int64 (rows,). Raises ``UserError`` if they aren't there or unfit."""
    rows = _read_array(folder / outcome.expected)
    if rows.dtype != np.int64 or rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < _labels(outcome)):
        raise UserError(f"{folder / outcome.expected} doesn't hold the numbers of {_labels(outcome)} labels; {_REMEDY}")
    return rows


def read_probabilities(folder: Path, outcome: Outcome) -> NDArray[np.float16]:
    """The test rows' probabilities, float16 (rows, labels). Raises ``UserError`` if they aren't there or unfit."""
    path = folder / (outcome.probabilities or "")
    rows = _read_array(path)
    if rows.dtype != np.float16 or rows.ndim != 2 or rows.shape[1] != _labels(outcome):
        raise UserError(f"{path} doesn't hold probabilities of {_labels(outcome)} labels; {_REMEDY}")
    return rows


def _labels(outcome: Outcome) -> int:
    return len(outcome.labels)


def _write_array(path: Path, array: NDArray[Any]) -> None:
    with new_file(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def _read_array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} can't be read ({error}): {_REMEDY}") from error
    return array
