"""TF-IDF + logistic regression on AG News, trained on the very rows that the shipped models were trained on.

    python benchmarks/agnews_baseline.py

Word uni- and bigrams with sublinear term frequency; the regularisation is chosen on a tenth of the training rows,
the figure is on the official test set (7,600 rows).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from environment import binomial_interval, data_folder, describe_machine, write_result  # isort: skip (beside this file)
from tlm_edge.data.tasks import load_examples, load_task

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)


def main() -> None:
    folder = data_folder() / "agnews"
    task = load_task(str(folder / "train.jsonl.gz"))
    test = load_examples(str(folder / "test.jsonl.gz"), task.labels)
    extra = load_examples(str(folder / "train_extra.jsonl.gz"), task.labels)
    train = task.splits["train"]
    rows = {
        "train": (list(train.texts), train.labels),
        "train + train_extra": ([*train.texts, *extra.texts], np.concatenate([train.labels, extra.labels])),
    }
    results = {}
    for name, (texts, labels) in rows.items():
        started = time.monotonic()
        strength, vectorizer, model = fit(texts, labels)
        correct = model.predict(vectorizer.transform(test.texts)) == test.labels
        results[name] = {
            "rows": len(texts),
            "accuracy": float(correct.mean()),
            "interval_95": binomial_interval(int(correct.sum()), len(correct)),
            "C": strength,
            "seconds": time.monotonic() - started,
        }
        low, high = results[name]["interval_95"]
        print(f"{name}: accuracy {correct.mean():.4f} (95 % {low:.4f} … {high:.4f}), C = {strength:g}")
    write_result(
        "agnews_baseline",
        {
            "what": "TF-IDF (1-2-grams) + logistic regression, accuracy on the official AG News test set",
            "provenance": "measured",
            "results": results,
            "test_rows": len(test.texts),
            "machine": describe_machine(),
        },
    )


def fit(texts: list[str], labels: np.ndarray) -> tuple[float, Any, Any]:
    """The strength chosen on a held-out tenth, and vectorizer and model refitted on all rows with it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    features = vectorizer.fit_transform(texts)
    inner, outer = train_test_split(np.arange(len(labels)), test_size=0.1, random_state=0, stratify=labels)
    scores = {
        strength: LogisticRegression(C=strength, max_iter=300)
        .fit(features[inner], labels[inner])
        .score(features[outer], labels[outer])
        for strength in STRENGTHS
    }
    best = max(scores, key=lambda strength: scores[strength])
    model = LogisticRegression(C=best, max_iter=300).fit(features, labels)
    return best, vectorizer, model


if __name__ == "__main__":
    main()
