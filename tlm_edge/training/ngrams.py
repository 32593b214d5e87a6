"""Fitting a linear classifier of token n-grams: logistic regression on weighted counts, by scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.files import new_folder, refuse_existing, write_json
from tlm_edge.modeling.bigrams import pair_buckets
from tlm_edge.modeling.ngrams import NgramClassifier, NgramConfig, save_ngrams
from tlm_edge.runtime.errors import UserError
from tlm_edge.training.classification import encode_splits, load_tasks
from tlm_edge.training.examples import EncodedExamples
from tlm_edge.training.metrics import ClassificationMetrics
from tlm_edge.training.model_card import ngrams_card
from tlm_edge.training.provenance import described_sources, environment
from tlm_edge.training.scoring import evaluate_examples
from tlm_edge.training.tokens import special_id

#: Strengths of regularisation (scikit-learn's C, the larger the weaker) of which held-out rows choose, or folds.
STRENGTHS = (1.0, 10.0, 100.0)
#: The one that is taken where there are no rows to choose by.
_USUAL_STRENGTH = 3.0
#: With fewer held-out rows than this, folds of the training rows choose.
_FEW_HELD_OUT = 200
_FOLDS = 3
_ITERATIONS = 300
#: The logit of a label that no training row has.
_NEVER = -30.0


@dataclass(frozen=True)
class NgramJob:
    """What to fit on what; the fields of the same name are those of ``FinetuneJob``.

    ``tokenizer`` is a folder with a tokenizer, such as that of a committee's other members; texts are cut to
    ``max_length`` tokens. ``buckets`` are the rows that pairs of tokens share.
    """

    data: tuple[str, ...]
    out: Path
    tokenizer: Path
    buckets: int = 65536
    max_length: int = 128
    test_data: str | None = None
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    columns: tuple[str, ...] = ()
    rows_per_label: int | None = None
    validation_share: float | None = None
    half: bool = False
    seed: int = 0
    #: Where the classifier goes, too, as it was before it learned the held-out rows, so that they can weight votes.
    before_refit: Path | None = None


def train_ngrams(job: NgramJob, *, force: bool = False) -> dict[str, Any]:
    """Fit the classifier, write its checkpoint ``job.out``, and return the content of its ``training.json``.

    Held-out rows choose the regularisation, and folds of the training rows where the held-out ones are few; in the end
    all are learned. Raises ``UserError`` for input that doesn't fit.
    """
    refuse_existing(job.out, force=force)
    tokenizer = load_tokenizer(job.tokenizer)
    task, more = load_tasks(job)
    if lacking := [marker for marker in task.markers if tokenizer.token_to_id(marker) is None]:
        raise UserError(
            f"{job.tokenizer}: its tokenizer lacks the markers {', '.join(lacking)} of {job.data[0]}: give "
            "--tokenizer a checkpoint that was fine-tuned on it"
        )
    train, validation, test = encode_splits(task, more, tokenizer, job.max_length, job.validation_share, job.seed)
    config = NgramConfig(
        vocab_size=max(tokenizer.get_vocab().values()) + 1,
        buckets=job.buckets,
        max_position_embeddings=job.max_length,
        pad_token_id=special_id(tokenizer, "[PAD]", job.tokenizer),
        labels=task.labels,
    )
    start = time.perf_counter()
    held_out: ClassificationMetrics | None = None
    if validation is None or len(validation) < _FEW_HELD_OUT:
        strength = _strength_by_folds(train, config, job.seed)
        model = next(_fitted(train, config, [strength]))
    else:
        strength, model = _likeliest(train, validation, config)
    if validation is not None:
        held_out = _score(model, validation, config)
        if job.before_refit is not None:
            # An interrupted run may have left it.
            with new_folder(job.before_refit, force=True) as folder:
                save_ngrams(folder, model, job.tokenizer, half=job.half)
        model = next(_fitted(train.joined(validation), config, [strength]))
    scores = None if test is None else _score(model, test, config)
    recipe = {
        "schema_version": 1,
        "kind": "ngrams",
        "data": described_sources(job.data),
        "test_data": None if job.test_data is None else described_sources([job.test_data]),
        "rows": {"train": len(train), "validation": 0 if validation is None else len(validation)},
        "max_length": job.max_length,
        "settings": {
            "buckets": job.buckets,
            "strength": strength,
            "half": job.half,
            "seed": job.seed,
        },
        "result": {
            "seconds": round(time.perf_counter() - start, 1),
            "validation": None if held_out is None else held_out.to_json(),
            "test": None if scores is None else scores.to_json(),
        },
        "environment": environment(),
    }
    with new_folder(job.out, force=force) as folder:
        save_ngrams(folder, model, job.tokenizer, half=job.half)
        write_json(folder / "training.json", recipe)
        text = ngrams_card(job.out.name, config, recipe, held_out, scores)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return recipe


def _likeliest(train: EncodedExamples, held_out: EncodedExamples, config: NgramConfig) -> tuple[float, NgramClassifier]:
    """The strength, and what it makes of ``train``, under which the labels of ``held_out`` are likeliest.

    Weaker ones are tried until they get worse: the weaker, the longer it takes.
    """
    trials = zip(STRENGTHS, _fitted(train, config, STRENGTHS), strict=True)
    best = next(trials)
    least = _score(best[1], held_out, config).loss
    for trial in trials:
        loss = _score(trial[1], held_out, config).loss
        if loss >= least:
            break
        best, least = trial, loss
    return best


def _strength_by_folds(examples: EncodedExamples, config: NgramConfig, seed: int) -> float:
    """The strength under which rows that were left out are likeliest; the usual one where a label has a single row."""
    from sklearn.model_selection import StratifiedKFold

    least = int(np.unique(examples.labels, return_counts=True)[1].min())
    if least < 2:
        return _USUAL_STRENGTH
    losses = np.zeros(len(STRENGTHS))
    folds = StratifiedKFold(min(_FOLDS, least), shuffle=True, random_state=seed)
    for inner, outer in folds.split(examples.labels, examples.labels):
        fitted = _fitted(examples.select(inner), config, STRENGTHS)
        losses += [_score(model, examples.select(outer), config).loss * len(outer) for model in fitted]
    return STRENGTHS[int(losses.argmin())]


def _fitted(examples: EncodedExamples, config: NgramConfig, strengths: Sequence[float]) -> Iterator[NgramClassifier]:
    """Logistic regression on counts weighted by how rare they are (idf), folded into the tables, for each strength."""
    from sklearn.linear_model import LogisticRegression

    counts = ngram_counts(examples, config)
    rows_with = np.bincount(counts.indices, minlength=counts.shape[1])
    seen = np.flatnonzero(rows_with)
    rarity = np.log((1 + len(examples)) / (1 + rows_with[seen])) + 1
    weighted = counts[:, seen].multiply(rarity).tocsr()
    # Rows of about unit length, so that the same strengths do for any vocabulary and any length of texts.
    size = np.sqrt(weighted.multiply(weighted).sum() / max(len(examples), 1))
    # Each from nothing: from what a stronger regularisation gave the solver doesn't move, its steps being too small.
    regression = LogisticRegression(max_iter=_ITERATIONS)
    for strength in strengths:
        regression.set_params(C=strength).fit(weighted / size, examples.labels)
        weights, bias = regression.coef_ * (rarity / size), regression.intercept_
        if len(weights) == 1:  # of two labels scikit-learn keeps the difference
            weights, bias = np.stack([-weights[0], weights[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
        table = np.zeros((counts.shape[1], len(config.labels)), dtype=np.float32)
        offset = np.full(len(config.labels), _NEVER, dtype=np.float32)
        table[np.ix_(seen, regression.classes_)], offset[regression.classes_] = weights.T, bias
        model = NgramClassifier(config)
        with torch.no_grad():
            model.unigrams.weight.copy_(torch.from_numpy(table[: config.vocab_size]))
            model.bigrams.weight.copy_(torch.from_numpy(table[config.vocab_size :]))
            model.bias.copy_(torch.from_numpy(offset))
        yield model.eval()


def ngram_counts(examples: EncodedExamples, config: NgramConfig) -> Any:
    """A sparse matrix (rows, vocabulary + buckets): how often each token and pair occurs, over √(tokens of the row).

    What ``NgramClassifier`` multiplies its tables by.
    """
    from scipy.sparse import csr_matrix

    tokens = examples.tokens.astype(np.int64)
    before: NDArray[np.int64] = np.concatenate([[config.pad_token_id], tokens[:-1]])
    before[examples.starts[:-1]] = config.pad_token_id
    columns = np.stack([tokens, config.vocab_size + pair_buckets(before, tokens, config.buckets)], axis=1)
    values = np.repeat(1 / np.sqrt(examples.lengths), 2 * examples.lengths).astype(np.float32)
    shape = (len(examples), config.vocab_size + config.buckets)
    counts = csr_matrix((values, columns.ravel(), 2 * examples.starts), shape=shape)
    counts.sum_duplicates()
    return counts


def _score(model: NgramClassifier, examples: EncodedExamples, config: NgramConfig) -> ClassificationMetrics:
    return evaluate_examples(model, examples, config.pad_token_id)
