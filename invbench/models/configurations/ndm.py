"""Configurations of NDM: the sizes of its networks, and how far each side diffuses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from invbench.errors import UnknownNameError
from invbench.models.method import Method
from invbench.models.multispeed import JointScoreConfig, VarianceExploding
from invbench.models.ndm import GeometricMean, NdmConfig, NdmSampler
from invbench.networks import PairedUnet, PairedUnetConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_NETWORKS = {
    # At 32x32 and below, where wide convolutions make good use of a CPU
    ("tiny", 64): PairedUnetConfig(
        size=64,
        channels=64,
        multipliers=(1, 1),
        blocks=1,
        attention_sizes=(),
        dropout=0.0,
        patch=2,
    ),
    ("tiny", 128): PairedUnetConfig(
        size=128,
        channels=64,
        multipliers=(1, 1, 1),
        blocks=1,
        attention_sizes=(),
        dropout=0.0,
        patch=4,
    ),
    ("small", 128): PairedUnetConfig(
        size=128,
        channels=64,
        multipliers=(1, 1, 2, 2, 2),
        blocks=1,
        attention_sizes=(16, 8),
        dropout=0.0,
    ),
    # The published widths; attention on the three coarsest of the six levels, as there
    ("official", 512): PairedUnetConfig(size=512, attention_sizes=(64, 32, 16)),
}
_SIZES = {
    "tiny": {"sr16": 128, "colorization": 64, "decompression": 64},
    "small": {"sr16": 128, "colorization": 128, "decompression": 128},
    "official": {"sr16": 512, "colorization": 512, "decompression": 512},
}
# Published for super-resolution and colorization; nothing was published for JPEG
_OBSERVATION_SIGMA_MAX = {"sr16": 0.5, "colorization": 0.1, "decompression": 0.5}
# Far below the published rule, sqrt(3) times the side: a grid of 25 has none to spare for
# noise in which nothing of an image in [0, 1] can be seen
_SMALL_SIGMA_MAX = 50.0
# About the observation photographs vary so little that less noise hides them, and so fewer steps
# lead from it at the same pace
_DIFFERENCE_STD = {"sr16": 0.125, "colorization": 0.085, "decompression": 0.11}
_TINY_SIGMA_MAX = 10.0
_TINY_STEPS = 20


def configure_ndm(task: str, name: str) -> NdmConfig:
    """Return the configuration of a task.

    Raises:
        UnknownNameError: for an unknown task or configuration.
    """
    if name not in _SIZES:
        raise UnknownNameError.among("configuration", name, _SIZES)
    if task not in _SIZES[name]:
        raise UnknownNameError.among("task", task, _SIZES[name])
    size = _SIZES[name][task]
    network = _NETWORKS[name, size]
    if task == "colorization":
        network = replace(network, observation_channels=1)
    sigma_max = math.sqrt(3) * size if name == "official" else _SMALL_SIGMA_MAX
    score = JointScoreConfig(
        network=network,
        image=VarianceExploding(sigma_max=sigma_max),
        observation=VarianceExploding(sigma_max=_OBSERVATION_SIGMA_MAX[task]),
        preconditioning="none" if name == "official" else "gaussian",
    )
    enlargement = 16 if task == "sr16" else 1
    if name != "tiny":
        return NdmConfig(score=score, enlargement=enlargement)
    score = replace(
        score,
        image=VarianceExploding(sigma_max=_TINY_SIGMA_MAX),
        preconditioning="observation",
        image_std=_DIFFERENCE_STD[task],
    )
    sampling = GeometricMean(steps=_TINY_STEPS)
    return NdmConfig(score=score, enlargement=enlargement, sampling=sampling, smoothest=True)


def rename_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a published checkpoint to the keys of `PairedUnet`.

    The checkpoints are Lightning's: the prefix is ``score_model.``, with ``module.`` after it where
    training ran in parallel, and models whose observation noise shrinks add buffers with its
    current sigmas. Those saved at the end of an epoch hold the averaged weights.

    Args:
        weights: the checkpoint's ``state_dict``.
    """
    renamed = {}
    for key, value in weights.items():
        if key not in ("sigma_max_y", "sigma_min_y"):
            renamed[key.removeprefix("score_model.").removeprefix("module.")] = value
    return renamed


METHOD = Method(
    name="ndm",
    family="diffusion",
    source="arXiv:2207.09786",
    configure=configure_ndm,
    build=lambda config: PairedUnet(config.score.network),
    sampler=NdmSampler,
    stem=lambda task, _: f"ndm-{task}",
    rename_official=rename_official,
    network_config=lambda config: config.score,
    stochastic=lambda _: "noise",
)
