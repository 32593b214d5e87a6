"""What is left out of the computation changes nothing of the answer."""

from __future__ import annotations

import pytest
import torch

from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.modeling.encoder import Encoder, gather_rows
from tlm_edge.modeling.heads import SequenceClassifier, set_dropout

CONFIG = EncoderConfig(
    vocab_size=60,
    hidden_size=64,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=20,
    labels=("a", "b", "c"),
)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(10, 60, (4, 14), generator=torch.Generator().manual_seed(3))
    ids[:, 4], ids[:, 7] = 6, 8
    mask = torch.ones_like(ids)
    mask[1, 9:], mask[3, 12:] = 0, 0
    return ids, mask


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.double()


@pytest.mark.parametrize("layers", [1, 3])
def test_chosen_rows_are_rows_of_the_whole(layers: int) -> None:
    encoder = randomized(Encoder(EncoderConfig(60, 64, layers, 4, 48, 20))).eval()
    ids, mask = batch()
    rows = torch.tensor([[0, 4], [2, 3], [13, 0], [5, 5]])
    torch.testing.assert_close(encoder(ids, mask, rows), gather_rows(encoder(ids, mask), rows), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("markers", [(), (6, 8)])
def test_training_reads_few_rows_to_the_same_logits_and_gradients(layers: int, markers: tuple[int, ...]) -> None:
    config = EncoderConfig(60, 64, layers, 4, 48, 20, markers=markers, labels=("a", "b", "c"))
    model = randomized(SequenceClassifier(config))
    set_dropout(model, 0.0)
    ids, mask = batch()

    def answer() -> list[torch.Tensor]:
        model.zero_grad()
        logits = model(ids, mask)
        logits.square().sum().backward()
        return [logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())]

    model.eval()
    written = answer()
    model.train()
    for one, other in zip(answer(), written, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-9)


def test_dropout_of_few_rows_keeps_the_mean() -> None:
    config = EncoderConfig(60, 64, 1, 4, 48, 20, labels=("a", "b", "c"))
    layer = randomized(SequenceClassifier(config)).encoder.layers[0]
    hidden = torch.randn(1, 14, 64, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    query = layer._split(layer.query(hidden[:, :1]))
    layer.attention_dropout = 0.0
    exact = layer._attend_from_few(query, hidden, None)
    layer.attention_dropout = 0.3
    mean = layer._attend_from_few(query.expand(20_000, -1, -1, -1), hidden.expand(20_000, -1, -1), None).mean(dim=0)
    torch.testing.assert_close(mean, exact[0], atol=2e-2, rtol=0)


def test_padding_changes_nothing() -> None:
    model = randomized(SequenceClassifier(CONFIG)).eval()
    ids, _ = batch()
    padded = torch.cat([ids, torch.zeros(4, 6, dtype=torch.long)], dim=1)
    mask = (torch.arange(20) < 14).long().expand(4, -1)
    torch.testing.assert_close(model(padded, mask), model(ids), atol=1e-12, rtol=1e-12)


def test_markers_are_read_where_they_stand_first() -> None:
    model = SequenceClassifier(EncoderConfig(60, 64, 1, 4, 48, 20, markers=(6, 8), labels=("a", "b")))
    ids = torch.tensor([[1, 6, 6, 8, 2], [1, 9, 8, 6, 8]])
    assert model.readout_rows(ids).tolist() == [[1, 3], [3, 2]]
