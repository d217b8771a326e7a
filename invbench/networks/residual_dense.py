"""Residual-in-residual dense blocks of weight-normalized convolutions.

The parameter names are those of the published IMLE checkpoints (``RDB1.conv1.0.weight_v``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

SLOPE = 0.2


class WeightNormConv2d(nn.Module):
    """Apply a 3x3 convolution whose kernel is ``weight_g * weight_v / ||weight_v||``.

    The norm is taken over each output channel's kernel (Salimans & Kingma 2016). Gain and
    direction are parameters of their own, under the names that published files use.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        like = nn.Conv2d(in_channels, out_channels, 3)
        self.weight_v = nn.Parameter(like.weight.detach().clone())
        self.weight_g = nn.Parameter(self._norm().detach())
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def scale_inputs(self, channels: slice, factor: float) -> None:
        """Scale the part of the kernel that reads some input channels."""
        self.weight_v.data[:, channels] *= factor
        self.weight_g.data.copy_(self._norm())

    def _norm(self) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(self.weight_v, dim=(1, 2, 3), keepdim=True)
        return norm

    def forward(self, images: Tensor) -> Tensor:
        """Convolve ``[N, in, H, W]`` to ``[N, out, H, W]`` with zero padding."""
        weight = self.weight_v * (self.weight_g / self._norm())
        return functional.conv2d(images, weight, self.bias, padding=1)


class ResidualDenseBlock(nn.Module):
    """Add 0.2 times the last of five convolutions, each of which reads all that came before it.

    Args:
        channels: width of the block's input and output.
        growth: width of each of the four inner convolutions.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for index in range(4):
            inner = WeightNormConv2d(channels + index * growth, growth)
            self.add_module(f"conv{index + 1}", nn.Sequential(inner, nn.LeakyReLU(SLOPE, True)))
        self.add_module("conv5", nn.Sequential(WeightNormConv2d(channels + 4 * growth, channels)))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        *inner, last = self.children()
        dense = features
        for conv in inner:
            dense = torch.cat([dense, conv(dense)], dim=1)
        return torch.add(features, last(dense), alpha=0.2)


class ResidualInResidualBlock(nn.Module):
    """Add 0.2 times the result of three residual dense blocks in a row (ESRGAN, section 3.1)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for index in (1, 2, 3):
            self.add_module(f"RDB{index}", ResidualDenseBlock(channels, growth))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        residual = features
        for block in self.children():
            residual = block(residual)
        return torch.add(features, residual, alpha=0.2)
