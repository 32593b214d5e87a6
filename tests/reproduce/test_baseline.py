from __future__ import annotations

import json

import numpy as np
import pytest

from tlm_edge.reproduce.baseline import baseline_probabilities
from tlm_edge.shipped import evaluation_texts


@pytest.fixture(scope="module")
def rows():
    """The shipped evaluation texts of AG News and their labels' numbers."""
    lines = [json.loads(line) for line in evaluation_texts("agnews").read_text(encoding="utf-8").splitlines()]
    names = sorted({line["label"] for line in lines})
    return [line["text"] for line in lines], np.array([names.index(line["label"]) for line in lines])


def test_words_alone_beat_chance_and_repeat(rows) -> None:
    texts, labels = rows
    probabilities = baseline_probabilities(texts[:150], labels[:150], texts[150:], 4, seed=0)
    assert probabilities.shape == (50, 4)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(axis=1) == labels[150:]).mean() > 0.5
    assert np.array_equal(probabilities, baseline_probabilities(texts[:150], labels[:150], texts[150:], 4, seed=0))


def test_a_label_without_rows_is_never_the_answer(rows) -> None:
    texts, labels = rows
    known = labels != 2
    probabilities = baseline_probabilities(
        [t for t, k in zip(texts, known, strict=True) if k], labels[known], texts, 4, 0
    )
    assert not probabilities[:, 2].any()
    assert (probabilities.argmax(axis=1) == labels)[known].mean() > 0.9


def test_one_row_a_label_will_do(rows) -> None:
    texts, labels = rows
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(4)]
    probabilities = baseline_probabilities([texts[i] for i in first], labels[first], texts, 4, seed=0)
    assert (probabilities.argmax(axis=1) == labels)[first].all()
