"""Encoders of BicycleGAN and DivCo: a target image becomes the Gaussian of its code.

Images are in [-1, 1]. Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from torch import nn

from invbench.errors import InvalidImagesError
from invbench.networks.normalization import InstanceNorm

if TYPE_CHECKING:
    from torch import Tensor

_POOLED = 8
_SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of an encoder; the defaults are the published ones, for 256x256 images.

    Attributes:
        blocks: halvings; the image's side must be 8 * 2^blocks.
        form: residual blocks, or plain convolutions.
        in_channels: channels of the image.
        channels: width of the first layer; it grows up to four times that.
        code_channels: length of the code.
    """

    blocks: int = 5
    form: Literal["residual", "plain"] = "residual"
    in_channels: int = 3
    channels: int = 64
    code_channels: int = 8

    @property
    def side(self) -> int:
        """The one image side that the encoder takes."""
        return _POOLED << self.blocks


class ResidualBlock(nn.Module):
    """Halve an image by a residual block that normalizes and activates before it convolves.

    The main path averages 2x2 pixels after its convolutions, the shortcut before its own.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widen = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv = nn.Sequential(
            InstanceNorm(),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(in_channels, in_channels, 3, padding=1),
            InstanceNorm(),
            nn.LeakyReLU(_SLOPE),
            nn.Sequential(widen, nn.AvgPool2d(2)),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, in, H, W]`` to ``[N, out, H / 2, W / 2]``."""
        out: Tensor = self.conv(features) + self.shortcut(features)
        return out


class Encoder(nn.Module):
    """Map a target image to the mean and log-variance of its code, the Gaussian q(z | target)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        growth = 1 if config.form == "residual" else 0
        widths = [config.channels]
        widths += [
            config.channels * (min(4, index + 1) if growth else min(4, 2**index))
            for index in range(1, config.blocks)
        ]
        self.fc = nn.Sequential(nn.Linear(widths[-1], config.code_channels))
        self.fcVar = nn.Sequential(nn.Linear(widths[-1], config.code_channels))
        body = _residual_body if config.form == "residual" else _plain_body
        self.conv = nn.Sequential(
            nn.Conv2d(config.in_channels, widths[0], 4, 2, 1),
            *body(widths),
            nn.AvgPool2d(_POOLED),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, ``[N, code_channels]`` each, of ``[N, C, S, S]``.

        Raises:
            InvalidImagesError: if S is not 8 * 2^blocks.
        """
        if images.shape[-2:] != (self.config.side, self.config.side):
            raise InvalidImagesError(
                f"an encoder of {self.config.blocks} blocks takes sides of {self.config.side}, "
                f"not {tuple(images.shape[-2:])}; the side must be 8 * 2^blocks"
            )
        features = self.conv(images).flatten(1)
        return self.fc(features), self.fcVar(features)


def _residual_body(widths: list[int]) -> list[nn.Module]:
    blocks = [ResidualBlock(*pair) for pair in pairwise(widths)]
    return [*blocks, nn.LeakyReLU(_SLOPE)]


def _plain_body(widths: list[int]) -> list[nn.Module]:
    modules: list[nn.Module] = [nn.LeakyReLU(_SLOPE)]
    for before, after in pairwise(widths):
        conv = nn.Conv2d(before, after, 4, 2, 1)
        modules += [conv, InstanceNorm(), nn.LeakyReLU(_SLOPE)]
    return modules
