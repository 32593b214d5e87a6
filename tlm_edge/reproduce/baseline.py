"""What words alone achieve: TF-IDF and logistic regression on the very rows that a model is fine-tuned on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: scikit-learn's C, the larger the weaker the regularisation; held-out rows choose.
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
#: The one that is taken where a label has a single row, and nothing can be held out.
_USUAL_STRENGTH = 10.0
#: With fewer rows than this, three folds choose; with more, a held-out tenth.
_FEW_ROWS = 2000
_ITERATIONS = 300


def baseline_probabilities(
    train_texts: Sequence[str], train_labels: NDArray[np.int64], test_texts: Sequence[str], labels: int, seed: int
) -> NDArray[np.float32]:
    """The probabilities of the test texts, float32 (rows, labels), learned from ``train_texts`` and ``train_labels``.

    Words and pairs of words, sublinear term frequency; those of one training text alone are left out where there are
    2,000 texts or more. ``seed`` chooses the rows that are held out to choose the regularisation; all rows are
    learned in the end. A label without training rows has probability 0. Needs the extra ``train``.
    Raises ``ValueError`` if the rows have fewer than two labels or no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1 if len(train_texts) < _FEW_ROWS else 2)
    features = words.fit_transform(train_texts)
    folds = list(_folds(train_labels, seed))

    def score(strength: float) -> float:
        return sum(
            _fit(features[inner], train_labels[inner], strength).score(features[outer], train_labels[outer])
            for inner, outer in folds
        )

    strength = max(STRENGTHS, key=score) if folds else _USUAL_STRENGTH
    model = _fit(features, train_labels, strength)
    probabilities = np.zeros((len(test_texts), labels), dtype=np.float32)
    probabilities[:, model.classes_] = model.predict_proba(words.transform(test_texts))
    return probabilities


def _folds(labels: NDArray[np.int64], seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The rows learned and the rows held out, for each trial of a strength; none where a label has a single row."""
    from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

    least = int(np.unique(labels, return_counts=True)[1].min())
    if least < 2:
        return
    if len(labels) < _FEW_ROWS:
        split: Any = StratifiedKFold(min(3, least), shuffle=True, random_state=seed)
    else:
        split = StratifiedShuffleSplit(1, test_size=0.1, random_state=seed)
    yield from split.split(np.zeros(len(labels)), labels)


def _fit(features: Any, labels: NDArray[np.int64], strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=_ITERATIONS).fit(features, labels)
