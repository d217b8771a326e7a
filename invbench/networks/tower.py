"""The tower of the IMLE family: a pyramid of style-modulated dense networks.

One class covers CHIMLE's network (mapping nets chained from level to level), and its predecessor
HyperRIM's (independent mapping nets). A level can be run on its own, given what the level
below hands up, so that a search over one level's codes pays for that level alone.

Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from invbench.networks.residual_dense import SLOPE, ResidualInResidualBlock, WeightNormConv2d

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Form = Literal["super-resolution", "colorization", "generic"]

_SIGNAL_GAIN = 6**0.5
"""Factor on the convolutions that pass an image on, between dense blocks."""
_NOISE_SCALE = 0.05
"""Factor on their kernels that read the noise map."""
_STYLE_GAIN = 0.05
"""Factor on what a style stack adds."""


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """Sizes of a tower; the defaults are the published ones (CHIMLE, supplement).

    Attributes:
        form: how levels are fed and read, see `Tower.level`.
        in_channels: channels of the image part of a level's input.
        out_channels: channels that a level predicts.
        code_channels: channels of a level's noise map.
        residual_channels: width of each level's residual path, lowest level first.
        growth_channels: growth of each level's dense blocks.
        blocks: residual-in-residual blocks a level.
        map_channels: length of the style part of a level's code.
        latent_channels: width of the mapping nets.
        feature_scales: factor on the features handed from one level to the next.
        chained: whether a level's mapping net reads the styles of the levels below (CHIMLE).
        upsample: whether a level doubles the size of what it hands up.
        difference: whether what a level predicts is added to its image: to its input, or for
            super-resolution to the smoothest enlargement of the observation. Not published;
            colorization, which predicts chroma to add to lightness, is so without it.
    """

    form: Form
    in_channels: int = 3
    out_channels: int = 3
    code_channels: int = 5
    residual_channels: tuple[int, ...] = (128, 64, 64, 64)
    growth_channels: tuple[int, ...] = (256, 192, 128, 64)
    blocks: int = 6
    map_channels: int = 128
    latent_channels: int = 512
    feature_scales: tuple[float, ...] = (0.1, 0.1, 0.1)
    chained: bool = True
    upsample: bool = True
    difference: bool = False

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.residual_channels)


@dataclass(frozen=True)
class Carry:
    """What a level hands to the next one: features, its raw prediction and all styles so far."""

    features: Tensor
    prediction: Tensor
    styles: tuple[Tensor, ...]

    def repeat(self, times: int) -> Carry:
        """Repeat each image's carry, for that many candidate codes of the next level."""
        return Carry(
            self.features.repeat_interleave(times, dim=0),
            self.prediction.repeat_interleave(times, dim=0),
            tuple(style.repeat_interleave(times, dim=0) for style in self.styles),
        )


class StyleStack(nn.Module):
    """Refine features in residual blocks; the style scales and shifts what each one gives."""

    def __init__(self, channels: int, growth: int, blocks: int, latent_channels: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.sub = nn.ModuleDict()
        for index in range(blocks):
            self.sub[str(index)] = ResidualInResidualBlock(channels, growth)
        for index in range(blocks):
            self.sub[f"transform_{index}"] = nn.Linear(latent_channels, 2 * channels)
        self.sub["lr_conv"] = nn.Sequential(WeightNormConv2d(channels, channels))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Modulate ``[N, channels, H, W]`` by ``[N, latent_channels]``."""
        for index in range(self.blocks):
            normalized = functional.instance_norm(self.sub[str(index)](features))
            scale, shift = self.sub[f"transform_{index}"](style)[..., None, None].chunk(2, dim=1)
            features = (1 + scale) * normalized + shift
        out: Tensor = self.sub["lr_conv"](features)
        return out


def _mapping(in_channels: int, channels: int, layers: int) -> nn.Sequential:
    sizes = [in_channels, *[channels] * layers]
    pairs = ((nn.Linear(a, b), nn.LeakyReLU(SLOPE)) for a, b in pairwise(sizes))
    return nn.Sequential(*(module for pair in pairs for module in pair))


def _doubling(channels: int, *, upsample: bool) -> nn.Sequential:
    convs = [module for _ in range(2) for module in _activated(channels)]
    return nn.Sequential(*([nn.Upsample(scale_factor=2)] if upsample else []), *convs)


def _activated(channels: int) -> tuple[nn.Module, nn.Module]:
    return WeightNormConv2d(channels, channels), nn.LeakyReLU(SLOPE, inplace=True)


class Tower(nn.Module):
    """Generate an image level by level, from what each level reads and one code for each level."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        below = 0
        for index, (channels, growth) in enumerate(
            zip(config.residual_channels, config.growth_channels, strict=True)
        ):
            name = f"level_{index + 1}"
            latent = config.latent_channels
            if config.chained:
                self.add_module(f"{name}_map_0", _mapping(config.map_channels, latent, 1))
                self.add_module(f"{name}_map", _mapping(latent * (index + 1), latent, 7))
            else:
                self.add_module(f"{name}_map", _mapping(config.map_channels, latent, 8))
            feed = config.in_channels + config.code_channels + below
            self.add_module(f"{name}_feat", nn.Sequential(WeightNormConv2d(feed, channels)))
            self.add_module(f"{name}_style", StyleStack(channels, growth, config.blocks, latent))
            last = index + 1 == config.levels
            doubles = config.upsample and not (config.form == "colorization" and last)
            self.add_module(f"{name}_up", _doubling(channels, upsample=doubles))
            self.add_module(
                f"{name}_out",
                nn.Sequential(WeightNormConv2d(channels, config.out_channels), nn.Tanh()),
            )
            below = channels

    def code_lengths(self, height: int, width: int) -> list[int]:
        """Return the length of each level's code for a lowest input of ``height x width``."""
        grow = 4 if self.config.upsample else 1
        return [
            self.config.map_channels + self.config.code_channels * height * width * grow**level
            for level in range(self.config.levels)
        ]

    def output_sizes(self, side: int) -> list[int]:
        """Return the side of each level's square output for a lowest input of side ``side``."""
        first = 1 if self.config.form == "super-resolution" else 0
        grow = 2 if self.config.upsample else 1
        return [side * grow ** (first + level) for level in range(self.config.levels)]

    def forward(self, inputs: Sequence[Tensor], codes: Sequence[Tensor]) -> list[Tensor]:
        """Run the levels that have a code and return their outputs, lowest first.

        Args:
            inputs: image part of each level, ``[N, in_channels, H_l, W_l]``; for
                super-resolution only the first is read, and with ``difference`` after it what
                each level's prediction is added to.
            codes: ``[N, length_l]`` standard normal codes, see `code_lengths`.
        """
        outputs: list[Tensor] = []
        carry = None
        for code in codes:
            output, carry = self.level(len(outputs), inputs, code, carry)
            outputs.append(output)
        return outputs

    def level(
        self, index: int, inputs: Sequence[Tensor], code: Tensor, carry: Carry | None
    ) -> tuple[Tensor, Carry]:
        """Run one level on top of what the level below carried up.

        super-resolution: reads the image below (in [-1, 1]), doubles, then predicts.
        generic: reads the input's pyramid, predicts, then doubles for the next level.
        colorization: as generic, but the last level does not double, and predicts the two colour
        channels that follow the input's lightness in the output.

        Returns:
            The output, in [0, 1] for super-resolution and generic, and the carry for level + 1.
        """
        config = self.config
        part = self.get_submodule
        name = f"level_{index + 1}"
        super_resolution = config.form == "super-resolution"

        # Split the code into a style vector and a noise map of the working size
        image = carry.prediction if carry and super_resolution else inputs[index]
        style_code, noise = code[:, : config.map_channels], code[:, config.map_channels :]
        noise = noise.reshape(-1, config.code_channels, *image.shape[-2:])

        # Map the style, reading the styles of the levels below
        styles = carry.styles if carry else ()
        if config.chained:
            style_code = torch.cat([part(f"{name}_map_0")(style_code), *styles], dim=1)
        style = part(f"{name}_map")(style_code)

        # Extract features, with one long shortcut round the style stack
        feed = [image, noise]
        if carry:
            feed.append(config.feature_scales[index - 1] * carry.features)
        features = part(f"{name}_feat")(torch.cat(feed, dim=1))
        features = features + part(f"{name}_style")(features, style)

        # Predict before or after doubling, as the form demands
        last = index + 1 == config.levels
        if super_resolution or (config.form == "colorization" and last):
            features = part(f"{name}_up")(features)
            prediction = part(f"{name}_out")(features)
        else:
            prediction = part(f"{name}_out")(features)
            features = features if last else part(f"{name}_up")(features)

        output, prediction = self._output(index, inputs, prediction)
        return output, Carry(features, prediction, (*styles, style))

    def _output(
        self, index: int, inputs: Sequence[Tensor], prediction: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return a level's output, and the prediction in [-1, 1] that belongs to it."""
        if self.config.form == "colorization":
            return torch.cat([inputs[index], prediction], 1), prediction
        if self.config.difference:
            super_resolution = self.config.form == "super-resolution"
            output = inputs[index + super_resolution] + prediction
            return output, 2 * output - 1
        return (prediction + 1) / 2, prediction


def initialize(tower: Tower) -> None:
    """Draw linear layers from Kaiming's normal law, set biases to zero, and start with low noise.

    The factors are ours, for short runs. The published code scales linear layers by 0.1, so that
    the style hardly depends on its code: over codes it has a standard deviation of 5e-9 after eight
    layers, and next to no gradient. Convolutions keep PyTorch's default there, whose gain is
    1 / sqrt(6) of Kaiming's, and the last of four levels starts with an output that varies a
    thousand times more with the noise than with the observation.
    """
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
    config = tower.config
    noise = slice(config.in_channels, config.in_channels + config.code_channels)
    for name, module in tower.named_modules():
        if isinstance(module, WeightNormConv2d):
            if "_feat." in name:
                module.scale_inputs(noise, _NOISE_SCALE)
            if name.endswith("lr_conv.0"):
                module.weight_g.data.mul_(_STYLE_GAIN)
            elif "_out." in name and (config.difference or config.form == "colorization"):
                module.weight_g.data.mul_(_STYLE_GAIN)  # begin near the observation
            elif "_style." not in name:
                module.weight_g.data.mul_(_SIGNAL_GAIN)
