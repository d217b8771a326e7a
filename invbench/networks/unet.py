"""The U-Net generator of BicycleGAN, MSGAN and DivCo: image and code in, image out.

Images are in [-1, 1]. Parameter names are those of the published checkpoints, which nest each
level inside the level above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from invbench.errors import InvalidImagesError
from invbench.networks.normalization import InstanceNorm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_SLOPE = 0.2
_FIRST_DROPOUT_LEVEL = 4
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "lrelu": lambda: nn.LeakyReLU(_SLOPE),
    "elu": nn.ELU,
}


@dataclass(frozen=True, kw_only=True)
class UnetConfig:
    """Sizes of a U-Net; the defaults are the published ones.

    Attributes:
        depth: levels, each halving the image; its sides must be multiples of 2^depth. The published
            names unet_128 and unet_256 are depths 7 and 8.
        in_channels: channels of the input image.
        out_channels: channels of the output image.
        code_channels: length of the code.
        channels: width of the outermost level; it doubles up to eight times that.
        injection: whether the code is given to all levels, or to the input alone.
        activation: nonlinearity of the way up.
        upsample: transposed convolution, or bilinear enlargement and a 3x3 convolution.
        difference: whether the output is added to the input image, twice, so that the network
            learns only in what the two differ. Not published.
    """

    depth: int
    in_channels: int = 3
    out_channels: int = 3
    code_channels: int = 8
    channels: int = 64
    injection: Literal["all", "input"] = "all"
    activation: Literal["relu", "lrelu", "elu"] = "relu"
    upsample: Literal["transposed", "bilinear"] = "transposed"
    difference: bool = False

    @property
    def widths(self) -> list[int]:
        """The channels that each level hands down, outermost first."""
        return [self.channels * min(2**level, 8) for level in range(self.depth)]


class Level(nn.Module):
    """One level: ``down`` halves the features, ``up`` doubles what the level below returns."""

    def __init__(self, config: UnetConfig, index: int, below: Level | None) -> None:
        super().__init__()
        width = config.widths[index]
        above = config.in_channels if index == 0 else config.widths[index - 1]
        down: list[nn.Module] = [] if index == 0 else [nn.LeakyReLU(_SLOPE)]
        down.append(nn.Conv2d(above + config.code_channels, width, 4, 2, 1))
        if index > 0 and below is not None:
            down.append(InstanceNorm())
        self.down = nn.Sequential(*down)
        self.submodule = below
        self.up = nn.Sequential(*_way_up(config, index))


class Unet(nn.Module):
    """Generate an image by a U-Net that reads the code at every level (``injection="all"``)."""

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        self.config = config
        level = Level(config, config.depth - 1, None)
        for index in reversed(range(config.depth - 1)):
            level = Level(config, index, level)
        self.model = level

    def forward(self, images: Tensor, codes: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        """Map images and codes to images of the same size.

        Args:
            images: ``[N, in_channels, H, W]`` in [-1, 1].
            codes: ``[N, code_channels]``, standard normal when sampling.
            masks: factors for `dropout_shapes`, outermost first; none without dropout.

        Returns:
            ``[N, out_channels, H, W]`` in [-1, 1], or up to 2 from the image with ``difference``.

        Raises:
            InvalidImagesError: if a side is no multiple of 2^depth.
        """
        _require_divisible(images, self.config.depth)
        levels = self._levels()

        # Down: each level reads the features above it and the code, everywhere the same
        skips = [images]
        for level in levels:
            tiled = codes[..., None, None].expand(-1, -1, *skips[-1].shape[-2:])
            skips.append(level.down(torch.cat([skips[-1], tiled], dim=1)))

        # Up: each level but the outermost puts its own input behind its output
        features = skips.pop()
        dropped = dict(enumerate(masks, start=_FIRST_DROPOUT_LEVEL))
        for index in reversed(range(self.config.depth)):
            features = levels[index].up(features)
            if index in dropped:
                features = features * dropped[index]
            if index > 0:
                features = torch.cat([features, skips[index]], dim=1)
        return images + 2 * features if self.config.difference else features

    def dropout_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return the shapes of the features that dropout may act on, outermost first.

        These are the outputs of levels 4 to depth - 2 on the way up.
        """
        widths = self.config.widths
        return [
            (widths[level - 1], height >> level, width >> level)
            for level in range(_FIRST_DROPOUT_LEVEL, self.config.depth - 1)
        ]

    def _levels(self) -> list[Level]:
        levels = [self.model]
        while (below := levels[-1].submodule) is not None:
            levels.append(below)
        return levels


class NestedLevel(nn.Module):
    """One level of `InputUnet`, which holds the level below; all but the outermost keep a skip."""

    def __init__(self, *modules: nn.Module, skips: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(*modules)
        self.skips = skips

    def forward(self, features: Tensor) -> Tensor:
        """Return the output, followed by the skip.

        The published activation works in place, so the skip is the activated input. That shows
        only where the level above does not start with ReLU.
        """
        out: Tensor = self.model(features)
        if not self.skips:
            return out
        return torch.cat([out, functional.leaky_relu(features, _SLOPE)], dim=1)


class InputUnet(nn.Module):
    """Generate an image by a U-Net that reads the code beside it (``injection="input"``)."""

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        nested: list[nn.Module] = []
        for index in reversed(range(1, config.depth)):
            conv = nn.Conv2d(widths[index - 1], widths[index], 4, 2, 1)
            norm = [InstanceNorm()] if nested else []
            down = [nn.LeakyReLU(_SLOPE), conv, *norm]
            nested = [NestedLevel(*down, *nested, *_way_up(config, index), skips=True)]
        first = nn.Conv2d(config.in_channels + config.code_channels, widths[0], 4, 2, 1)
        self.model = NestedLevel(first, *nested, *_way_up(config, 0), skips=False)

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Map images and codes to images of the same size; see `Unet.forward`."""
        _require_divisible(images, self.config.depth)
        tiled = codes[..., None, None].expand(-1, -1, *images.shape[-2:])
        out: Tensor = self.model(torch.cat([images, tiled], dim=1))
        return images + 2 * out if self.config.difference else out


def _way_up(config: UnetConfig, index: int) -> list[nn.Module]:
    """Return a level's way up: activate, double, and normalize or, at the outermost, bound."""
    innermost = index == config.depth - 1
    feed = config.widths[index] * (1 if innermost else 2)
    out = config.out_channels if index == 0 else config.widths[index - 1]
    last = nn.Tanh() if index == 0 else InstanceNorm()
    activation = _ACTIVATIONS[config.activation]()
    if config.upsample == "transposed":
        return [activation, nn.ConvTranspose2d(feed, out, 4, 2, 1), last]
    enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return [activation, enlarge, nn.ReflectionPad2d(1), nn.Conv2d(feed, out, 3), last]


def _require_divisible(images: Tensor, depth: int) -> None:
    if any(side % 2**depth for side in images.shape[-2:]):
        raise InvalidImagesError(
            f"images of shape {tuple(images.shape)} for a U-Net of depth {depth}: "
            f"sides must be multiples of {2**depth}"
        )
