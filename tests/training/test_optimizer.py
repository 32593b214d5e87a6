"""The optimisers' groups, Muon's orthogonalised step, the schedule, and when bf16 is used."""

from __future__ import annotations

import pytest
import torch

from tlm_edge.modeling.config import architecture
from tlm_edge.modeling.heads import MaskedLanguageModel
from tlm_edge.training.optimizer import (
    Float32Muon,
    bf16_is_native,
    build_optimizers,
    one_cycle,
    orthogonalized,
    set_learning_rates,
)
from tlm_edge.training.processes import mixed_precision


def tiny() -> MaskedLanguageModel:
    return MaskedLanguageModel(architecture("bert-1", vocab_size=40, hidden_size=16, heads=2, layers=2, max_length=8))


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_every_parameter_is_moved_once_and_biases_and_norms_do_not_decay(name: str) -> None:
    model = tiny()
    optimizers = build_optimizers(model, name=name, learning_rate=1e-3)
    names = {parameter: path for path, parameter in model.named_parameters()}
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    assert sorted(names[p] for group in groups for p in group["params"]) == sorted(names.values())
    for group in groups:
        for parameter in group["params"]:
            spared = names[parameter].endswith("bias") or "norm" in names[parameter]
            assert (group["weight_decay"] == 0) == spared
    if name == "muon":
        moved = {names[p] for group in optimizers[0].param_groups for p in group["params"]}
        assert moved == {path for path in names.values() if ".layers." in path and path.endswith("weight")} - {
            path for path in names.values() if "norm" in path
        }


def test_decay_is_decoupled() -> None:
    model = tiny()
    (optimizer,) = build_optimizers(model, name="adamw", learning_rate=0.1, weight_decay=0.5)
    before = {path: parameter.detach().clone() for path, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for path, parameter in model.named_parameters():
        factor = 0.95 if parameter.ndim >= 2 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[path])


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_orthogonalized_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    singular = torch.linalg.svdvals(orthogonalized(matrix))
    assert singular.min() > 0.5 and singular.max() < 1.5
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    cosine = (orthogonalized(matrix) * (left @ right)).sum() / (orthogonalized(matrix).norm() * (left @ right).norm())
    assert cosine > 0.95


def test_muon_in_float32_follows_pytorch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(12, 8)) for _ in range(2))
    options = {"lr": 0.05, "weight_decay": 0.1}
    pair = [Float32Muon([ours], **options), torch.optim.Muon([theirs], **options)]
    for _ in range(4):
        ours.grad = torch.randn(12, 8)
        theirs.grad = ours.grad.clone()
        for optimizer in pair:
            optimizer.step()
    # PyTorch's iterates in bfloat16, which keeps two to three digits.
    torch.testing.assert_close(ours, theirs, atol=3e-3, rtol=0)


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    factors = [one_cycle(step / 100, 0.1) for step in range(101)]
    assert factors[0] == 0 and factors[-1] == pytest.approx(0)
    assert max(factors) == factors[10] == pytest.approx(1)
    assert factors[:11] == sorted(factors[:11]) and factors[10:] == sorted(factors[10:], reverse=True)
    optimizers = build_optimizers(tiny(), name="muon", learning_rate=1e-3, muon_learning_rate=0.02)
    set_learning_rates(optimizers, 0.5)
    assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == [0.01, 0.0005]


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx2": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({}, False),
    ],
)
def test_bf16_is_used_only_where_the_processor_multiplies_it(
    capabilities: dict[str, bool], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bf16_is_native(torch.device("cpu")) == native
    assert mixed_precision("auto") == ("bf16" if native else "no")
    assert mixed_precision("fp32") == "no" and mixed_precision("bf16") == "bf16"
