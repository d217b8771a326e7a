"""The latent-conditioned residual generator of MoNCE's repository, ``resnet_cat``.

Its published trainer cannot reach it (it has no option for a code), yet it is what makes the
method stochastic by design. Images are in [-1, 1]; parameter names are the published ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from invbench.networks.normalization import InstanceNorm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_ENCODER_MODULES = 4


@dataclass(frozen=True, kw_only=True)
class ResnetCatConfig:
    """Sizes of a latent-conditioned residual generator.

    Attributes:
        in_channels: channels of the input image.
        out_channels: channels of the output image.
        code_channels: length of the code.
        channels: width at full size; it doubles with each of the two halvings.
        blocks: residual blocks of the encoder, and of the decoder.
        difference: whether the output is added to the input image, twice; see `UnetConfig`.
    """

    in_channels: int = 3
    out_channels: int = 3
    code_channels: int = 8
    channels: int = 64
    blocks: int = 4
    difference: bool = False


class LayerNorm(nn.Module):
    """Normalize each image over channels and pixels; gain and offset belong to channels.

    The deviation is the unbiased one, and eps is added to it, not to the variance.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        mean = features.mean(dim=(1, 2, 3), keepdim=True)
        deviation = features.flatten(1).std(dim=1)[:, None, None, None]
        normal = (features - mean) / (deviation + 1e-5)
        return normal * self.gamma[:, None, None] + self.beta[:, None, None]


class ConvBlock(nn.Module):
    """Convolve with reflected edges, then normalize and activate where that is asked for."""

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        padding: int,
        norm: nn.Module | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(padding)
        self.norm = norm or nn.Identity()
        self.activation = activation or nn.Identity()
        self.conv = conv

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, in, H, W]`` to ``[N, out, H', W']``."""
        out: Tensor = self.activation(self.norm(self.conv(self.pad(features))))
        return out


class ResidualBlock(nn.Module):
    """Add two convolutions, the first to ``inner`` channels, to what comes in."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.model = nn.Sequential(_normalized(channels, inner, 3, 1, 1), _plain(inner, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        out: Tensor = features + self.model(features)
        return out


class _Sequence(nn.Module):
    """A sequence under the name ``model``, as in the published files."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*modules)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.model(features)
        return out


class _Decoder(nn.Module):
    """Refine features beside a code in residual blocks, then double twice, beside it again."""

    def __init__(self, config: ResnetCatConfig) -> None:
        super().__init__()
        width, code = config.channels, config.code_channels
        blocks = (ResidualBlock(4 * width + code, 4 * width) for _ in range(config.blocks))
        self.resnet_block = _Sequence(*blocks)
        self.block_0 = _doubling(4 * width + code, 2 * width)
        self.block_1 = _doubling(2 * width + code, width)
        last = nn.Conv2d(width + code, config.out_channels, 7)
        self.block_2 = ConvBlock(last, padding=3, activation=nn.Tanh())

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        features = self.block_0(self.resnet_block(_beside(features, codes)))
        features = self.block_1(_beside(features, codes))
        out: Tensor = self.block_2(_beside(features, codes))
        return out


class ResnetCatGenerator(nn.Module):
    """Generate an image by encoding the input without a code and decoding it with one."""

    def __init__(self, config: ResnetCatConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.enc_content = _Sequence(
            _normalized(config.in_channels, width, 7, 1, 3),
            _normalized(width, 2 * width, 4, 2, 1),
            _normalized(2 * width, 4 * width, 4, 2, 1),
            _Sequence(*(ResidualBlock(4 * width, 4 * width) for _ in range(config.blocks))),
        )
        self.dec = _Decoder(config)

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Map images and codes to images of the same size.

        Args:
            images: ``[N, in_channels, H, W]`` in [-1, 1], sides multiples of 4.
            codes: ``[N, code_channels]``.

        Returns:
            ``[N, out_channels, H, W]`` in [-1, 1].
        """
        out: Tensor = self.dec(self.enc_content(images), codes)
        return images + 2 * out if self.config.difference else out

    def features(
        self, images: Tensor, taps: Sequence[int], codes: Tensor | None = None
    ) -> list[Tensor]:
        """Return the outputs of the encoder's modules numbered ``taps``; no code enters them."""
        del codes
        found = []
        for index, module in enumerate(self.enc_content.model[: max(taps) + 1]):
            images = module(images)
            if index in taps:
                found.append(images)
        return found

    def tap_channels(self, taps: Sequence[int]) -> list[int]:
        """Return the channels of the features numbered ``taps``."""
        return [self.config.channels * min(2**tap, 4) for tap in taps]


def _beside(features: Tensor, codes: Tensor) -> Tensor:
    tiled = codes[..., None, None].expand(-1, -1, *features.shape[-2:])
    return torch.cat([features, tiled], dim=1)


def _normalized(before: int, after: int, kernel: int, stride: int, padding: int) -> ConvBlock:
    conv = nn.Conv2d(before, after, kernel, stride)
    return ConvBlock(conv, padding=padding, norm=InstanceNorm(), activation=nn.ReLU())


def _plain(before: int, after: int) -> ConvBlock:
    return ConvBlock(nn.Conv2d(before, after, 3), padding=1, norm=InstanceNorm())


def _doubling(before: int, after: int) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 5)
    block = ConvBlock(conv, padding=2, norm=LayerNorm(after), activation=nn.ReLU())
    return nn.Sequential(nn.Upsample(scale_factor=2), block)
