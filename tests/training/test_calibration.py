"""The bound of a calibrated cascade holds on texts that it never saw, as often as it says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from tests.tiny_models import LABELS
from tlm_edge.cli import app
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.modeling.stored_cascade import read_cascade
from tlm_edge.runtime.cascade import vote_in_turn
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.vote import soft_vote
from tlm_edge.training.calibration import NEVER, calibrate, rows_needed


def population(rows, seed, members=3, labels=4, noise=1.0):
    """Logits of members that see the same evidence with errors of their own, and the labels."""
    generator = np.random.default_rng(seed)
    expected = generator.integers(labels, size=rows)
    evidence = 2.5 * np.eye(labels)[expected] + generator.normal(size=(rows, labels))
    logits = evidence[:, None] + noise * generator.normal(size=(rows, members, labels))
    return 2 * logits, expected


def drop(cascade, logits, expected):
    own = vote_in_turn(cascade, len(logits), lambda member, rows: logits[rows, member]).probabilities.argmax(axis=1)
    return float(np.mean(soft_vote(logits).argmax(axis=1) == expected) - np.mean(own == expected))


def test_it_asks_fewer_members_and_keeps_the_accuracy():
    found = calibrate(*population(12_000, 0), max_drop=0.005)
    assert found.mean_members < 2.2 and found.p_value <= 0.05
    assert drop(found.cascade, *population(100_000, 1)) < 0.005


def test_the_bound_fails_no_more_often_than_it_says():
    unseen = population(200_000, 99, noise=2.0)
    failures = 0
    for seed in range(60):
        found = calibrate(*population(2_000, 100 + seed, noise=2.0), max_drop=0.01, confidence=0.8, seed=seed)
        failures += drop(found.cascade, *unseen) >= 0.01
    # At a true rate of 20 % so many failures would be seen once in a thousand times.
    assert binomtest(failures, 60, 0.2, alternative="greater").pvalue > 1e-3


def test_too_few_rows_are_refused_with_how_many_it_takes():
    logits, expected = population(100, 0)
    with pytest.raises(UserError, match=r"100 rows can't show .* give at least 2994 rows"):
        calibrate(logits, expected)
    assert rows_needed(0.002, 0.95) == 1497


def test_members_that_only_agree_together_are_all_asked():
    logits, expected = population(2_000, 0)
    logits[:, 0] = -logits[:, 0] * 2
    logits[:, 1] = -logits[:, 1] * 2
    logits[:, 2] *= 9
    found = calibrate(logits, expected, max_drop=0.003)
    assert found.accuracy >= found.full_accuracy - 0.003 or set(found.cascade.margins) == {NEVER}


def test_the_command_stores_a_cascade_that_the_committee_obeys(tiny_committee: Path, tmp_path: Path):
    rows = [{"text": f"word {number} other", "label": label} for number, label in enumerate(LABELS * 200)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "calibrated"
    arguments = ["committee", "calibrate", tiny_committee, "--data", data, "--max-drop", "5", "--out", out]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    stored = read_cascade(out)
    assert stored is not None and read_cascade(tiny_committee) is None
    texts = [row["text"] for row in rows[:50]]
    cascade, full = TorchClassifier(out), TorchClassifier(out, all_members=True)
    votes = cascade.votes(texts)
    assert votes.members_used is not None and full.votes(texts).members_used is None
    replayed = vote_in_turn(stored.cascade, 50, lambda member, chosen: full.member_logits(texts)[chosen, member])
    assert votes.members_used.tolist() == replayed.members_used.tolist()
    np.testing.assert_allclose(votes.probabilities, replayed.probabilities, atol=1e-6)


def test_a_cascade_of_other_members_is_refused(tiny_committee: Path, tmp_path: Path):
    folder = tmp_path / "committee"
    shutil.copytree(tiny_committee, folder)
    content = json.loads((folder / "committee.json").read_text())
    stored = {
        "order": [1, 0], "margins": [0.5], "members_sha256": "0" * 64, "max_drop": 0.002, "confidence": 0.95,
        "data": "x", "rows": 1, "accuracy": 1, "full_accuracy": 1, "mean_members": 1, "p_value": 0.01,
    }  # fmt: skip
    (folder / "committee.json").write_text(json.dumps(content | {"cascade": stored}))
    with pytest.raises(UserError, match="other members: calibrate it again"):
        TorchClassifier(folder)
    (folder / "committee.json").write_text(json.dumps(content | {"cascade": stored | {"margins": []}}))
    with pytest.raises(UserError, match="damaged"):
        TorchClassifier(folder)
