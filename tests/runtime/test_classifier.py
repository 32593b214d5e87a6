from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from tests.tiny_models import LABELS, labelled_texts
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.cascade import Votes
from tlm_edge.runtime.classifier import batches_by_length, to_predictions
from tlm_edge.runtime.evaluate import evaluate
from tlm_edge.runtime.metrics import accuracy, macro_f1
from tlm_edge.runtime.vote import soft_vote, softmax

TEXTS = ["", "Shares fell", "word " * 300, "\ud83d half", *labelled_texts()[0]]


@pytest.fixture(scope="module")
def classifier(tiny_bundle):
    return BundleClassifier(open_bundle(tiny_bundle), threads=1)


def test_results_stand_in_the_order_of_the_texts(classifier):
    together = classifier.probabilities(TEXTS)
    alone = np.concatenate([classifier.probabilities([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    shuffled = np.random.default_rng(0).permutation(len(TEXTS))
    np.testing.assert_allclose(classifier.probabilities([TEXTS[i] for i in shuffled]), together[shuffled], atol=1e-5)


def test_no_texts_no_answers(classifier):
    assert classifier.probabilities([]).shape == (0, 4)
    assert classifier.predict([]) == []


def test_predictions(classifier):
    predictions = classifier.predict(TEXTS, top_k=2)
    assert [prediction.text for prediction in predictions] == TEXTS
    for prediction, row in zip(predictions, classifier.probabilities(TEXTS), strict=True):
        assert prediction.label == LABELS[row.argmax()] == next(iter(prediction.scores))
        assert list(prediction.scores.values()) == pytest.approx(sorted(row, reverse=True)[:2], abs=1e-6)
        assert prediction.score == next(iter(prediction.scores.values()))


def test_several_threads_at_once(classifier):
    expected = classifier.probabilities(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: classifier.probabilities(TEXTS), range(12)):
            np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_a_committee_votes(tiny_committee_bundle):
    classifier = BundleClassifier(open_bundle(tiny_committee_bundle), threads=1)
    outputs = classifier.outputs(classifier.encoder.token_ids(TEXTS[4:12]))
    assert outputs["member_logits"].shape == (8, 2, 4)
    np.testing.assert_allclose(outputs["probabilities"], soft_vote(outputs["member_logits"]), atol=1e-6)


def test_evaluation(classifier):
    texts, labels = labelled_texts()
    evaluation = evaluate(classifier, texts, np.array(labels))
    found = classifier.probabilities(texts).argmax(axis=1)
    assert evaluation.accuracy == pytest.approx(accuracy_score(labels, found))
    assert evaluation.macro_f1 == pytest.approx(f1_score(labels, found, average="macro"))
    assert (evaluation.n, list(evaluation.label_accuracy)) == (200, list(LABELS))
    assert evaluation.seconds > 0
    with pytest.raises(ValueError, match="no texts"):
        evaluate(classifier, [], np.array([]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_metrics_are_those_of_scikit_learn(pairs):
    expected, found = np.array(pairs).T
    assert accuracy(expected, found) == pytest.approx(accuracy_score(expected, found))
    assert macro_f1(expected, found) == pytest.approx(f1_score(expected, found, average="macro", zero_division=0))


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 1000))
def test_batches(lengths, max_tokens):
    batches = batches_by_length(lengths, max_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= max_tokens


def test_ties_go_to_the_earlier_label():
    (prediction,) = to_predictions(["x"], ("b", "a"), Votes(np.array([[0.5, 0.5]])))
    assert prediction.label == "b"


def test_softmax_of_large_logits():
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]
