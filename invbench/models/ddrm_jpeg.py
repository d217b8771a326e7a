"""DDRM for JPEG decompression: "JPEG Artifact Correction using DDRM" (Kawar et al. 2022).

JPEG has no singular vectors. What takes their place is that encoding and decoding is a projection:
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
    restoration = JpegRestoration.of(denoiser, observation, noise=noise, options=options)
    pairs = time_pairs(options.steps, limit=options.first_time, official=options.official)
    x = restoration.diffuse(observation, noise(observation.shape[1:]), pairs[0][0])
    for time, next_time in pairs:
        x = restoration.step(x, time, next_time)
    return x


@dataclass(frozen=True)
class JpegRestoration:
    r"""The run of DDRM-JPEG on one batch of observations.

    Attributes:
        denoiser: predicts the noise.
        codec: encodes and decodes; `JpegCodec.project` does both.
        noise: the draws.
        options: eta and eta_b.
        y: what the codec keeps of the observation, ``[N, 3, H, W]``.
    """

    denoiser: Denoiser
    codec: JpegCodec
    noise: Noise
    options: DdrmJpegOptions
    y: Tensor

    @classmethod
    def of(
        cls, denoiser: Denoiser, observation: Tensor, *, noise: Noise, options: DdrmJpegOptions
    ) -> JpegRestoration:
        """Prepare the restoration of decompressed images ``[N, 3, H, W]`` in [-1, 1]."""
        codec = JpegCodec(quality=options.quality, kind=options.codec)
        return cls(denoiser, codec, noise, options, codec.project(observation))

    @staticmethod
    def diffuse(x_0: Tensor, epsilon: Tensor, time: int) -> Tensor:
        """Return images with as much of the noise epsilon as belongs to a time."""
        alpha = alpha_bar(time)
        return math.sqrt(alpha) * x_0 + math.sqrt(1 - alpha) * epsilon

    def step(self, x: Tensor, time: int, next_time: int) -> Tensor:
        r"""Denoise images, correct them, and diffuse them again, from time t to t'.

        With P for encoding and decoding, :math:`\epsilon` for the predicted noise,
        :math:`x_\theta` for the image without it, and z for fresh noise:

        .. math::
            x_{t'} = \sqrt{\bar\alpha_{t'}} \, \big( \eta_b \, (x_\theta - P x_\theta + y)
                + (1 - \eta_b) \, x_\theta \big)
                + \sqrt{1 - \bar\alpha_{t'}} \,
                  \big( \eta \, z + \sqrt{1 - \eta^2} \, \epsilon \big)
        """
        eta, eta_b = self.options.eta, self.options.eta_b
        kept = 1 - eta if self.options.official else math.sqrt(1 - eta**2)

        epsilon = self.denoiser(x, torch.full((len(x),), time, device=x.device))
        x_theta = predict_clean(x, epsilon, time)
        projected = x_theta - self.codec.project(x_theta) + self.y
        corrected = eta_b * projected + (1 - eta_b) * x_theta
        z = self.noise(x.shape[1:])
        return self.diffuse(corrected, eta * z + kept * epsilon, next_time)


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
