"""Checkpoints and committees as classifiers: the same answers as the model alone, in the order of the texts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import LABELS, MAX_LENGTH, labelled_texts
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.checkpoint import load_classifier
from tlm_edge.modeling.committee import load_committee
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.runtime.errors import UserError

TEXTS = ["", "word", " ".join(["long"] * 300), *labelled_texts()[0][:40], "\ud800 broken"]


def one_by_one(folder: Path, models: list) -> np.ndarray:
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(MAX_LENGTH)
    rows = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")).ids])
        with torch.no_grad():
            rows.append(torch.stack([model(ids).softmax(dim=-1) for model in models]).mean(dim=0).numpy())
    return np.concatenate(rows)


def test_batches_answer_as_single_texts_do(tiny_checkpoint: Path, tiny_committee: Path) -> None:
    for folder, models in (
        (tiny_checkpoint, [load_classifier(tiny_checkpoint)]),
        (tiny_committee, list(load_committee(tiny_committee).members)),
    ):
        classifier = TorchClassifier(folder)
        probabilities = classifier.probabilities(TEXTS)
        assert probabilities.dtype == np.float32 and classifier.labels == LABELS
        assert classifier.max_length == MAX_LENGTH
        np.testing.assert_allclose(probabilities, one_by_one(folder, models), atol=1e-5)


def test_predictions_are_sorted_and_cut(tiny_checkpoint: Path) -> None:
    predictions = TorchClassifier(tiny_checkpoint, threads=1).predict(TEXTS, top_k=2)
    assert [prediction.text for prediction in predictions] == TEXTS
    for prediction in predictions:
        first, second = prediction.scores.values()
        assert next(iter(prediction.scores)) == prediction.label and prediction.score == first >= second


def test_a_vocabulary_file_will_do(tiny_checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_checkpoint, copy, ignore=shutil.ignore_patterns("tokenizer.json"))
    np.testing.assert_allclose(
        TorchClassifier(copy).probabilities(TEXTS), TorchClassifier(tiny_checkpoint).probabilities(TEXTS), atol=1e-6
    )


def test_no_texts_no_rows(tiny_checkpoint: Path) -> None:
    classifier = TorchClassifier(tiny_checkpoint)
    assert classifier.probabilities([]).shape == (0, 4) and classifier.predict([]) == []


def test_a_folder_without_tokenizer_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "copy", ignore=shutil.ignore_patterns("tokenizer*", "vocab.txt"))
    with pytest.raises(UserError, match="no tokenizer"):
        TorchClassifier(tmp_path / "copy")
