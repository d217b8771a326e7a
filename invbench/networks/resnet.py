"""MoNCE's generator, a residual network whose inner features can be read for contrast.

Images are in [-1, 1]. Parameter names are those of the published checkpoints without dropout;
here dropout is a mask that the caller gives, so that every draw has a generator of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from invbench.networks.blur import BlurDown, BlurUp
from invbench.networks.normalization import InstanceNorm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ResnetConfig:
    """Sizes of a residual generator; the defaults are the published ones.

    Attributes:
        in_channels: channels of the input image.
        out_channels: channels of the output image.
        noise_channels: channels of a noise map beside the image; 0 in the published network. A
            code that is the same at all pixels would do nothing: instance normalization takes
            away whatever is constant over an image.
        channels: width at full size; twice at half and four times at quarter size.
        blocks: residual blocks at quarter size.
        blur: halve and double behind a blur filter, else by strided convolutions.
        dropout: whether masks are given, see `ResnetGenerator.dropout_shapes`; weights and their
            names are the same with and without.
        difference: whether the output is added to the input image, twice; see `UnetConfig`.
    """

    in_channels: int = 3
    out_channels: int = 3
    noise_channels: int = 0
    channels: int = 64
    blocks: int = 9
    blur: bool = True
    dropout: bool = False
    difference: bool = False


class ResidualBlock(nn.Module):
    """Add two reflection-padded convolutions to what comes in; dropout may act between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
        )

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape; ``mask``, of that shape, is a factor."""
        inner = self.conv_block[:4](features)
        if mask is not None:
            inner = inner * mask
        out: Tensor = features + self.conv_block[4:](inner)
        return out


class ResnetGenerator(nn.Module):
    """Generate an image: halve twice, refine in residual blocks, double twice."""

    def __init__(self, config: ResnetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        modules: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(config.in_channels + config.noise_channels, width, 7),
            InstanceNorm(),
            nn.ReLU(),
        ]
        modules += [*_halve(width, blur=config.blur), *_halve(2 * width, blur=config.blur)]
        modules += [ResidualBlock(4 * width) for _ in range(config.blocks)]
        modules += [*_double(4 * width, blur=config.blur), *_double(2 * width, blur=config.blur)]
        modules += [nn.ReflectionPad2d(3), nn.Conv2d(width, config.out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*modules)

    def forward(
        self, images: Tensor, noise: Tensor | None = None, masks: Sequence[Tensor] = ()
    ) -> Tensor:
        """Map images to images of the same size.

        Args:
            images: ``[N, in_channels, H, W]`` in [-1, 1], sides multiples of 4.
            noise: ``[N, noise_channels, H, W]``, put beside the image.
            masks: a factor for each residual block's inner features, see `dropout_shapes`.

        Returns:
            ``[N, out_channels, H, W]`` in [-1, 1], or up to 2 from the image with ``difference``.
        """
        out = self.features(images, [len(self.model) - 1], noise, masks)[0]
        return images + 2 * out if self.config.difference else out

    def features(
        self,
        images: Tensor,
        taps: Sequence[int],
        noise: Tensor | None = None,
        masks: Sequence[Tensor] = (),
    ) -> list[Tensor]:
        """Return the outputs of the modules numbered ``taps``, in increasing order.

        Number 0 is the padded input; of that, only the image's channels are returned. The
        published activation works in place, so an output that an activation follows is returned
        activated, unless it is the last one asked for, after which nothing runs.
        """
        features = images if noise is None else torch.cat([images, noise], dim=1)
        remaining = list(masks)
        found: list[Tensor] = []
        for index, module in enumerate(self.model[: max(taps) + 1]):
            if isinstance(module, ResidualBlock) and remaining:
                features = module(features, remaining.pop(0))
            else:
                features = module(features)
            if isinstance(module, nn.ReLU) and index - 1 in taps:
                found[-1] = features
            if index in taps:
                found.append(features[:, : self.config.in_channels] if index == 0 else features)
        return found

    def tap_channels(self, taps: Sequence[int]) -> list[int]:
        """Return the channels of the features numbered ``taps``."""
        channels = [self.config.in_channels]
        for module in self.model:
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                channels.append(module.out_channels)
            else:
                channels.append(channels[-1])
        return [channels[tap + 1] for tap in taps]

    def dropout_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return the shape of each residual block's inner features; none without dropout."""
        shape = (4 * self.config.channels, height // 4, width // 4)
        return [shape] * self.config.blocks if self.config.dropout else []


def _halve(width: int, *, blur: bool) -> list[nn.Module]:
    conv = nn.Conv2d(width, 2 * width, 3, 1 if blur else 2, 1)
    down = [BlurDown(2 * width)] if blur else []
    return [conv, InstanceNorm(), nn.ReLU(), *down]


def _double(width: int, *, blur: bool) -> list[nn.Module]:
    half = width // 2
    up: list[nn.Module] = (
        [BlurUp(width), nn.Conv2d(width, half, 3, 1, 1)]
        if blur
        else [nn.ConvTranspose2d(width, half, 3, 2, 1, output_padding=1)]
    )
    return [*up, InstanceNorm(), nn.ReLU()]
