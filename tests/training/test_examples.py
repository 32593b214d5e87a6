"""Rows for fine-tuning: encoded, split, batched, balanced and masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import labelled_texts
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.training.examples import (
    EncodedExamples,
    encode_examples,
    epoch_batches,
    mask_at_random,
    split_validation,
)


def rows(labels: list[int], sources: list[int] | None = None, seed: int = 0) -> EncodedExamples:
    lengths = np.random.default_rng(seed).integers(3, 40, len(labels))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.arange(starts[-1], dtype=np.int32)
    return EncodedExamples(tokens, starts, np.array(labels), np.array(sources or [0] * len(labels)))


def test_encoding_cuts_and_pads_and_selects(tiny_tokenizer: Path) -> None:
    tokenizer = load_tokenizer(tiny_tokenizer)
    texts, labels = labelled_texts()
    examples = encode_examples(tokenizer, texts, np.array(labels), 12)
    assert len(examples) == 200 and examples.lengths.max() == 12
    tokenizer.enable_truncation(12)
    assert all(examples.ids(index).tolist() == tokenizer.encode(texts[index]).ids for index in (0, 77, 199))
    chosen = examples.select(np.array([5, 0, 5]))
    assert [chosen.ids(index).tolist() for index in range(3)] == [examples.ids(index).tolist() for index in (5, 0, 5)]
    input_ids, attention_mask = examples.batch(np.arange(20), 0)
    assert input_ids.shape == attention_mask.shape and attention_mask.sum() == examples.lengths[:20].sum()
    assert examples.digest() != encode_examples(tokenizer, texts, np.array(labels), 11).digest()


def test_the_split_is_stratified_seeded_and_whole() -> None:
    labels = np.array([0] * 600 + [1] * 300 + [2] * 100)
    train, validation = split_validation(labels, 0.1, seed=3)
    assert sorted([*train, *validation]) == list(range(1000))
    assert np.bincount(labels[validation]).tolist() == [60, 30, 10]
    assert (split_validation(labels, 0.1, seed=3)[1] == validation).all()
    assert (split_validation(labels, 0.1, seed=4)[1] != validation).any()


def test_rows_of_a_label_that_occurs_once_are_for_training() -> None:
    labels = np.array([0] * 40 + [1] * 20 + [2])
    train, validation = split_validation(labels, 0.1, seed=0)
    assert np.bincount(labels[validation]).tolist() == [4, 2] and 60 in train
    train, validation = split_validation(np.array([0, 1, 2]), 0.5, seed=0)
    assert len(train) == 3 and len(validation) == 0


def test_a_small_share_still_has_as_many_rows_as_labels() -> None:
    labels = np.repeat(np.arange(10), 20)
    train, validation = split_validation(labels, 0.001, seed=0)
    assert len(validation) == 10 and len(train) == 190


def test_an_epoch_reads_every_row_once_with_little_padding() -> None:
    examples = rows([0] * 3000)
    batches = epoch_batches(examples, 16, class_balance=False, seed=1, epoch=0)
    assert len(batches) == 188
    assert sorted(np.concatenate(batches)) == list(range(3000))
    padded = sum(len(batch) * examples.lengths[batch].max() for batch in batches)
    assert padded < 1.1 * examples.lengths.sum()
    again = epoch_batches(examples, 16, class_balance=False, seed=1, epoch=0)
    assert all((one == other).all() for one, other in zip(batches, again, strict=True))
    other = epoch_batches(examples, 16, class_balance=False, seed=1, epoch=1)
    assert any(len(one) != len(two) or (one != two).any() for one, two in zip(batches, other, strict=True))


def test_balance_is_within_each_source() -> None:
    labels = [0] * 70 + [1] * 30 + [0] * 10 + [1] * 90
    examples = rows(labels, [0] * 100 + [1] * 100)
    drawn = np.concatenate(epoch_batches(examples, 8, class_balance=True, seed=0, epoch=0))
    assert len(drawn) == 200
    for source in (0, 1):
        of_source = drawn[examples.sources[drawn] == source]
        assert np.bincount(examples.labels[of_source]).tolist() == [50, 50]
    # A label with too few rows repeats them evenly; one with too many takes each at most once.
    repeats = np.bincount(drawn, minlength=200)
    assert repeats[:70].max() == 1 and set(repeats[70:100]) == {1, 2} and set(repeats[100:110]) == {5}


@pytest.mark.parametrize("probability", [0.0, 0.15, 0.9])
def test_masking_spares_special_tokens(probability: float) -> None:
    ids = np.random.default_rng(0).integers(0, 50, (200, 60))
    special = np.array([0, 1, 2])
    masked = mask_at_random(ids, probability=probability, special=special, mask=4, generator=np.random.default_rng(1))
    changed = masked != ids
    assert (masked[changed] == 4).all() and not np.isin(ids[changed], special).any()
    assert changed.sum() / (~np.isin(ids, [*special, 4])).sum() == pytest.approx(probability, abs=0.01)
