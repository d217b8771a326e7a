"""The network of the first conditional IMLE for super-resolution (SRIM): flat, one code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from invbench.networks.residual_dense import SLOPE, ResidualInResidualBlock, plain_conv

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SrimConfig:
    """Sizes; the defaults are those of the published 8x model.

    Attributes:
        code_channels: channels of the code, a noise map of the input's size.
        channels: width.
        growth: growth of the dense blocks.
        blocks: residual-in-residual blocks.
        doublings: how often the size doubles.
        upsample: how it is enlarged; the fine-tuned model uses "bilinear".
        tanh: whether the output goes through tanh and then to [0, 1]; otherwise it is linear.
    """

    code_channels: int = 5
    channels: int = 64
    growth: int = 128
    blocks: int = 24
    doublings: int = 3
    upsample: Literal["nearest", "bilinear"] = "bilinear"
    tanh: bool = True


class _Trunk(nn.Module):
    """Residual blocks and a convolution, with one long shortcut."""

    def __init__(self, config: SrimConfig) -> None:
        super().__init__()
        blocks = [
            ResidualInResidualBlock(config.channels, config.growth, plain_conv)
            for _ in range(config.blocks)
        ]
        self.sub = nn.Sequential(*blocks, plain_conv(config.channels, config.channels))

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features + self.sub(features)
        return out


class Srim(nn.Module):
    """Map an observation and a noise map of its size to an image 2^doublings as large."""

    def __init__(self, config: SrimConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        enlarging = [
            module
            for _ in range(config.doublings)
            for module in (
                nn.Upsample(scale_factor=2, mode=config.upsample),
                plain_conv(channels, channels),
                nn.LeakyReLU(SLOPE),
            )
        ]
        self.model = nn.Sequential(
            plain_conv(3 + config.code_channels, channels),
            _Trunk(config),
            *enlarging,
            plain_conv(channels, channels),
            nn.LeakyReLU(SLOPE),
            plain_conv(channels, 3),
        )

    def forward(self, observation: Tensor, code: Tensor) -> Tensor:
        """Map ``[N, 3, h, w]`` in [0, 1] and ``[N, code_channels, h, w]`` to an image."""
        out: Tensor = self.model(torch.cat([observation, code], dim=1))
        return (out.tanh() + 1) / 2 if self.config.tanh else out
