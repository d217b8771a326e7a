"""Discriminators that judge patches: one map of logits, or one at each of a few scales.

Images are in [-1, 1]; a conditional discriminator gets the input's channels first. Parameter names
are those of the published checkpoints, with ``model_0`` for MSGAN's ``model0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import nn
from torch.nn import functional

from invbench.networks.blur import BlurDown
from invbench.networks.normalization import InstanceNorm

if TYPE_CHECKING:
    from torch import Tensor

_SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Sizes of a patch discriminator; the defaults are BicycleGAN's.

    Attributes:
        in_channels: channels of the image, plus those of the condition if there is one.
        channels: width of the first layer; it doubles up to eight times that.
        layers: layers that halve.
        norm: instance normalization, or batch normalization (convolutions then lose their bias).
        blur: halve behind a blur filter (MoNCE).
        last_padding: of the last convolution; 0 in MSGAN's discriminator of a single scale.
    """

    in_channels: int = 3
    channels: int = 64
    layers: int = 3
    norm: Literal["instance", "batch"] = "instance"
    blur: bool = False
    last_padding: int = 1


class PatchDiscriminator(nn.Module):
    """Judge patches at the image's own scale."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.model = _stack(config, config.channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the map of logits ``[N, 1, h, w]``, as a list of one."""
        return [self.model(images)]


class MultiscaleDiscriminator(nn.Module):
    """Judge patches of the image and of its reductions, each with a network of its own.

    Scale i is the image halved i times, and its network has 1/2^i of the channels.
    """

    def __init__(self, config: DiscriminatorConfig, *, scales: int = 2) -> None:
        super().__init__()
        for scale in range(scales):
            self.add_module(f"model_{scale}", _stack(config, round(config.channels / 2**scale)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of logits ``[N, 1, h, w]``, finest scale first."""
        maps = []
        for stack in self.children():
            maps.append(stack(images))
            images = functional.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        return maps


def _stack(config: DiscriminatorConfig, channels: int) -> nn.Sequential:
    """Stack the layers that halve, one that keeps the size, and the one that judges."""
    bias = config.norm == "instance"
    modules: list[nn.Module] = []
    before = config.in_channels
    for index in range(config.layers + 1):
        width = channels * min(2**index, 8)
        halves = index < config.layers
        stride = 2 if halves and not config.blur else 1
        modules.append(nn.Conv2d(before, width, 4, stride, 1, bias=bias or index == 0))
        if index > 0:
            modules.append(InstanceNorm() if bias else nn.BatchNorm2d(width))
        modules.append(nn.LeakyReLU(_SLOPE))
        if halves and config.blur:
            modules.append(BlurDown(width))
        before = width
    return nn.Sequential(*modules, nn.Conv2d(before, 1, 4, 1, config.last_padding))
