"""Decoder and cross-entropy in one pass over chunks of rows that stay in cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: Rows a chunk: 128 rows of logits over an 8k vocabulary are 4 MB, which fits a last-level cache.
CHUNK = 128


class _FusedCrossEntropy(torch.autograd.Function):
    """Computes the gradient along with the loss, so that no logit is kept for the backward pass."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=features.device)
        feature_gradient = torch.empty_like(features)
        weight_gradient = torch.zeros_like(weight)
        bias_gradient = torch.zeros_like(bias)
        scale = 1.0 / len(targets)
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            chunk, wanted = features[rows], targets[rows, None]
            log_probabilities = torch.addmm(bias, chunk, weight.t()).float().log_softmax(dim=1)
            total -= log_probabilities.gather(1, wanted).sum()
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=gradient.dtype))
            gradient = gradient.to(features.dtype)
            torch.mm(gradient, weight, out=feature_gradient[rows])
            weight_gradient.addmm_(gradient.t(), chunk, alpha=scale)
            bias_gradient.add_(gradient.sum(dim=0), alpha=scale)
        feature_gradient.mul_(scale)
        ctx.save_for_backward(feature_gradient, weight_gradient, bias_gradient)
        return total * scale

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = upstream
        features, weight, bias = ctx.saved_tensors
        return features * gradient, weight * gradient, bias * gradient, None


def masked_language_model_loss(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of ``features`` (n, hidden) through the decoder ``weight`` (vocabulary, hidden) + ``bias``.

    ``targets`` (n,) are token ids. Equal to ``F.cross_entropy(F.linear(features, weight, bias), targets)``, which is
    what runs on accelerators and where no gradient is wanted.
    """
    if features.device.type != "cpu" or not torch.is_grad_enabled():
        return F.cross_entropy(F.linear(features, weight, bias).float(), targets)
    if features.dtype != weight.dtype:
        weight, bias = weight.to(features.dtype), bias.to(features.dtype)
    loss: Tensor = _FusedCrossEntropy.apply(features, weight, bias, targets)
    return loss
