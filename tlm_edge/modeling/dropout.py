"""Dropout whose mask costs little on a CPU: one draw of 64 bits decides on four numbers.

PyTorch draws a double for each, one after the other, which takes longer than a layer's elementwise arithmetic.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """``nn.Dropout`` with the cheaper mask."""

    def forward(self, values: Tensor) -> Tensor:
        """Drop in training, and only then."""
        return dropout(values, self.p) if self.training else values


def dropout(values: Tensor, probability: float) -> Tensor:
    """Zero each of ``values`` with ``probability``, rounded to 1/65536, and scale the others to keep the mean.

    Repeatable by ``torch.manual_seed``. Accelerators have a fast mask of their own.
    """
    if probability == 0.0:
        return values
    if values.device.type != "cpu":
        return F.dropout(values, probability)
    dropped = round(probability * 65536)
    words = np.random.Generator(np.random.SFC64(int(torch.randint(2**62, ())))).integers(
        2**64, size=-(-values.numel() // 4), dtype=np.uint64
    )
    drawn = torch.from_numpy(words.view(np.int16))[: values.numel()].view(values.shape)
    return values * (drawn >= dropped - 32768).to(values.dtype).mul_(
        65536 / (65536 - dropped) if dropped < 65536 else 0.0
    )
