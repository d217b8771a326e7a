"""The U-Net of "Diffusion Models Beat GANs on Image Synthesis" (Dhariwal & Nichol, 2021).

Parameter names are those of the published checkpoints (``256x256_diffusion_uncond.pt``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from invbench.networks.timesteps import phases

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GuidedUnetConfig:
    """Sizes of a guided U-Net; the defaults are those of the unconditional 256x256 model.

    Attributes:
        channels: base width.
        multipliers: width of each level as a multiple of it, finest level first.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention_factors: levels with attention, as factors by which the image is reduced there.
        head_channels: channels of an attention head.
        in_channels: channels of the image.
        out_channels: 3 for the noise alone, 6 where a variance was learned with it.
        classes: number of classes the network is conditioned on, if any.
        dropout: in every residual block.
        patch: side of the squares of pixels that the network reads and writes as the channels of
            one position, so that all of it works at 1 / patch of the side. Published: 1.
    """

    channels: int = 256
    multipliers: tuple[float, ...] = (1, 1, 2, 2, 4, 4)
    blocks: int = 2
    attention_factors: tuple[int, ...] = (8, 16, 32)
    head_channels: int = 64
    in_channels: int = 3
    out_channels: int = 6
    classes: int | None = None
    dropout: float = 0.0
    patch: int = 1


class ResidualBlock(nn.Module):
    """Convolve twice; the embedded time scales and shifts what the second convolution reads.

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        embedding: length of the embedding.
        dropout: before the last convolution.
        resample: whether the block halves the image by 2x2 means, or doubles it by repetition.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        dropout: float,
        *,
        resample: Literal["down", "up"] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            _zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Map ``[N, in, H, W]`` and ``[N, embedding]`` to ``[N, out, H', W']``."""
        norm, activation, conv = self.in_layers
        hidden = conv(self._resized(activation(norm(features))))
        scale, shift = self.emb_layers(embedding)[..., None, None].chunk(2, dim=1)
        norm, *rest = self.out_layers
        hidden = norm(hidden) * (1 + scale) + shift
        for layer in rest:
            hidden = layer(hidden)
        out: Tensor = self.skip_connection(self._resized(features)) + hidden
        return out

    def _resized(self, features: Tensor) -> Tensor:
        if self.resample == "down":
            return functional.avg_pool2d(features, 2)
        if self.resample == "up":
            return functional.interpolate(features, scale_factor=2, mode="nearest")
        return features


class Attention(nn.Module):
    """Let every position look at every other, in several heads, each with its own projection."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = _zero(nn.Conv1d(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        flat = features.flatten(2)
        # Published weights keep the q, k and v of one head together
        qkv = self.qkv(self.norm(flat)).unflatten(1, (self.heads, 3, -1))
        # Fused kernels want each position's channels side by side
        query, key, value = qkv.transpose(-1, -2).contiguous().unbind(2)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = flat + self.proj_out(mixed.transpose(-1, -2).flatten(1, 2))
        return out.view_as(features)


class EmbeddedSequential(nn.ModuleList):
    """Apply modules in order, giving the embedding to those that read one."""

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Map features; what comes out depends on the modules."""
        for module in self:
            reads_embedding = isinstance(module, ResidualBlock)
            features = module(features, embedding) if reads_embedding else module(features)
        return features


class GuidedUnet(nn.Module):
    """Predict the noise in an image from the image and the time it was diffused for."""

    def __init__(self, config: GuidedUnetConfig) -> None:
        super().__init__()
        self.config = config
        embedding = 4 * config.channels
        self.time_embed = nn.Sequential(
            nn.Linear(config.channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if config.classes is not None:
            self.label_emb = nn.Embedding(config.classes, embedding)
        widths = [int(multiplier * config.channels) for multiplier in config.multipliers]
        skips = self._build_input(widths, embedding)
        self.middle_block = EmbeddedSequential(
            [
                ResidualBlock(widths[-1], widths[-1], embedding, config.dropout),
                Attention(widths[-1], config.head_channels),
                ResidualBlock(widths[-1], widths[-1], embedding, config.dropout),
            ]
        )
        self._build_output(widths, embedding, skips)
        self.out = nn.Sequential(
            nn.GroupNorm(32, widths[0]),
            nn.SiLU(),
            _zero(nn.Conv2d(widths[0], config.out_channels * config.patch**2, 3, padding=1)),
        )

    def _build_input(self, widths: list[int], embedding: int) -> list[int]:
        """Build the way down; return the width of what each block leaves for the way up."""
        config = self.config
        first = nn.Conv2d(config.in_channels * config.patch**2, widths[0], 3, padding=1)
        blocks, skips, last = [EmbeddedSequential([first])], [widths[0]], len(widths) - 1
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                block = ResidualBlock(skips[-1], width, embedding, config.dropout)
                blocks.append(EmbeddedSequential([block, *self._attention(level, width)]))
                skips.append(width)
            if level < last:
                down = ResidualBlock(width, width, embedding, config.dropout, resample="down")
                blocks.append(EmbeddedSequential([down]))
                skips.append(width)
        self.input_blocks = nn.ModuleList(blocks)
        return skips

    def _build_output(self, widths: list[int], embedding: int, skips: list[int]) -> None:
        """Build the way up, each block reading what the block opposite left."""
        config = self.config
        blocks: list[EmbeddedSequential] = []
        below = widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            for index in range(config.blocks + 1):
                read = ResidualBlock(below + skips.pop(), width, embedding, config.dropout)
                parts = [read, *self._attention(level, width)]
                if level > 0 and index == config.blocks:
                    up = ResidualBlock(width, width, embedding, config.dropout, resample="up")
                    parts.append(up)
                blocks.append(EmbeddedSequential(parts))
                below = width
        self.output_blocks = nn.ModuleList(blocks)

    def _attention(self, level: int, width: int) -> Iterable[nn.Module]:
        if 2**level in self.config.attention_factors:
            yield Attention(width, self.config.head_channels)

    def embed(self, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the embedding ``[N, 4 * channels]`` of times ``[N]`` and of classes, if any."""
        half = self.config.channels // 2
        angle = phases(times, half, last=half)
        embedding: Tensor = self.time_embed(torch.cat([angle.cos(), angle.sin()], dim=1))
        return embedding if labels is None else embedding + self.label_emb(labels)

    def forward(self, images: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict the noise.

        Args:
            images: diffused images ``[N, in_channels, H, W]``, of data in [-1, 1].
            times: ``[N]`` in 0, ..., 999.
            labels: ``[N]`` classes, for a network with classes.

        Returns:
            ``[N, out_channels, H, W]``: the noise in the first three channels.
        """
        embedding = self.embed(times, labels)
        features, skips = functional.pixel_unshuffle(images, self.config.patch), []
        for block in self.input_blocks:
            features = block(features, embedding)
            skips.append(features)
        features = self.middle_block(features, embedding)
        for block in self.output_blocks:
            features = block(torch.cat([features, skips.pop()], dim=1), embedding)
        return functional.pixel_shuffle(self.out(features), self.config.patch)


def _zero(module: nn.Module) -> nn.Module:
    """Set a layer to zero, so that the residual branch it ends adds nothing at first."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
