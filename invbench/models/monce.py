"""How MoNCE (Zhan et al., CVPR 2022) samples: by a residual network that is made stochastic.

The published generator is deterministic and its published test mode is not: dropout stays on
there unless asked otherwise. The study that reports intervals for MoNCE does not say where its
samples came from. The mechanism is therefore a choice of this library, named in the configuration
and so in every checkpoint and record: ``stochastic``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from invbench.images import from_signed
from invbench.models.gan import ENLARGE, check_names, condition, drop_statistics
from invbench.networks import (
    ResnetCatConfig,
    ResnetCatGenerator,
    ResnetConfig,
    ResnetGenerator,
    draw_masks,
    initialize_xavier,
)
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

__all__ = [
    "MonceConfig",
    "MonceSampler",
    "build_monce",
    "configure_monce",
    "draw_noise",
    "rename_official",
]

Stochastic = Literal["dropout", "z_input", "resnet_cat", "none"]


@dataclass(frozen=True, kw_only=True)
class MonceConfig:
    """Sizes of MoNCE's generator; the defaults are the published ones.

    Attributes:
        channels: width at full size.
        blocks: residual blocks; five or more for the published contrast layers.
        blur: whether halving and doubling are preceded by a blur filter.
        stochastic: how samples of one observation come to differ. ``dropout``: half of each
            residual block's inner features are dropped, in training and in sampling; the weights
            are named as in the deterministic network. ``z_input``: a noise map beside the image.
            ``resnet_cat``: a code given to all of the decoder, by the network of the published
            repository that its trainer cannot reach. ``none``: all samples are the same.
        code_channels: channels of the noise map, or length of the code.
        enlarge: factor by which the observation is enlarged before the network sees it.
        difference: whether the output is added to that, see `ResnetConfig`.
    """

    channels: int = 64
    blocks: int = 9
    blur: bool = True
    stochastic: Stochastic = "dropout"
    code_channels: int = 8
    enlarge: int = 1
    difference: bool = False


_SIZES = {
    "tiny": MonceConfig(channels=24, blocks=6, difference=True),
    "small": MonceConfig(channels=32, blocks=9),
    "official": MonceConfig(),
}


def configure_monce(task: str, name: str) -> MonceConfig:
    """Return the generator's sizes for a task; the tiny one for sr16 works on 128x128 images.

    Raises:
        UnknownNameError: for an unknown task or configuration.
    """
    check_names(task, name)
    config = replace(_SIZES[name], enlarge=ENLARGE[task])
    return replace(config, channels=16) if (task, name) == ("sr16", "tiny") else config


def build_monce(config: MonceConfig) -> ResnetGenerator | ResnetCatGenerator:
    """Build an untrained generator."""
    generator: ResnetGenerator | ResnetCatGenerator
    if config.stochastic == "resnet_cat":
        sizes = ResnetCatConfig(
            channels=config.channels,
            code_channels=config.code_channels,
            difference=config.difference,
        )
        generator = ResnetCatGenerator(sizes)
    else:
        generator = ResnetGenerator(
            ResnetConfig(
                channels=config.channels,
                blocks=config.blocks,
                blur=config.blur,
                noise_channels=config.code_channels if config.stochastic == "z_input" else 0,
                dropout=config.stochastic == "dropout",
                difference=config.difference,
            )
        )
    initialize_xavier(generator)
    return generator


def draw_noise(
    generator: ResnetGenerator | ResnetCatGenerator,
    generators: Sequence[torch.Generator],
    size: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Draw what makes N samples differ, as keyword arguments of the network.

    Row n is drawn by generator n alone.

    Args:
        generator: the network; its sizes say what it takes.
        generators: N CPU generators.
        size: height and width of the images.
        device: where the noise goes.
    """
    if isinstance(generator, ResnetCatGenerator):
        return {"codes": randn(generators, [generator.config.code_channels], device=device)}
    if generator.config.noise_channels:
        return {"noise": randn(generators, [generator.config.noise_channels, *size], device=device)}
    if generator.config.dropout:
        shapes = generator.dropout_shapes(*size)
        return {"masks": draw_masks(generators, shapes, device=device)}
    return {}


@dataclass(frozen=True)
class MonceSampler:
    r"""Draw noise by the configured mechanism and run the generator once.

    With x for the observation, as the generator reads it, and y for the image:

    .. math::
        y = G(x; z)

    where z are the dropout masks, or a normal noise map or code, or nothing (see `MonceConfig`).
    """

    generator: ResnetGenerator | ResnetCatGenerator
    config: MonceConfig
    nfe: int = 1

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample ``[N, 3, H, W]`` in [0, 1]; see `models.Sampler`."""
        config = self.config
        x = condition(observation, enlarge=config.enlarge, smoothest=config.difference)
        z = draw_noise(self.generator, generators, x.shape[-2:], device=observation.device)
        return from_signed(self.generator(x, **z))


def rename_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map the parameter names of published MoNCE (CUT branch) files to ours.

    This undoes data-parallel wrapping, drops the constant blur filters and the running statistics
    of instance normalization, and closes the gap that a built-in dropout layer leaves in the
    numbering of residual blocks.
    """
    renamed = {}
    for key, value in drop_statistics(weights).items():
        if not key.endswith(".filt"):
            renamed[re.sub(r"\.conv_block\.6\.", ".conv_block.5.", key)] = value
    return renamed
