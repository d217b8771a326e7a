"""Configurations of DDRM: the sizes of its priors, and the operators it can invert."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from invbench.errors import UnknownNameError
from invbench.models.ddrm import DdrmOptions, DdrmSampler
from invbench.models.ddrm_jpeg import DdrmJpegOptions, DdrmJpegSampler
from invbench.models.diffusion import Denoiser, PriorConfig, as_denoiser
from invbench.models.method import Method, Sampler
from invbench.networks import GuidedUnet, GuidedUnetConfig, SimpleUnet, SimpleUnetConfig
from invbench.operators import (
    SVD,
    Factors,
    LinearBicubic,
    LinearGray,
    SeparableSVD,
    mirrored_bicubic_matrix,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from invbench.models.ddrm import Decompose


@dataclass(frozen=True, kw_only=True)
class DdrmConfig:
    """A prior, and how it is used for a task.

    Attributes:
        prior: it knows no task; a checkpoint fits if this agrees.
        restorer: makes a sampler of the prior's denoiser; the task's operator is in here.
        rounds: whether each step goes through a codec.
    """

    prior: PriorConfig
    restorer: Callable[[Denoiser], Sampler]
    rounds: bool = False


_SIZES = {
    "tiny": {"sr16": 128, "colorization": 64, "decompression": 64},
    "small": {"sr16": 128, "colorization": 128, "decompression": 128},
    "official": {"sr16": 512, "colorization": 512, "decompression": 512},
    "faces": {"sr16": 256, "colorization": 256, "decompression": 256},
}
_NETWORKS: dict[tuple[str, int], GuidedUnetConfig | SimpleUnetConfig] = {
    # At 32x32 and below, where wide convolutions make good use of a CPU
    ("tiny", 64): GuidedUnetConfig(
        channels=64,
        multipliers=(1, 1),
        blocks=1,
        attention_factors=(),
        head_channels=32,
        out_channels=3,
        patch=2,
    ),
    ("tiny", 128): GuidedUnetConfig(
        channels=64,
        multipliers=(1, 1),
        blocks=1,
        attention_factors=(),
        head_channels=32,
        out_channels=3,
        patch=4,
    ),
    ("small", 128): GuidedUnetConfig(
        channels=64,
        multipliers=(1, 1, 2, 2, 2),
        blocks=1,
        attention_factors=(8, 16),
        out_channels=3,
    ),
    # The published 512x512 network reads classes; its unconditional fine-tunes have these sizes
    ("official", 512): GuidedUnetConfig(
        multipliers=(0.5, 1, 1, 2, 2, 4, 4), attention_factors=(16, 32, 64)
    ),
    # The published prior of faces
    ("faces", 256): SimpleUnetConfig(),
}


@cache
def bicubic(factor: int, height: int, width: int) -> SVD:
    """Decompose the linear form of the benchmark's bicubic reduction, for observations h x w."""
    return LinearBicubic(factor * height, factor * width, factor=factor).svd()


@cache
def mirrored_bicubic(factor: int, height: int, width: int) -> SVD:
    """Decompose the published bicubic reduction, which mirrors the image at its border.

    Singular values below 0.03 are dropped, as published; at factor 16 there are none.
    """
    rows, columns = (
        Factors.of(mirrored_bicubic_matrix(size, factor * size), cutoff=0.03)
        for size in (height, width)
    )
    return SeparableSVD(rows, columns)


@cache
def block_means(factor: int, height: int, width: int) -> SVD:
    """Decompose the published plain reduction, the mean of each block: not bicubic at all."""
    mean = np.full((1, factor), 1 / factor)
    rows, columns = (Factors.of(np.kron(np.eye(size), mean)) for size in (height, width))
    return SeparableSVD(rows, columns)


@cache
def luma(height: int, width: int) -> SVD:
    """Decompose the linear form of the benchmark's gray."""
    return LinearGray(height, width).svd()


@cache
def channel_mean(height: int, width: int) -> SVD:
    """Decompose the published gray, the mean of the channels."""
    return LinearGray(height, width, weights=(0.3333, 0.3334, 0.3333)).svd()


OPERATORS: dict[str, dict[str, Decompose]] = {
    "sr16": {
        "matched": partial(bicubic, 16),
        "official": partial(mirrored_bicubic, 16),
        "average": partial(block_means, 16),
    },
    "colorization": {"matched": luma, "official": channel_mean},
}
"""Task -> the operators that may be inverted for it; "matched" is the benchmark's own."""


def configure_ddrm(task: str, name: str) -> DdrmConfig:
    """Return the configuration of a task.

    Raises:
        UnknownNameError: for an unknown task or configuration.
    """
    prior = PriorConfig(
        network=_NETWORKS[name, _size(task, name)],
        preconditioning="none" if name in {"official", "faces"} else "natural",
    )
    return DdrmConfig(prior=prior, restorer=_restorer(task), rounds=task == "decompression")


def _restorer(task: str) -> Callable[[Denoiser], Sampler]:
    if task == "decompression":
        return partial(DdrmJpegSampler, options=DdrmJpegOptions())
    decompose = OPERATORS[task]["matched"]
    return partial(DdrmSampler, decompose=decompose, options=DdrmOptions())


def build_prior(config: DdrmConfig) -> nn.Module:
    """Build an untrained prior."""
    sizes = config.prior.network
    return SimpleUnet(sizes) if isinstance(sizes, SimpleUnetConfig) else GuidedUnet(sizes)


def make_sampler(network: nn.Module, config: DdrmConfig) -> Sampler:
    """Wrap a prior as the sampler of the configured task."""
    return config.restorer(as_denoiser(network, preconditioning=config.prior.preconditioning))


def rename_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published prior's state dict to the keys of `GuidedUnet` or `SimpleUnet`.

    The published files have these keys already, but for the prefix ``module.`` of some.
    """
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _size(task: str, name: str) -> int:
    if name not in _SIZES:
        raise UnknownNameError.among("configuration", name, _SIZES)
    if task not in _SIZES[name]:
        raise UnknownNameError.among("task", task, _SIZES[name])
    return _SIZES[name][task]


METHOD = Method(
    name="ddrm",
    family="diffusion",
    source="arXiv:2201.11793",
    configure=configure_ddrm,
    build=build_prior,
    sampler=make_sampler,
    stem=lambda task, name: f"ddrm-{_size(task, name)}",
    rename_official=rename_official,
    network_config=lambda config: config.prior,
    stochastic=lambda _: "noise",
    rounds=lambda config: config.rounds,
)
