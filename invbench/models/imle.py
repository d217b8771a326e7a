"""How CHIMLE and cIMLE sample: they draw a code for each level of a tower and run it once.

An observation becomes the levels' inputs, and the last level's output becomes an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from invbench.errors import UnknownNameError
from invbench.images import from_uint8, to_uint8
from invbench.networks import Form, Tower, TowerConfig, gray_to_lightness, initialize, lab_to_rgb
from invbench.operators import LinearBicubic, resize_bicubic
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

FORMS: dict[str, Form] = {
    "sr16": "super-resolution",
    "colorization": "colorization",
    "decompression": "generic",
}

_SMALL_SIZES = {
    "tiny": TowerConfig(
        form="generic",
        residual_channels=(16, 16, 16, 12),
        growth_channels=(16, 12, 12, 8),
        blocks=2,
        map_channels=16,
        latent_channels=32,
        difference=True,
    ),
    "small": TowerConfig(
        form="generic",
        residual_channels=(32, 24, 24, 16),
        growth_channels=(32, 24, 16, 8),
        blocks=2,
        map_channels=32,
        latent_channels=64,
    ),
    "official": TowerConfig(form="generic"),
}


def configure_tower(task: str, name: str, *, chained: bool) -> TowerConfig:
    """Return the tower's sizes for a task.

    Raises:
        UnknownNameError: for an unknown task or configuration.
    """
    if task not in FORMS:
        raise UnknownNameError.among("task", task, FORMS)
    if name not in _SMALL_SIZES:
        raise UnknownNameError.among("configuration", name, _SMALL_SIZES)
    config = replace(_SMALL_SIZES[name], form=FORMS[task], chained=chained)
    if task == "colorization":
        config = replace(config, in_channels=1, out_channels=2)
    return config


def build_tower(config: TowerConfig) -> Tower:
    """Build an untrained tower, ready for short runs (see `networks.tower.initialize`)."""
    tower = Tower(config)
    initialize(tower)
    return tower


def network_inputs(observation: Tensor, config: TowerConfig) -> list[Tensor]:
    """Turn an observation ``[N, c, h, w]`` in [0, 1] into each level's image part, lowest first.

    Super-resolution reads the observation at its own size, followed with ``difference`` by what
    the levels' predictions are added to. The other forms read a pyramid of it, reduced by Pillow's
    bicubic filter on 8 bits; for colorization that pyramid is then turned from gray values into
    lightness L / 100. The published code reduces the colour target instead, which a sampler does
    not have.
    """
    if config.form == "super-resolution":
        return [observation, *(_enlarged(observation, config) if config.difference else ())]
    pixels = to_uint8(observation)
    height, width = pixels.shape[-2:]
    factors = [2**step for step in reversed(range(config.levels))]
    pyramid = [
        from_uint8(resize_bicubic(pixels, height // factor, width // factor)) for factor in factors
    ]
    if config.form == "colorization":
        return [gray_to_lightness(gray) for gray in pyramid]
    return pyramid


def _enlarged(observation: Tensor, config: TowerConfig) -> list[Tensor]:
    """Return the smoothest enlargement of an observation to each level's output size."""
    height, width = observation.shape[-2:]
    factors = [2 ** (level + 1) for level in range(config.levels)]
    return [LinearBicubic(f * height, f * width, f).smoothest(observation) for f in factors]


def to_rgb(output: Tensor, config: TowerConfig) -> Tensor:
    """Turn a level's output into RGB, unclamped so that it can be trained on.

    Colorization predicts chroma times lightness: a = 127 A / L, b = 127 B / L, L at least 0.01.
    """
    if config.form != "colorization":
        return output
    lightness = output[:, :1].clamp(min=0.01)
    return lab_to_rgb(torch.cat([100 * lightness, 127 * output[:, 1:] / lightness], dim=1))


@dataclass(frozen=True)
class TowerSampler:
    r"""Draw one code for each of the L levels and run the tower T once.

    With x for the observation, as its levels read it, and y for the image:

    .. math::
        z_l \sim N(0, I), \; l = 1, \dots, L, \qquad y = T_\theta(x, z_1, \dots, z_L)
    """

    tower: Tower
    config: TowerConfig
    nfe: int = 1

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample ``[N, 3, H, W]`` in [0, 1]; see `models.Sampler`."""
        x = network_inputs(observation, self.config)
        lengths = self.tower.code_lengths(*x[0].shape[-2:])
        z = randn(generators, [sum(lengths)], device=observation.device).split(lengths, dim=1)
        y = self.tower(x, z)[-1]
        return to_rgb(y, self.config).clamp(0, 1)


def rename_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map the parameter names of published CHIMLE, CAM-Net and HyperRIM files to ours.

    Most have these names already. Some carry the prefix ``module.``, and files that were saved
    again with torch's newer weight normalization name its two parts otherwise.
    """
    halves = {"original0": "weight_g", "original1": "weight_v"}
    return {
        re.sub(
            r"parametrizations\.weight\.(original[01])$",
            lambda found: halves[found[1]],
            key.removeprefix("module."),
        ): value
        for key, value in weights.items()
    }
