"""A classifier's first weights on a pre-trained encoder: what it has learned to say at [MASK], read by regression.

A masked language model never had to say anything at [CLS], but at [MASK] it has gathered what the rest of the text
suggests. So the row that the classifier reads begins as a [MASK], as in a cloze question (Schick and Schütze, arXiv
2001.07676); the pooler begins as the identity; and the classifier as the logistic regression on these features, so that
fine-tuning need not undo a random head (Kumar et al., arXiv 2202.10054). All of it is weights of a plain BERT:
whatever runs, rewrites or exports one knows nothing of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tlm_edge.modeling.checkpoint import hugging_face_name, read_weights
from tlm_edge.modeling.config import read_config
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.runtime.classifier import batches_by_length
from tlm_edge.training.examples import EncodedExamples
from tlm_edge.training.finetune import FinetuneTokenIds

#: scikit-learn's C for features of unit variance: chosen on held-out training rows of AG News and DBPedia.
_STRENGTH = 0.03
_ITERATIONS = 200
#: The regression sees at most so many rows; with more, its part is done by the steps that follow.
_MOST_ROWS = 4000
_BATCH_TOKENS = 8192


def has_prediction_head_only(checkpoint: Path) -> bool:
    """Whether ``checkpoint`` is a masked language model whose [CLS] nothing was ever read from, with BERT's readout."""
    config, names = read_config(checkpoint), read_weights(checkpoint)
    heads = (hugging_face_name("pooler.weight") in names, hugging_face_name("classifier.weight") in names)
    return not any(heads) and not config.labels and config.readout_activation == "tanh"


def start(model: SequenceClassifier, train: EncodedExamples, ids: FinetuneTokenIds) -> None:
    """Give the token that is read, the pooler and the classifier of ``model`` their first weights.

    ``model`` has a pre-trained encoder. What is read are the rows of its markers, or the token that every one of
    ``train`` begins with.
    """
    with torch.no_grad():
        _read_a_mask(model, int(train.tokens[0]), ids.mask)
        _pass_through(model.pooler)
    rows = np.arange(len(train))[:: -(-len(train) // _MOST_ROWS)]
    few = train.select(rows)
    _regress(model, _features(model, few, ids.pad), few.labels)


def _read_a_mask(model: SequenceClassifier, cls_token_id: int, mask: int) -> None:
    embeddings = model.encoder.embeddings
    for token in model.config.markers or (cls_token_id,):
        embeddings.word.weight[token] = embeddings.word.weight[mask]
    if not model.config.markers:
        # Nothing but [CLS] is ever at position 0, and a question that is nowhere asks the whole text.
        embeddings.position.weight[0] = embeddings.position.weight[1:].mean(dim=0)


def _pass_through(pooler: nn.Linear) -> None:
    """The identity; of several rows that are read each but the first is turned, so that none hides another."""
    size = pooler.out_features
    turned = [nn.init.orthogonal_(torch.empty(size, size)) for _ in range(pooler.in_features // size - 1)]
    pooler.weight.copy_(torch.cat([torch.eye(size), *turned], dim=1))
    pooler.bias.zero_()


@torch.no_grad()
def _features(model: SequenceClassifier, examples: EncodedExamples, pad_token_id: int) -> NDArray[np.float32]:
    """What the classifier will multiply, (rows, hidden), without dropout."""
    features = np.empty((len(examples), model.config.hidden_size), dtype=np.float32)
    model.eval()
    for rows in batches_by_length(examples.lengths.tolist(), _BATCH_TOKENS):
        batch = examples.batch(np.array(rows), pad_token_id)
        features[rows] = model.features(*map(torch.from_numpy, batch)).numpy()
    return features


def _regress(model: SequenceClassifier, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Make the classifier the logistic regression of ``labels`` on ``features``; labels without a row start at 0."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        return
    mean, deviation = features.mean(axis=0), features.std() + 1e-6
    fitted = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS).fit((features - mean) / deviation, labels)
    weight, bias = fitted.coef_ / deviation, fitted.intercept_
    if len(weight) == 1:  # of two labels scikit-learn keeps the difference
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
    classifier = model.classifier
    with torch.no_grad():
        classifier.weight.zero_()
        classifier.bias.zero_()
        found = torch.from_numpy(fitted.classes_)
        classifier.weight[found] = _like(weight, classifier.weight)
        classifier.bias[found] = _like(bias - weight @ mean, classifier.bias)


def _like(values: NDArray[np.floating], target: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values)).to(target.dtype)
