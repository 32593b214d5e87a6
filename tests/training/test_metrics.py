"""Scores of a classifier, on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tlm_edge.runtime import metrics as light
from tlm_edge.training.metrics import classification_metrics, expected_calibration_error


def test_scores_counted_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]], dtype=np.float32)
    expected = np.array([0, 1, 1, 0])
    metrics = classification_metrics(probabilities, expected, ("a", "b", "never"))
    assert metrics.n == 4 and metrics.accuracy == 0.5 and metrics.macro_f1 == 0.5
    assert metrics.confusion == ((1, 1, 0), (1, 1, 0), (0, 0, 0))
    assert [(s.label, s.precision, s.recall, s.f1, s.support) for s in metrics.by_label] == [
        ("a", 0.5, 0.5, 0.5, 2),
        ("b", 0.5, 0.5, 0.5, 2),
        ("never", 0.0, 0.0, 0.0, 0),
    ]
    assert metrics.loss == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean(), abs=1e-6)
    assert metrics.calibration_error == pytest.approx((0.1 + 0.6 + 0.2 + 0.7) / 4)


def test_the_light_metrics_of_the_runtime_agree() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(5), 300).astype(np.float32)
    expected = generator.integers(0, 4, 300)
    metrics = classification_metrics(probabilities, expected, tuple("abcde"))
    predicted = probabilities.argmax(axis=1)
    assert metrics.accuracy == light.accuracy(expected, predicted)
    assert metrics.macro_f1 == pytest.approx(light.macro_f1(expected, predicted))


def test_calibration_error_of_the_honest_and_of_the_boaster() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 60_000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    honest = (generator.random(60_000) > confidence).astype(np.int64)
    assert expected_calibration_error(probabilities, honest) < 0.01
    sure = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (100, 1))
    assert expected_calibration_error(sure, np.array([0] * 70 + [1] * 30)) == pytest.approx(0.3)
