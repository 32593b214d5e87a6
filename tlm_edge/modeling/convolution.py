"""The convolution block of the paper's shallow variants (arXiv 2507.14871), over the (length, hidden) image."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from tlm_edge.modeling.config import Convolution


class ConvolutionBlock(nn.Module):
    """Conv2d + BatchNorm + GELU stages that widen one image to ``channels`` and end in one channel again.

    Two things differ from the original: padded positions are zeroed before every stage, so that a text's answer
    does not depend on how far it was padded, and even kernels are padded to keep the length.
    """

    def __init__(self, config: Convolution) -> None:
        super().__init__()
        widths = [1, *[config.channels] * config.layers, 1]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, config.kernel, padding="same"), nn.BatchNorm2d(after))
            for before, after in pairwise(widths)
        )

    def forward(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Transform ``hidden`` (batch, length, hidden), keeping its shape."""
        image = hidden.unsqueeze(1)
        visible = None if attention_mask is None else attention_mask[:, None, :, None].to(hidden.dtype)
        for stage in self.stages:
            image = F.gelu(stage(image if visible is None else image * visible))
        return image.squeeze(1)
