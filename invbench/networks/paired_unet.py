"""The U-Net that reads a diffused image beside its diffused observation and scores both.

It is the network ``ddpm_paired`` of "Conditional Image Generation with Score-Based Diffusion
Models" (Batzolis et al. 2021) and "Non-Uniform Diffusion Models" (2022): the U-Net of DDPM, its
modules in one numbered list. Parameter names are those of that code (``all_modules.3.Conv_0``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn import functional

from invbench.networks.timesteps import phases

if TYPE_CHECKING:
    from torch import Tensor

_SILENT = 1e-10
_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


@dataclass(frozen=True, kw_only=True)
class PairedUnetConfig:
    """Sizes of a paired U-Net; the defaults are those of 8x super-resolution at 160x160.

    Attributes:
        size: side of the images in pixels; it decides where attention sits.
        image_channels: channels of the image.
        observation_channels: channels of the observation.
        channels: base width.
        multipliers: width of each level as a multiple of it, finest level first.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention_sizes: levels with attention, as sides in pixels.
        dropout: in every residual block.
        patch: side of the squares of pixels that the network reads and writes as the channels of
            one position, so that all of it works at 1 / patch of the side. Published: 1.
    """

    size: int = 160
    image_channels: int = 3
    observation_channels: int = 3
    channels: int = 96
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 3, 3)
    blocks: int = 2
    attention_sizes: tuple[int, ...] = (20, 10, 5)
    dropout: float = 0.1
    patch: int = 1


class PointwiseLinear(nn.Module):
    """Mix the channels of each pixel by a matrix W ``[in, out]`` (a "network in network")."""

    def __init__(self, in_channels: int, out_channels: int, *, scale: float = 0.1) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(in_channels, out_channels))
        self.b = nn.Parameter(torch.zeros(out_channels))
        nn.init.xavier_uniform_(self.W, gain=math.sqrt(scale))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, in, H, W]`` to ``[N, out, H, W]``."""
        return functional.conv2d(features, self.W.t()[..., None, None], self.b)


class ResidualBlock(nn.Module):
    """Convolve twice, and add the embedded time in between."""

    def __init__(self, in_channels: int, out_channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.GroupNorm_0 = _norm(in_channels)
        self.Conv_0 = _conv(in_channels, out_channels)
        self.Dense_0 = _linear(embedding, out_channels)
        self.GroupNorm_1 = _norm(out_channels)
        self.Dropout_0 = nn.Dropout(dropout)
        self.Conv_1 = _conv(out_channels, out_channels, scale=_SILENT)
        if in_channels != out_channels:
            self.NIN_0 = PointwiseLinear(in_channels, out_channels)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Map ``[N, in, H, W]`` and ``[N, embedding]`` to ``[N, out, H, W]``."""
        hidden = self.Conv_0(functional.silu(self.GroupNorm_0(features)))
        hidden = hidden + self.Dense_0(functional.silu(embedding))[..., None, None]
        hidden = self.Conv_1(self.Dropout_0(functional.silu(self.GroupNorm_1(hidden))))
        skip = self.NIN_0(features) if hasattr(self, "NIN_0") else features
        out: Tensor = skip + hidden
        return out


class Attention(nn.Module):
    """Let every position look at every other, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = _norm(channels)
        self.NIN_0 = PointwiseLinear(channels, channels)
        self.NIN_1 = PointwiseLinear(channels, channels)
        self.NIN_2 = PointwiseLinear(channels, channels)
        self.NIN_3 = PointwiseLinear(channels, channels, scale=_SILENT)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        normalized = self.GroupNorm_0(features)
        # Fused kernels want one head's axis, and each position's channels side by side
        query, key, value = (
            part(normalized).flatten(2).transpose(1, 2).contiguous()[:, None]
            for part in (self.NIN_0, self.NIN_1, self.NIN_2)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)[:, 0]
        out: Tensor = features + self.NIN_3(mixed.transpose(1, 2).reshape_as(features))
        return out


class Downsample(nn.Module):
    """Halve the image by a strided convolution that looks to the right and below."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Conv_0 = _conv(channels, channels, stride=2, padding=0)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, H / 2, W / 2]``."""
        out: Tensor = self.Conv_0(functional.pad(features, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the image by repetition, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Conv_0 = _conv(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, 2 H, 2 W]``."""
        out: Tensor = self.Conv_0(functional.interpolate(features, scale_factor=2, mode="nearest"))
        return out


class PairedUnet(nn.Module):
    """Map a diffused image, a diffused observation and their time to one output for each.

    `forward` walks the numbered list in the order in which the constructor filled it.
    """

    def __init__(self, config: PairedUnetConfig) -> None:
        super().__init__()
        self.config = config
        embedding = 4 * config.channels
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        in_channels = (config.image_channels + config.observation_channels) * config.patch**2
        modules: list[nn.Module] = [
            _linear(config.channels, embedding),
            _linear(embedding, embedding),
            _conv(in_channels, widths[0]),
        ]
        skips = [widths[0]]
        # The way down
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                modules.append(ResidualBlock(skips[-1], width, embedding, config.dropout))
                modules.extend([Attention(width)] if self._attends(level) else [])
                skips.append(width)
            if level + 1 < len(widths):
                modules.append(Downsample(width))
                skips.append(width)
        # The middle
        below = widths[-1]
        modules.append(ResidualBlock(below, below, embedding, config.dropout))
        modules.append(Attention(below))
        modules.append(ResidualBlock(below, below, embedding, config.dropout))
        # The way up
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                read = ResidualBlock(below + skips.pop(), width, embedding, config.dropout)
                modules.append(read)
                below = width
            modules.extend([Attention(width)] if self._attends(level) else [])
            modules.extend([Upsample(width)] if level > 0 else [])
        modules.append(_norm(widths[0]))
        modules.append(_conv(widths[0], in_channels, scale=_SILENT))
        self.all_modules = nn.ModuleList(modules)

    def _attends(self, level: int) -> bool:
        return self.config.size // self.config.patch // 2**level in self.config.attention_sizes

    def forward(self, image: Tensor, observation: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            image: diffused image ``[N, image_channels, H, W]``, of data in [0, 1].
            observation: diffused observation ``[N, observation_channels, H, W]``, likewise.
            times: ``[N]`` in [0, 999], fractional.

        Returns:
            The outputs that belong to the image and to the observation, shaped like them.
        """
        config, modules = self.config, iter(self.all_modules)
        angle = phases(times, config.channels // 2, last=config.channels // 2 - 1)
        embedding = next(modules)(torch.cat([angle.sin(), angle.cos()], dim=1))
        embedding = next(modules)(functional.silu(embedding))
        both = 2 * torch.cat([image, observation], dim=1) - 1
        features = next(modules)(functional.pixel_unshuffle(both, config.patch))
        skips = [features]
        levels = len(config.multipliers)
        # The way down
        for level in range(levels):
            for _ in range(config.blocks):
                features = next(modules)(features, embedding)
                features = next(modules)(features) if self._attends(level) else features
                skips.append(features)
            if level + 1 < levels:
                features = next(modules)(features)
                skips.append(features)
        # The middle
        features = next(modules)(features, embedding)
        features = next(modules)(features)
        features = next(modules)(features, embedding)
        # The way up
        for level in reversed(range(levels)):
            for _ in range(config.blocks + 1):
                features = next(modules)(torch.cat([features, skips.pop()], dim=1), embedding)
            features = next(modules)(features) if self._attends(level) else features
            features = next(modules)(features) if level > 0 else features
        features = functional.silu(next(modules)(features))
        parts = (config.image_channels, config.observation_channels)
        both = functional.pixel_shuffle(next(modules)(features), config.patch)
        of_image, of_observation = both.split(parts, dim=1)
        return of_image, of_observation


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


def _linear(in_features: int, out_features: int) -> nn.Linear:
    return _initialized(nn.Linear(in_features, out_features), 1.0)


def _conv(
    in_channels: int, out_channels: int, *, scale: float = 1.0, stride: int = 1, padding: int = 1
) -> nn.Conv2d:
    return _initialized(nn.Conv2d(in_channels, out_channels, 3, stride, padding), scale)


def _initialized(layer: _Layer, scale: float) -> _Layer:
    """Draw weights uniformly with variance ``scale / mean(fan in, fan out)``; zero the bias."""
    nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(scale))
    nn.init.zeros_(layer.get_parameter("bias"))
    return layer
