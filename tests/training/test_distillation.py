"""Learning from a teacher: what is learned, in which order of labels, on which texts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import tlm_edge
from tests.tiny_models import LABELS, labelled_texts
from tests.training.recipes import DATA, finetune_job
from tlm_edge.cli import app
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.classification import prepare
from tlm_edge.training.distillation import Distillation, Teacher
from tlm_edge.training.finetune_job import run_finetune


@pytest.fixture
def distillation(tiny_committee: Path, tmp_path: Path) -> Distillation:
    unlabelled = tmp_path / "more.txt"
    unlabelled.write_text("a match was won\n\nshares fell\n", encoding="utf-8")
    return Distillation(tiny_committee, 0.75, (unlabelled,))


def test_targets_are_the_teachers_in_the_order_of_the_data(
    distillation: Distillation, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    ready = prepare(finetune_job(tiny_tokenizer, tmp_path / "out", distillation=distillation))
    assert ready.train.targets is not None and len(ready.train) == 160 + 2
    np.testing.assert_allclose(ready.train.targets.sum(axis=1), 1, atol=1e-5)
    teacher = TorchClassifier(distillation.teacher)
    columns = [teacher.labels.index(label) for label in ready.config.labels]
    given = teacher.probabilities(["a match was won", "shares fell"])[:, columns]
    np.testing.assert_allclose(ready.train.targets[-2:], given, atol=1e-6)
    np.testing.assert_array_equal(ready.train.labels[-2:], given.argmax(axis=1))
    # Of a labelled row a quarter is its label.
    own = ready.train.targets[np.arange(160), ready.train.labels[:160]]
    assert own.min() >= 0.25 - 1e-6
    assert ready.validation is not None and len(ready.validation) == 40
    plain = prepare(finetune_job(tiny_tokenizer, tmp_path / "out"))
    assert plain.train.digest() != ready.train.digest()


def test_a_teacher_is_asked_once_for_all_students(
    distillation: Distillation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "cache"))
    texts, asked = list(labelled_texts()[0][:8]), []
    first = Teacher(distillation, LABELS).probabilities(texts)
    whole = TorchClassifier.probabilities

    def counted(self: TorchClassifier, texts: list[str]) -> np.ndarray:
        asked.append(len(texts))
        return whole(self, texts)

    monkeypatch.setattr(TorchClassifier, "probabilities", counted)
    np.testing.assert_array_equal(Teacher(distillation, LABELS).probabilities(texts), first)
    assert not asked
    np.testing.assert_allclose(Teacher(distillation, LABELS[::-1]).probabilities(texts), first[:, ::-1], atol=1e-6)
    (kept, other) = (tmp_path / "cache" / "teachers").iterdir()
    for file in (kept, other):
        file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(Teacher(distillation, LABELS).probabilities(texts), first)
    assert asked == [8, 8]


def test_a_student_comes_near_its_teacher(tiny_committee: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    """By the teacher's word alone, which a student can tell from the labels' where the teacher errs."""
    job = finetune_job(
        tiny_tokenizer,
        tmp_path / "student",
        recipe={"epochs": 12, "patience": 12},
        distillation=Distillation(tiny_committee, 1.0),
        validation_share=0.0,
    )
    recipe = run_finetune(job)
    assert recipe["teacher"] == {"model": recipe["teacher"]["model"], "weight": 1.0, "unlabelled": []}
    student, teacher = tlm_edge.load(tmp_path / "student"), tlm_edge.load(tiny_committee)
    texts = labelled_texts()[0]
    columns = [teacher.labels.index(label) for label in student.labels]
    theirs = teacher.probabilities(texts)[:, columns]
    assert np.mean(student.probabilities(texts).argmax(axis=1) == theirs.argmax(axis=1)) > 0.7
    assert "its probabilities 100% of what was learned" in (tmp_path / "student/README.md").read_text(encoding="utf-8")


def test_a_teacher_of_other_labels_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(UserError, match="has the labels World.*the data yes, no: they have to be the same"):
        Teacher(Distillation(tiny_checkpoint), ["yes", "no"])
    assert Teacher(Distillation(tiny_checkpoint), sorted(LABELS)).probabilities(["x"]).shape == (1, 4)


def test_a_finished_run_goes_on_with_the_same_teacher_only(
    distillation: Distillation, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    job = finetune_job(tiny_tokenizer, tmp_path / "out", recipe={"epochs": 1}, distillation=distillation)
    done = run_finetune(job)
    assert run_finetune(job, resume=True) == json.loads(json.dumps(done))
    with pytest.raises(UserError):
        run_finetune(replace(job, distillation=replace(distillation, weight=0.5)), resume=True)


def test_unlabelled_texts_need_a_teacher(tiny_checkpoint: Path, tmp_path: Path) -> None:
    words = ["finetune", str(tiny_checkpoint), "--data", DATA, "--unlabelled", DATA, "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="--unlabelled needs --teacher MODEL"):
        CliRunner().invoke(app, words, catch_exceptions=False)
