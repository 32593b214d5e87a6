"""Outcomes are read as they were written, and refused if they aren't whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tlm_edge.reproduce.outcome import (
    Outcome,
    outcome_path,
    read_expected,
    read_outcome,
    read_outcomes,
    read_probabilities,
    write_outcome,
)
from tlm_edge.runtime.errors import UserError

TUNED = Outcome(
    run="finetune-topics-bert-1-news-seed0",
    kind="finetune",
    architecture="bert-1",
    corpus="news",
    corpus_tokens=1000,
    tokens_seen=5000,
    task="topics",
    rows_per_label=100,
    seed=0,
    command="tlm-edge finetune …",
    seconds=12.5,
    wall_seconds=13.0,
    loss=None,
    labels=("no", "yes"),
    expected="topics.expected.npy",
    probabilities="finetune-topics-bert-1-news-seed0.npy",
    accuracy=0.75,
    macro_f1=0.7,
    machine={"processor": "a very fast one", "threads": 1},
)
EXPECTED = np.array([0, 1, 1, 0])
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], dtype=np.float32)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    bare = replace(TUNED, run="pretrain-a", kind="pretrain", task=None, labels=(), expected="", probabilities=None)
    write_outcome(tmp_path, TUNED, expected=EXPECTED, probabilities=PROBABILITIES)
    write_outcome(tmp_path, bare)
    assert read_outcomes(tmp_path) == [TUNED, bare]
    assert read_expected(tmp_path, TUNED).tolist() == EXPECTED.tolist()
    stored = read_probabilities(tmp_path, TUNED)
    assert stored.dtype == np.float16 and np.allclose(stored, PROBABILITIES, atol=1e-3)
    assert read_outcomes(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "none"}, "seed: an integer expected, 'none' found: not an outcome of this version"),
        ({"score": 1}, "score: not a known key"),
        ({"run": "another"}, "is the outcome of another run, another"),
        ({"expected": "../secret.npy"}, "'../secret.npy' is not the name of a file beside it"),
    ],
)
def test_what_is_no_outcome_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_outcome(tmp_path, TUNED)
    path = outcome_path(tmp_path, TUNED.run)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        read_outcome(path)
    path.write_text(path.read_text()[:-10])
    with pytest.raises(UserError, match="can't be read .*delete it, and tlm-edge reproduce does its run again"):
        read_outcome(path)


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="topics.expected.npy can't be read"):
        read_expected(tmp_path, TUNED)
    write_outcome(tmp_path, TUNED, expected=EXPECTED + 1, probabilities=PROBABILITIES[:, :1])
    with pytest.raises(UserError, match="doesn't hold the numbers of 2 labels"):
        read_expected(tmp_path, TUNED)
    with pytest.raises(UserError, match="doesn't hold probabilities of 2 labels"):
        read_probabilities(tmp_path, TUNED)
    np.save(tmp_path / "topics.expected.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="topics.expected.npy can't be read"):
        read_expected(tmp_path, TUNED)
