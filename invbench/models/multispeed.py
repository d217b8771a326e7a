"""NDM's forward process and score: image and observation diffuse together, at different speeds.

At time t in (0, 1] both carry noise, ``x_t = x_0 + std(t) z``. The image's standard deviation grows
until the image is lost; the observation's stays small, so that it guides at every time. One
network learns the scores of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from invbench.models.diffusion import Noise
    from invbench.networks import PairedUnetConfig

_Time = TypeVar("_Time", float, Tensor)

PIXEL_MEAN = 0.5
PIXEL_STD = 0.25
LAST_LABEL = 999
"""What the network reads at time 1; at time t it reads ``999 t``."""


@dataclass(frozen=True, kw_only=True)
class VarianceExploding:
    """A diffusion whose standard deviation grows geometrically from time 0 to time 1.

    Attributes:
        sigma_min: standard deviation at time 0.
        sigma_max: standard deviation at time 1.
    """

    sigma_min: float = 5e-3
    sigma_max: float

    def std(self, time: _Time) -> _Time:
        """Return the standard deviation of the noise at ``time``, a number or a tensor.

        >>> VarianceExploding(sigma_min=0.01, sigma_max=100.0).std(0.5)
        1.0
        """
        deviation: _Time = self.sigma_min * (self.sigma_max / self.sigma_min) ** time
        return deviation

    def time(self, std: float) -> float:
        """Return the time at which the noise has the given standard deviation."""
        return math.log(std / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)

    def diffusion(self, time: _Time) -> _Time:
        """Return g(t) of dx = g(t) dw, so that g squared is the derivative of the variance."""
        rate: _Time = self.std(time) * math.sqrt(self.likelihood_weight)
        return rate

    @property
    def likelihood_weight(self) -> float:
        """Weight of the squared error of predicted noise, ``g(t)^2 / std(t)^2``: a constant."""
        return 2 * math.log(self.sigma_max / self.sigma_min)

    def increments(self, scales: int) -> list[float]:
        """Return the variance between neighbors of ``scales`` geometric levels, from 0 upwards."""
        levels = [0.0, *(self.std(index / (scales - 1)) for index in range(scales))]
        return [upper**2 - lower**2 for lower, upper in pairwise(levels)]

    def bridge(self, time: float, later: float) -> tuple[float, float]:
        """Return how x_t follows from x_0 and x at a later time.

        Returns:
            The weight of x_0, the other one being x_later's, and the standard deviation.
        """
        kept = (self.std(time) / self.std(later)) ** 2
        return 1 - kept, self.std(time) * math.sqrt(1 - kept)


def shrunken_sigma_max(step: int, *, start: float, target: float, steps: int) -> float:
    """Return the observation's sigma_max after ``step`` steps of training with falling speed.

    Harmonic decay from ``start`` to ``target`` at ``steps``, and below it afterwards: the schedule
    of VS-CMDE, which begins with both speeds equal.

    >>> shrunken_sigma_max(250_000, start=277.1, target=0.5, steps=250_000)
    0.5
    """
    return steps * target * start / (step * (start - target) + steps * target)


@dataclass(frozen=True, kw_only=True)
class JointScoreConfig:
    """What the weights of an NDM mean.

    Attributes:
        network: sizes.
        image: how the image diffuses. The published sigma_max is the square root of the number of
            its values, the largest distance between two images in [0, 1].
        observation: how the observation diffuses.
        preconditioning: "none" gives the network the diffused image as it is, and takes its output
            for the score times std, as published. "gaussian" departs from that: the network
            reads the image scaled to unit variance and adds to the score of a Gaussian with
            the mean and standard deviation that pixels typically have. "observation" goes one
            step further: that Gaussian's mean is the diffused observation, so that only what
            the two differ by is left to learn. Loss, process and samplers stay as they are, but
            short runs learn far more.
        image_std: standard deviation of pixels about the mean that is taken for them.
    """

    network: PairedUnetConfig
    image: VarianceExploding
    observation: VarianceExploding
    preconditioning: Literal["none", "gaussian", "observation"] = "none"
    image_std: float = PIXEL_STD


@dataclass(frozen=True)
class JointScore:
    """The scores, with respect to image and observation, of both diffused for the same time."""

    network: nn.Module
    config: JointScoreConfig

    def scaled(self, image: Tensor, observation: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores times their standard deviations: minus the expected noise.

        Args:
            image: ``[N, 3, H, W]`` diffused for ``times``.
            observation: ``[N, c, H, W]`` diffused for ``times``.
            times: ``[N]`` in [0, 1].
        """
        labels = LAST_LABEL * times
        if self.config.preconditioning == "none":
            of_image, of_observation = self.network(image, observation, labels)
            return of_image, of_observation
        stds = self.stds(times)
        deviations = self.deviations(times)
        centered = self.config.preconditioning == "observation"
        means = (observation if centered else PIXEL_MEAN, PIXEL_MEAN)
        spreads = [(s**2 + d**2).sqrt() for s, d in zip(stds, deviations, strict=True)]
        units = [
            (diffused - mean) / spread
            for diffused, mean, spread in zip((image, observation), means, spreads, strict=True)
        ]
        # The network maps [0, 1] to [-1, 1] first, so this hands it the units
        departures = self.network(*((unit + 1) / 2 for unit in units), labels)
        of_image, of_observation = (
            (deviation * departure - std * unit) / spread
            for deviation, departure, std, unit, spread in zip(
                deviations, departures, stds, units, spreads, strict=True
            )
        )
        return of_image, of_observation

    def stds(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise's standard deviations ``[N, 1, 1, 1]`` in image and observation."""
        column, config = times[:, None, None, None], self.config
        return config.image.std(column), config.observation.std(column)

    def deviations(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the standard deviations ``[N, 1, 1, 1]`` of clean pixels about their means.

        A mean that is the diffused observation brings that one's noise with it.
        """
        config, noise = self.config, self.stds(times)[1]
        of_observation = torch.full_like(noise, PIXEL_STD)
        if config.preconditioning != "observation":
            return of_observation, of_observation
        return (noise**2 + config.image_std**2).sqrt(), of_observation

    def __call__(self, image: Tensor, observation: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores; arguments as for `scaled`."""
        of_image, of_observation = self.scaled(image, observation, times)
        return (
            of_image / self.config.image.std(times)[:, None, None, None],
            of_observation / self.config.observation.std(times)[:, None, None, None],
        )


@dataclass(frozen=True)
class Reversal:
    """What a sampler reverses: the diffusion of images beside their observations.

    Attributes:
        image_score: of ``[N, 3, H, W]`` images beside observations, diffused for ``[N]`` times.
        observation: ``[N, c, H, W]`` in [0, 1], of the images' size.
        image: how the image was diffused in training.
        diffused: how the observation was.
        noise: draws.
    """

    image_score: Callable[[Tensor, Tensor, Tensor], Tensor]
    observation: Tensor
    image: VarianceExploding
    diffused: VarianceExploding
    noise: Noise

    def start(self, std: float) -> Tensor:
        """Draw images of noise alone."""
        return std * self.noise((3, *self.observation.shape[-2:]))

    def beside(self, time: float) -> Tensor:
        """Diffuse the observation for ``time``."""
        return self.observation + self.diffused.std(time) * self.observation_noise()

    def observation_noise(self) -> Tensor:
        """Draw noise of the observation's shape."""
        return self.noise(self.observation.shape[1:])

    def score(self, images: Tensor, beside: Tensor, time: float) -> Tensor:
        """Return the score of the images at one time for all."""
        times = torch.full((len(images),), time, dtype=torch.float32, device=images.device)
        return self.image_score(images, beside, times)
