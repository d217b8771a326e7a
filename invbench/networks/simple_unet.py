"""The U-Net of "Denoising Diffusion Probabilistic Models" (Ho, Jain & Abbeel, 2020).

Parameter names are those of the PyTorch ports that published faces (CelebA-HQ) and LSUN models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from invbench.networks.timesteps import phases

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SimpleUnetConfig:
    """Sizes of a DDPM U-Net; the defaults are those of the 256x256 models.

    Attributes:
        size: side of the images in pixels; it decides where attention sits.
        channels: base width.
        multipliers: width of each level as a multiple of it, finest level first.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention_sizes: levels with attention after every block, as sides in pixels.
        dropout: in every residual block.
    """

    size: int = 256
    channels: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    blocks: int = 2
    attention_sizes: tuple[int, ...] = (16,)
    dropout: float = 0.0


class ResidualBlock(nn.Module):
    """Convolve twice, and add the embedded time in between."""

    def __init__(self, in_channels: int, out_channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = _norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.temb_proj = nn.Linear(embedding, out_channels)
        self.norm2 = _norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Map ``[N, in, H, W]`` and ``[N, embedding]`` to ``[N, out, H, W]``."""
        hidden = self.conv1(functional.silu(self.norm1(features)))
        hidden = hidden + self.temb_proj(functional.silu(embedding))[..., None, None]
        hidden = self.conv2(self.dropout(functional.silu(self.norm2(hidden))))
        skip = self.nin_shortcut(features) if hasattr(self, "nin_shortcut") else features
        out: Tensor = skip + hidden
        return out


class Attention(nn.Module):
    """Let every position look at every other, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        normalized = self.norm(features)
        # Fused kernels want one head's axis, and each position's channels side by side
        query, key, value = (
            part(normalized).flatten(2).transpose(1, 2).contiguous()[:, None]
            for part in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)[:, 0]
        out: Tensor = features + self.proj_out(mixed.transpose(1, 2).reshape_as(features))
        return out


class Downsample(nn.Module):
    """Halve the image by a strided convolution that looks to the right and below."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, H / 2, W / 2]``."""
        out: Tensor = self.conv(functional.pad(features, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the image by repetition, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, 2 H, 2 W]``."""
        out: Tensor = self.conv(functional.interpolate(features, scale_factor=2, mode="nearest"))
        return out


class Blocks(nn.Module):
    """The blocks of one resolution, with attention after each where the size asks for it."""

    def __init__(self, widths: list[tuple[int, int]], config: SimpleUnetConfig, size: int) -> None:
        super().__init__()
        attends = size in config.attention_sizes
        self.block = nn.ModuleList(
            ResidualBlock(a, b, 4 * config.channels, config.dropout) for a, b in widths
        )
        self.attn = nn.ModuleList(Attention(b) for _, b in widths if attends)

    def apply_block(self, index: int, features: Tensor, embedding: Tensor) -> Tensor:
        """Run one block and its attention, if any."""
        features = self.block[index](features, embedding)
        return self.attn[index](features) if len(self.attn) else features


class DownLevel(Blocks):
    """One resolution on the way down, and the step to the next one."""

    def __init__(
        self, widths: list[tuple[int, int]], config: SimpleUnetConfig, size: int, *, last: bool
    ) -> None:
        super().__init__(widths, config, size)
        self.downsample = None if last else Downsample(widths[-1][1])

    def forward(self, features: Tensor, embedding: Tensor) -> list[Tensor]:
        """Return the features after each part, for the way up; the next level reads the last."""
        made = []
        for index in range(len(self.block)):
            features = self.apply_block(index, features, embedding)
            made.append(features)
        return made if self.downsample is None else [*made, self.downsample(features)]


class UpLevel(Blocks):
    """One resolution on the way up, and the step to the next one."""

    def __init__(
        self, widths: list[tuple[int, int]], config: SimpleUnetConfig, size: int, *, last: bool
    ) -> None:
        super().__init__(widths, config, size)
        self.upsample = None if last else Upsample(widths[-1][1])

    def forward(self, features: Tensor, skips: list[Tensor], embedding: Tensor) -> Tensor:
        """Map features; every block reads the last of ``skips`` and removes it."""
        for index in range(len(self.block)):
            features = torch.cat([features, skips.pop()], dim=1)
            features = self.apply_block(index, features, embedding)
        return features if self.upsample is None else self.upsample(features)


class Middle(nn.Module):
    """The coarsest resolution: two blocks with attention between them."""

    def __init__(self, channels: int, config: SimpleUnetConfig) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, 4 * config.channels, config.dropout)
        self.attn_1 = Attention(channels)
        self.block_2 = ResidualBlock(channels, channels, 4 * config.channels, config.dropout)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        features = self.attn_1(self.block_1(features, embedding))
        out: Tensor = self.block_2(features, embedding)
        return out


class TimeEmbedding(nn.Module):
    """Embed times by two linear layers on their sines and cosines."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2
        self.dense = nn.ModuleList(
            [nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, 4 * channels)]
        )

    def forward(self, times: Tensor) -> Tensor:
        """Map times ``[N]`` to ``[N, 4 * channels]``."""
        angle = phases(times, self.frequencies, last=self.frequencies - 1)
        embedding = self.dense[0](torch.cat([angle.sin(), angle.cos()], dim=1))
        out: Tensor = self.dense[1](functional.silu(embedding))
        return out


class SimpleUnet(nn.Module):
    """Predict the noise in an image from the image and the time it was diffused for."""

    def __init__(self, config: SimpleUnetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        levels = list(enumerate(widths))
        self.temb = TimeEmbedding(config.channels)
        self.conv_in = nn.Conv2d(3, config.channels, 3, padding=1)
        # The way down; every part leaves its result to the way up
        skips = [config.channels]
        self.down = nn.ModuleList()
        for index, width in levels:
            pairs = [(skips[-1], width)] + [(width, width)] * (config.blocks - 1)
            last = index + 1 == len(widths)
            self.down.append(DownLevel(pairs, config, config.size // 2**index, last=last))
            skips.extend([width] * (config.blocks + (not last)))
        # The middle
        below = widths[-1]
        self.mid = Middle(below, config)
        # The way up, numbered like the way down
        self.up = nn.ModuleList()
        for index, width in reversed(levels):
            inputs = [below] + [width] * config.blocks
            pairs = [(source + skips.pop(), width) for source in inputs]
            level = UpLevel(pairs, config, config.size // 2**index, last=index == 0)
            self.up.insert(0, level)
            below = width
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        """Predict the noise.

        Args:
            images: diffused images ``[N, 3, H, W]``, of data in [-1, 1].
            times: ``[N]`` in 0, ..., 999.

        Returns:
            The noise, ``[N, 3, H, W]``.
        """
        embedding = self.temb(times)
        skips = [self.conv_in(images)]
        for level in self.down:
            skips.extend(level(skips[-1], embedding))
        features = self.mid(skips[-1], embedding)
        for level in reversed(self.up):
            features = level(features, skips, embedding)
        noise: Tensor = self.conv_out(functional.silu(self.norm_out(features)))
        return noise


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)
