"""The cheaper mask drops as often as it should, independently, and is repeatable."""

import pytest
import torch

from tlm_edge.modeling.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5])
def test_it_drops_as_often_as_asked_and_keeps_the_mean(probability: float) -> None:
    torch.manual_seed(0)
    found = dropout(torch.ones(1000, 1003), probability)
    dropped = (found == 0).float().mean().item()
    # Five standard deviations of a share of a million.
    assert abs(dropped - probability) < 5 * (probability * (1 - probability) / found.numel()) ** 0.5 + 1 / 65536
    assert found.unique().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=1e-4)
    neighbours = ((found[:, :-1] == 0) & (found[:, 1:] == 0)).float().mean().item()
    assert neighbours == pytest.approx(probability**2, abs=2e-3)


def test_a_seed_repeats_it_and_calls_differ() -> None:
    values = torch.randn(7, 13)
    torch.manual_seed(1)
    first, second = dropout(values, 0.3), dropout(values, 0.3)
    torch.manual_seed(1)
    assert torch.equal(dropout(values, 0.3), first) and not torch.equal(first, second)


def test_gradients_pass_where_values_do() -> None:
    values = torch.randn(50, 50, requires_grad=True)
    kept = dropout(values, 0.4)
    kept.sum().backward()
    assert torch.equal(values.grad != 0, kept != 0)


def test_the_ends_and_evaluation() -> None:
    values = torch.randn(5, 5)
    assert dropout(values, 0.0) is values and not dropout(values, 1.0).any()
    module = Dropout(0.5)
    assert module.eval()(values) is values and (module.train()(values) == 0).any()
