"""The optimisers: Muon for the hidden matrices, AdamW with decoupled decay for the rest; and their schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Quintic Newton–Schulz coefficients and steps as published with Muon (Keller Jordan, 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Float32Muon(torch.optim.Muon):
    """PyTorch's Muon with its Newton–Schulz iteration in float32.

    PyTorch's own iterates in bfloat16, which a CPU without bfloat16 instructions emulates a hundred times slower.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter by its orthogonalised momentum."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter.grad)
                momentum = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                rows, columns = parameter.shape
                scale = math.sqrt(max(1.0, rows / columns))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(orthogonalized(update), alpha=-group["lr"] * scale)
        return loss


def orthogonalized(matrix: Tensor) -> Tensor:
    """Approximately U Vᵀ of ``matrix`` = U S Vᵀ, (rows, columns), by Newton–Schulz in float32."""
    a, b, c = _COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = wide @ wide.t()
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.t()


def build_optimizers(
    model: nn.Module,
    *,
    name: str,
    learning_rate: float,
    muon_learning_rate: float = 0.02,
    weight_decay: float = 0.01,
    device: torch.device | None = None,
) -> list[torch.optim.Optimizer]:
    """One AdamW, and with ``name`` "muon" a Muon for the layers' matrices before it.

    ``device`` is where the model will be trained, if not where it is now. Weight decay is decoupled (Loshchilov and
    Hutter, arXiv 1711.05101) and spares biases and norms.
    """
    named = [(path, parameter) for path, parameter in model.named_parameters() if parameter.requires_grad]
    hidden = [p for path, p in named if name == "muon" and ".layers." in path and p.ndim == 2]
    rest = [p for _, p in named if not any(p is matrix for matrix in hidden)]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
    ]
    if hidden:
        muon = torch.optim.Muon if bf16_is_native(device or hidden[0].device) else Float32Muon
        optimizers.insert(0, muon(hidden, lr=muon_learning_rate, weight_decay=weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_learning_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Scale every parameter group's peak learning rate by ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor


def one_cycle(progress: float, warmup: float = 0.05) -> float:
    """Learning-rate factor at ``progress`` in [0, 1]: linear warm-up, then linear decay to zero."""
    return min(progress / warmup if warmup else 1.0, (1.0 - progress) / (1.0 - warmup))


def bf16_is_native(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices in hardware (emulation is far slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))
    return False
