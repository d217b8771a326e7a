"""DDRM: Denoising Diffusion Restoration Models (Kawar, Elad, Ermon & Song, NeurIPS 2022).

A prior that has never seen the task restores an image: each step denoises, and then, in the
singular basis of the linear operator, pulls what was observed towards the observation. JPEG has
no such basis; `ddrm_jpeg` holds the variant for it.

Two properties of the published method are kept, since they are the method. The last step returns
the network's own image, so consistency is not enforced there. And too little noise is added for
exact sampling, at any number of steps: an unobserved Gaussian of std 0.25 comes out with
0.69 of that in 20 steps, so that samples vary too little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional

from invbench.errors import UnknownNameError
from invbench.images import from_signed, to_signed
from invbench.models.ddrm_jpeg import DdrmJpegOptions, DdrmJpegSampler
from invbench.models.diffusion import (
    PriorConfig,
    alpha_bar,
    as_denoiser,
    noise_level,
    predict_clean,
    time_pairs,
)
from invbench.models.method import Method
from invbench.networks import GuidedUnet, GuidedUnetConfig, SimpleUnet, SimpleUnetConfig
from invbench.operators import SVD, LinearBicubic, LinearGray, SeparableSVD, mirrored_bicubic_matrix
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from invbench.models.diffusion import Denoiser, Noise
    from invbench.models.method import Sampler

ROUNDING_STD = 2 / 255 / math.sqrt(12)
"""Standard deviation of rounding to 8 bits, in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class DdrmOptions:
    """How DDRM samples; the defaults are the published ones, but for the operator.

    Attributes:
        steps: network evaluations.
        eta: part of the noise that is fresh, in components whose observation says little.
        eta_b: part of the way from the denoised image to the observation, where that is precise.
        sigma_0: standard deviation of the observation's noise in [-1, 1]. 0 is what is published
            for observations without noise. `ROUNDING_STD` would be honest for those rounded to
            8 bits, but then the last steps of super-resolution are left to the network: with a
            Gaussian prior, reobservations move from equal in most bits to a PSNR of 46 dB.
        operator: "matched" inverts the linear form of the benchmark's operator, "official" that of
            the published code: bicubic weights that are mirrored at the border, and gray as the
            mean of the channels. "average" is like it with the plain super-resolution of that
            code, the mean of each block, which is no bicubic reduction at all.
        official: keep two defects of the published code: the first state is scaled by
            ``1 / sigma`` instead of ``sqrt(alpha_bar)``, which is nearly the same while sigma is
            large; and see `time_pairs`.
    """

    steps: int = 20
    eta: float = 0.85
    eta_b: float = 1.0
    sigma_0: float = 0.0
    operator: Literal["matched", "official", "average"] = "matched"
    official: bool = False


@torch.no_grad()
def restore(
    denoiser: Denoiser,
    observation: Tensor,
    svd: SVD,
    *,
    shape: Sequence[int],
    noise: Noise,
    options: DdrmOptions,
) -> Tensor:
    """Restore images from observations ``y = H x + sigma_0 z``.

    Args:
        denoiser: the prior.
        observation: ``[N, c, h, w]`` in [-1, 1].
        svd: of H.
        shape: of an image, (3, H, W).
        noise: the draws: the start; then for each step one for all components, one for those
            that are observed too roughly (if any), one for the observed ones.
        options: how to sample.

    Returns:
        ``[N, 3, H, W]`` in [-1, 1] or a little beyond.
    """
    eta, eta_b, sigma_0 = options.eta, options.eta_b, options.sigma_0
    pairs = time_pairs(options.steps, official=options.official)
    count, size = len(svd.singular_values), math.prod(shape)
    s = functional.pad(svd.singular_values.to(observation), (0, size - count))
    y_bar = functional.pad(svd.u_transpose(observation), (0, size - count))
    y_hat = torch.where(s > 0, y_bar / s, 0.0)

    # Start from the observation with noise up to sigma_T, or from noise alone
    sigma = noise_level(pairs[0][0])
    room = (sigma**2 - (sigma_0 / s) ** 2).clamp(min=0).sqrt()
    draw = noise(shape).flatten(1)
    start = torch.where(s * sigma > sigma_0, y_hat + room * draw, sigma * draw)
    scale = 1 / sigma if options.official else math.sqrt(alpha_bar(pairs[0][0]))
    images = scale * svd.v(start)

    for time, next_time in pairs:
        # Denoise, and turn to the singular basis
        predicted = denoiser(images, torch.full((len(images),), time, device=images.device))
        clean = svd.v_transpose(predict_clean(images, predicted, time))
        direction = svd.v_transpose(predicted)
        sigma = noise_level(next_time)
        kept = sigma * math.sqrt(1 - eta**2)

        # Unobserved components: diffuse again, with old and fresh noise
        state = clean + kept * direction + eta * sigma * noise([size])

        # Components observed more roughly than sigma: let the old noise lead to the observation
        rough = (s > 0) & (s * sigma < sigma_0)
        if rough.any():
            towards = (y_bar - s * clean)[:, rough] / sigma_0
            fresh = noise([int(rough.sum())])
            state[:, rough] = clean[:, rough] + kept * towards + eta * sigma * fresh

        # Components observed more precisely than sigma: the observation with noise up to sigma
        precise = s * sigma > sigma_0
        room = (sigma**2 - (eta_b * sigma_0 / s[precise]) ** 2).sqrt()
        fresh = noise([count])[:, precise[:count]]
        mixed = eta_b * y_hat[:, precise] + (1 - eta_b) * clean[:, precise]
        state[:, precise] = mixed + room * fresh

        images = math.sqrt(alpha_bar(next_time)) * svd.v(state)
    return images


@cache
def decompose(task: str, operator: str, height: int, width: int) -> SVD:
    """Return the decomposition of a task's operator for images of ``height x width``.

    Args:
        task: "sr16" or "colorization".
        operator: see `DdrmOptions`.
        height: of the image.
        width: of the image.
    """
    if task == "colorization":
        if operator == "matched":
            return LinearGray(height, width).svd()
        return LinearGray(height, width, weights=(0.3333, 0.3334, 0.3333)).svd()
    if operator == "matched":
        return LinearBicubic(height, width, factor=16).svd()
    if operator == "average":
        return SeparableSVD(_block_means(height), _block_means(width))
    # The published code drops singular values below 0.03; at factor 16 there are none
    rows, columns = (mirrored_bicubic_matrix(size // 16, size) for size in (height, width))
    return SeparableSVD(rows, columns)


def _block_means(size: int) -> NDArray[np.float64]:
    """Return the matrix ``[size / 16, size]`` that averages 16 neighbors each."""
    return np.kron(np.eye(size // 16), np.full((1, 16), 1 / 16))


@dataclass(frozen=True)
class DdrmSampler:
    """Sample by `restore`."""

    denoiser: Denoiser
    task: str
    options: DdrmOptions

    @property
    def nfe(self) -> int:
        """Network evaluations a sample."""
        return len(time_pairs(self.options.steps, official=self.options.official))

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample ``[N, 3, H, W]`` in [0, 1]; see `models.Sampler`."""
        factor = 16 if self.task == "sr16" else 1
        height, width = (factor * size for size in observation.shape[-2:])
        restored = restore(
            self.denoiser,
            to_signed(observation),
            decompose(self.task, self.options.operator, height, width),
            shape=(3, height, width),
            noise=partial(randn, generators, device=observation.device),
            options=self.options,
        )
        return from_signed(restored)


@dataclass(frozen=True, kw_only=True)
class DdrmConfig:
    """A prior, and how it is used for a task.

    Attributes:
        prior: it knows no task; a checkpoint fits if this agrees.
        task: task id.
        sampling: how to sample; JPEG has a method of its own.
    """

    prior: PriorConfig
    task: str
    sampling: DdrmOptions | DdrmJpegOptions


_SIZES = {
    "tiny": {"sr16": 128, "colorization": 64, "decompression": 64},
    "small": {"sr16": 128, "colorization": 128, "decompression": 128},
    "official": {"sr16": 512, "colorization": 512, "decompression": 512},
}
_NETWORKS = {
    ("tiny", 64): GuidedUnetConfig(
        channels=32,
        multipliers=(1, 2, 2),
        blocks=1,
        attention_factors=(4,),
        head_channels=32,
        out_channels=3,
    ),
    # Attention in the middle alone, to stay below 3 MB
    ("tiny", 128): GuidedUnetConfig(
        channels=32,
        multipliers=(1, 1, 2, 2),
        blocks=1,
        attention_factors=(),
        head_channels=32,
        out_channels=3,
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
}


def configure_ddrm(task: str, name: str) -> DdrmConfig:
    """Return the configuration of a task.

    Raises:
        UnknownNameError: for an unknown task or configuration.
    """
    prior = PriorConfig(
        network=_NETWORKS[name, _size(task, name)],
        preconditioning="none" if name == "official" else "natural",
    )
    sampling = DdrmJpegOptions() if task == "decompression" else DdrmOptions()
    return DdrmConfig(prior=prior, task=task, sampling=sampling)


def build_prior(config: DdrmConfig) -> nn.Module:
    """Build an untrained prior."""
    sizes = config.prior.network
    return SimpleUnet(sizes) if isinstance(sizes, SimpleUnetConfig) else GuidedUnet(sizes)


def make_sampler(network: nn.Module, config: DdrmConfig) -> Sampler:
    """Wrap a prior as the sampler of the configured task."""
    denoiser = as_denoiser(network, preconditioning=config.prior.preconditioning)
    if isinstance(config.sampling, DdrmJpegOptions):
        return DdrmJpegSampler(denoiser, config.sampling)
    return DdrmSampler(denoiser, config.task, config.sampling)


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
)
