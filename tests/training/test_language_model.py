"""The parts of pre-training: packing, masking, the fused loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tlm_edge.training.fused_loss import masked_language_model_loss
from tlm_edge.training.masking import mask_tokens
from tlm_edge.training.packing import PackedBlocks, shuffled_indices

CLS, SEP, MASK = 2, 3, 4
SPECIAL = np.array([0, 1, CLS, SEP, MASK])


def packed(documents: list[list[int]], length: int) -> PackedBlocks:
    tokens = np.array([token for document in documents for token in document], dtype=np.uint16)
    starts = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    return PackedBlocks(tokens, starts, length=length, cls=CLS, sep=SEP)


@given(
    documents=st.lists(st.lists(st.integers(5, 500), min_size=1, max_size=30), min_size=1, max_size=12),
    length=st.integers(4, 20),
)
def test_blocks_are_the_stream_of_documents_cut(documents: list[list[int]], length: int) -> None:
    blocks = packed(documents, length)
    stream = [token for document in documents for token in (*document, SEP)]
    content = length - 2
    assert len(blocks) == len(stream) // content
    read = blocks.read(np.arange(len(blocks)))
    assert (read[:, 0] == CLS).all() and (read[:, -1] == SEP).all()
    assert read[:, 1:-1].ravel().tolist() == stream[: len(blocks) * content]


def test_every_epoch_reads_each_block_once_in_another_order() -> None:
    blocks, batch = 50, 16
    drawn = np.concatenate([shuffled_indices(step, batch, blocks, seed=7) for step in range(25)])
    epochs = drawn.reshape(8, 50)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()
    assert (drawn == np.concatenate([shuffled_indices(step, batch, blocks, seed=7) for step in range(25)])).all()
    assert (drawn[:batch] != shuffled_indices(0, batch, blocks, seed=8)).any()


def test_masking_is_15_percent_and_80_10_10() -> None:
    generator = np.random.default_rng(0)
    blocks = generator.integers(5, 1000, (400, 128))
    blocks[:, 0], blocks[:, -1], blocks[:, 60] = CLS, SEP, SEP
    masked = mask_tokens(
        blocks, probability=0.15, special=SPECIAL, mask=MASK, vocab_size=1000, generator=np.random.default_rng(1)
    )
    assert masked.rows.shape == masked.targets.shape == (400, 19)
    assert not np.isin(masked.targets, SPECIAL).any()
    assert (np.take_along_axis(blocks, masked.rows, axis=1) == masked.targets).all()
    put = np.take_along_axis(masked.input_ids, masked.rows, axis=1)
    shares = (put == MASK).mean(), (put == masked.targets).mean()
    assert shares == pytest.approx((0.8, 0.1), abs=0.015)
    untouched = np.ones_like(blocks, dtype=bool)
    np.put_along_axis(untouched, masked.rows, False, axis=1)
    assert (masked.input_ids == blocks)[untouched].all()


def test_a_block_of_special_tokens_stays_as_it_is() -> None:
    blocks = np.full((1, 20), SEP)
    blocks[0, 3] = 77
    masked = mask_tokens(
        blocks, probability=0.5, special=SPECIAL, mask=MASK, vocab_size=100, generator=np.random.default_rng(0)
    )
    assert (np.delete(masked.input_ids, 3, axis=1) == SEP).all()


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 300), hidden=st.integers(1, 12), vocabulary=st.integers(2, 40), seed=st.integers(0, 99))
def test_the_fused_loss_is_cross_entropy_with_its_gradients(rows: int, hidden: int, vocabulary: int, seed: int) -> None:
    torch.manual_seed(seed)
    parts = [torch.randn(shape, requires_grad=True) for shape in ((rows, hidden), (vocabulary, hidden), (vocabulary,))]
    targets = torch.randint(0, vocabulary, (rows,))
    fused = masked_language_model_loss(*parts, targets)
    gradients = torch.autograd.grad(3 * fused, parts)
    features, weight, bias = parts
    plain = F.cross_entropy(F.linear(features, weight, bias), targets)
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-5)
    for actual, expected in zip(gradients, torch.autograd.grad(3 * plain, parts), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
