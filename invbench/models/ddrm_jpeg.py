"""DDRM for JPEG decompression: "JPEG Artifact Correction using DDRM" (Kawar et al. 2022).

JPEG has no singular vectors. What stands for them is that encoding and decoding is a projection:
each step replaces what the codec keeps of the denoised image by what it kept of the observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from invbench.images import from_signed, to_signed
from invbench.models.diffusion import (
    Denoiser,
    Noise,
    alpha_bar,
    predict_clean,
    time_pairs,
)
from invbench.models.jpeg_codec import JpegCodec
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DdrmJpegOptions:
    """How DDRM-JPEG samples; the defaults are the published ones, but for the codec.

    Attributes:
        steps: network evaluations.
        first_time: the observation is diffused for about this time, out of 1000, and denoised
            from there. With a Gaussian prior, 300 to 1000 end within 1 % of each other.
        eta: part of each step's noise that is fresh; the rest is the predicted noise.
        eta_b: part of the way to the projection; below 1 nothing guarantees consistency.
        quality: JPEG quality of the observation.
        codec: see `JpegCodec`.
        official: keep two defects of the published code: the predicted noise enters with weight
            ``1 - eta`` (and the total then has too little variance) instead of ``sqrt(1 - eta^2)``;
            and see `time_pairs`. Neither matters with eta 1 and 20 steps.
    """

    steps: int = 20
    first_time: int = 300
    eta: float = 1.0
    eta_b: float = 0.4
    quality: int = 1
    codec: Literal["official", "aligned"] = "aligned"
    official: bool = False


@torch.no_grad()
def restore_jpeg(
    denoiser: Denoiser, observation: Tensor, *, noise: Noise, options: DdrmJpegOptions
) -> Tensor:
    """Restore decompressed images.

    Args:
        denoiser: the prior.
        observation: decompressed images ``[N, 3, H, W]`` in [-1, 1], H and W multiples of 16.
        noise: the draws: the initial noise, then one of the image's shape a step.
        options: how to sample.

    Returns:
        ``[N, 3, H, W]`` in [-1, 1] or a little beyond.
    """
    codec = JpegCodec(quality=options.quality, kind=options.codec)
    pairs = time_pairs(options.steps, limit=options.first_time, official=options.official)
    kept = 1 - options.eta if options.official else math.sqrt(1 - options.eta**2)
    target = codec.project(observation)

    # Start from the observation, diffused
    signal = alpha_bar(pairs[0][0])
    shape = observation.shape[1:]
    images = math.sqrt(signal) * observation + math.sqrt(1 - signal) * noise(shape)

    for time, next_time in pairs:
        # Denoise
        predicted = denoiser(images, torch.full((len(images),), time, device=images.device))
        clean = predict_clean(images, predicted, time)

        # Exchange what the codec keeps of it for what it kept of the observation
        projected = clean - codec.project(clean) + target
        clean = options.eta_b * projected + (1 - options.eta_b) * clean

        # Diffuse again, to the next time
        signal = alpha_bar(next_time)
        mixed = options.eta * noise(shape) + kept * predicted
        images = math.sqrt(signal) * clean + math.sqrt(1 - signal) * mixed
    return images


@dataclass(frozen=True)
class DdrmJpegSampler:
    """Sample by `restore_jpeg`."""

    denoiser: Denoiser
    options: DdrmJpegOptions

    @property
    def nfe(self) -> int:
        """Network evaluations a sample."""
        options = self.options
        return len(time_pairs(options.steps, limit=options.first_time, official=options.official))

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample ``[N, 3, H, W]`` in [0, 1]; see `models.Sampler`."""
        restored = restore_jpeg(
            self.denoiser,
            to_signed(observation),
            noise=partial(randn, generators, device=observation.device),
            options=self.options,
        )
        return from_signed(restored)
