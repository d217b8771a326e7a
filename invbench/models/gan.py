"""How BicycleGAN, MSGAN and DivCo sample: they draw one code and run a U-Net once.

MoNCE has a generator of its own (`models.monce`) and shares how an observation is made its input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from invbench.errors import UnknownNameError
from invbench.images import from_signed, from_uint8, to_signed, to_uint8
from invbench.networks import InputUnet, Unet, UnetConfig, initialize_xavier
from invbench.operators import LinearBicubic, resize_bicubic
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

ENLARGE = {"sr16": 16, "colorization": 1, "decompression": 1}


@dataclass(frozen=True, kw_only=True)
class UnetGanConfig:
    """The generator of BicycleGAN, MSGAN and DivCo, and how an observation is fed to it.

    Attributes:
        network: sizes of the U-Net.
        enlarge: factor by which the observation is enlarged before the network sees it.
    """

    network: UnetConfig
    enlarge: int = 1


_NETWORKS = {
    "tiny": UnetConfig(depth=6, channels=12, upsample="bilinear", difference=True),
    "small": UnetConfig(depth=7, channels=24),
    "official": UnetConfig(depth=8, channels=64),
}


def configure_unet(task: str, name: str) -> UnetGanConfig:
    """Return the generator's sizes for a task; the tiny one for sr16 works on 128x128 images.

    Raises:
        UnknownNameError: for an unknown task or configuration.
    """
    check_names(task, name)
    network = _NETWORKS[name]
    if (task, name) == ("sr16", "tiny"):
        network = replace(network, depth=7, channels=10)
    return UnetGanConfig(network=network, enlarge=ENLARGE[task])


def check_names(task: str, configuration: str) -> None:
    """Refuse names of tasks and configurations that do not exist.

    Raises:
        UnknownNameError: listing the nearest names.
    """
    if task not in ENLARGE:
        raise UnknownNameError.among("task", task, ENLARGE)
    if configuration not in _NETWORKS:
        raise UnknownNameError.among("configuration", configuration, _NETWORKS)


def build_unet(config: UnetGanConfig) -> Unet | InputUnet:
    """Build an untrained generator."""
    network = Unet if config.network.injection == "all" else InputUnet
    generator = network(config.network)
    initialize_xavier(generator)
    return generator


def condition(observation: Tensor, *, enlarge: int, smoothest: bool = False) -> Tensor:
    """Turn observations ``[N, c, h, w]`` in [0, 1] into inputs ``[N, 3, H, W]`` in [-1, 1].

    A reduced image is enlarged by Pillow's bicubic filter on 8 bits, which clamps what the filter
    overshoots; or, with ``smoothest``, to the smoothest image that is reduced to it, which is
    where a generator that predicts the difference should begin. Gray is replicated. Training and
    sampling both go through here.
    """
    height, width = observation.shape[-2:]
    if enlarge != 1 and smoothest:
        linear = LinearBicubic(height * enlarge, width * enlarge, enlarge)
        observation = linear.smoothest(observation)
    elif enlarge != 1:
        pixels = resize_bicubic(to_uint8(observation), height * enlarge, width * enlarge)
        observation = from_uint8(pixels)
    return to_signed(observation.expand(-1, 3, -1, -1))


@dataclass(frozen=True)
class UnetSampler:
    r"""Draw one code for each sample and run the generator once.

    With A for the observation, as the generator reads it, and B for the image:

    .. math::
        z \sim N(0, I), \qquad B = G(A, z)
    """

    generator: Unet | InputUnet
    config: UnetGanConfig
    nfe: int = 1

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample ``[N, 3, H, W]`` in [0, 1]; see `models.Sampler`."""
        sizes = self.config.network
        A = condition(observation, enlarge=self.config.enlarge, smoothest=sizes.difference)
        z = randn(generators, [sizes.code_channels], device=observation.device)
        return from_signed(self.generator(A, z))


def rename_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map the parameter names of published BicycleGAN, MSGAN and DivCo files to ours.

    What `drop_statistics` leaves keeps its names, but for MSGAN's discriminators, whose
    ``model0.`` becomes ``model_0.``.
    """
    return {
        re.sub(r"^model(\d+)\.", r"model_\1.", key): value
        for key, value in drop_statistics(weights).items()
    }


def drop_statistics(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo data-parallel wrapping (``module.``) and drop instance normalization's statistics.

    Old versions of torch stored running statistics for layers that do not use them. Those are
    the ones without weights; batch normalization has weights and keeps its statistics.
    """
    plain = {key.removeprefix("module."): value for key, value in weights.items()}
    statistics = re.compile(r"(.*)\.(running_mean|running_var|num_batches_tracked)")
    owners = {key: found[1] for key in plain if (found := statistics.fullmatch(key))}
    return {
        key: value
        for key, value in plain.items()
        if key not in owners or f"{owners[key]}.weight" in plain
    }
