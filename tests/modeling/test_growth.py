"""Growing depth keeps what the shallow model computes."""

from __future__ import annotations

import pytest
import torch

from tlm_edge.modeling.config import architecture
from tlm_edge.modeling.growth import grow_from
from tlm_edge.modeling.heads import MaskedLanguageModel
from tlm_edge.runtime.errors import UserError


def model(layers: int, hidden: int = 32) -> MaskedLanguageModel:
    torch.manual_seed(layers)
    config = architecture("bert-1", vocab_size=90, hidden_size=hidden, heads=4, layers=layers, max_length=24)
    return MaskedLanguageModel(config).eval()


def test_a_grown_model_starts_near_the_shallow_one() -> None:
    shallow, deep = model(1), model(6)
    with torch.no_grad():
        shallow.encoder.embeddings.norm.weight.uniform_(0.95, 1.05)
        shallow.encoder.embeddings.norm.bias.uniform_(-0.02, 0.02)
    ids = torch.randint(5, 90, (4, 24))
    before = (deep(ids) - shallow(ids)).abs().max()
    grow_from(deep, shallow)
    after = (deep(ids) - shallow(ids)).abs().max()
    assert after < 0.5 * before


def test_with_neutral_norms_growth_is_exact() -> None:
    shallow, deep = model(1), model(4)
    ids = torch.randint(5, 90, (2, 24))
    grow_from(deep, shallow)
    torch.testing.assert_close(deep(ids), shallow(ids), atol=1e-4, rtol=1e-4)


def test_new_layers_learn() -> None:
    shallow, deep = model(1), model(3)
    grow_from(deep, shallow)
    deep(torch.randint(5, 90, (2, 24))).square().sum().backward()
    silent = deep.encoder.layers[0].down.weight
    assert not silent.any() and silent.grad.abs().sum() > 0


@pytest.mark.parametrize(("layers", "hidden"), [(1, 64), (2, 32)])
def test_only_depth_may_differ(layers: int, hidden: int) -> None:
    with pytest.raises(UserError, match="depth|deeper"):
        grow_from(model(1, hidden), model(layers, 32))
