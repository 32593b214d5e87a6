"""What is kept of a reproduction whose folder may be gone: outcomes, and the label that each test row was given.

Two files: ``outcomes.jsonl``, an outcome a line, and ``answers.npz``, arrays (rows,) of numbers of labels by the name
of the run or committee that gave them, and the right ones by ``expected/`` and the task.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlm_edge.reproduce.outcome import Outcome
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json

_LINES, _ANSWERS = "outcomes.jsonl", "answers.npz"
_EXPECTED = "expected/"


@dataclass(frozen=True)
class Kept:
    """Outcomes, the right labels' numbers by task, and those given by run or committee; both int64 (rows,)."""

    outcomes: tuple[Outcome, ...] = ()
    expected: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    predicted: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


def read_kept(folder: Path) -> Kept:
    """What is kept in ``folder``; nothing if it isn't of that kind.

    Raises ``UserError`` for a file that can't be read, and where the answers of an outcome are missing.
    """
    if not (folder / _LINES).is_file():
        return Kept()
    outcomes = tuple(_read_lines(folder / _LINES))
    answers = _read_answers(folder / _ANSWERS)
    tested = [outcome for outcome in outcomes if outcome.probabilities]
    needed = [f"{_EXPECTED}{outcome.task}" for outcome in tested] + [outcome.run for outcome in tested]
    if lacking := [name for name in needed if name not in answers]:
        raise UserError(f"{folder / _ANSWERS}: no {lacking[0]} in it: restore the file")
    expected = {name.removeprefix(_EXPECTED): rows for name, rows in answers.items() if name.startswith(_EXPECTED)}
    predicted = {name: rows for name, rows in answers.items() if not name.startswith(_EXPECTED)}
    return Kept(outcomes, expected, predicted)


def kept_runs(folder: Path) -> frozenset[str]:
    """Names of the runs whose outcomes are kept in ``folder``. Raises ``UserError`` as ``read_kept`` does."""
    if not (folder / _LINES).is_file():
        return frozenset()
    return frozenset(outcome.run for outcome in _read_lines(folder / _LINES))


def write_kept(
    folder: Path,
    outcomes: Sequence[Outcome],
    expected: Mapping[str, NDArray[np.int64]],
    predicted: Mapping[str, NDArray[np.int64]],
) -> None:
    """Write into ``folder`` what ``read_kept`` reads."""
    largest = max((int(rows.max(initial=0)) for rows in expected.values()), default=0)
    dtype = np.uint8 if largest < 256 else np.uint16
    arrays = {f"{_EXPECTED}{task}": rows.astype(dtype) for task, rows in expected.items()}
    arrays |= {name: rows.astype(dtype) for name, rows in predicted.items()}
    lines = [json.dumps(asdict(outcome), ensure_ascii=False) + "\n" for outcome in outcomes]
    (folder / _LINES).write_text("".join(lines), encoding="utf-8")
    np.savez_compressed(folder / _ANSWERS, allow_pickle=False, **arrays)


def _read_lines(path: Path) -> Iterator[Outcome]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield from_json(Outcome, json.loads(line))
        except (JsonShapeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not an outcome ({error}): restore the file") from error


def _read_answers(path: Path) -> dict[str, NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name].astype(np.int64) for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be read ({error}): restore the file") from error
