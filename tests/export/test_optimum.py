"""A bundle of one model loads in optimum, with nothing but what lies in its folder."""

import numpy as np
import pytest

from tests.tiny_models import LABELS, labelled_texts, lists
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier


@pytest.mark.slow
def test_optimum_gives_the_same_logits(tiny_bundle):
    pytest.importorskip("optimum.onnxruntime")
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    model = ORTModelForSequenceClassification.from_pretrained(tiny_bundle)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bundle)
    assert [model.config.id2label[index] for index in range(4)] == list(LABELS)
    texts = [*labelled_texts()[0][:20], "Ünïcödé façade 東京", "", "word " * 100]
    classifier = BundleClassifier(open_bundle(tiny_bundle), 1)
    encoded = tokenizer(texts, truncation=True, max_length=classifier.max_length, padding=True, return_tensors="pt")
    ours = lists(classifier.encoder.token_ids(texts))
    assert [ids[: len(own)] for ids, own in zip(encoded["input_ids"].tolist(), ours, strict=True)] == ours
    np.testing.assert_allclose(model(**encoded).logits.numpy(), classifier.outputs(ours)["logits"], atol=1e-4)
