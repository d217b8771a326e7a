"""What the samplers on an unconditional diffusion prior share: its schedule and its times.

The prior is a network that predicts the noise in
``x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon``, where x_0 is an image in [-1, 1],
epsilon is normal noise, and alpha_bar_t is `ALPHA_BARS` at t in 0, ..., 999.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch

from invbench.models.natural import expected_noise, noise_spread

if TYPE_CHECKING:
    from torch import Tensor, nn

    from invbench.networks import GuidedUnetConfig, SimpleUnetConfig

Preconditioning = Literal["none", "natural"]

Denoiser = Callable[["Tensor", "Tensor"], "Tensor"]
"""Predicts the noise in images ``[N, 3, H, W]`` diffused for times ``[N]``."""

Noise = Callable[[Sequence[int]], "Tensor"]
"""Draws standard normal noise of the given shape for every row, ``[N, *shape]``."""

TIMES = 1000
BETAS = torch.linspace(1e-4, 2e-2, TIMES, dtype=torch.float64, device="cpu").float()
ALPHA_BARS = (1 - BETAS).cumprod(0)
_ALPHA_BARS_ON_HOST: list[float] = ALPHA_BARS.tolist()


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """What the weights of a prior mean.

    Attributes:
        network: sizes; they know no task.
        preconditioning: see `as_denoiser`.
    """

    network: GuidedUnetConfig | SimpleUnetConfig
    preconditioning: Preconditioning = "none"


def alpha_bar(time: int) -> float:
    """Return the part of the variance at ``time`` that is the image's; 1 before the first time.

    >>> alpha_bar(-1), round(alpha_bar(0), 6)
    (1.0, 0.9999)
    """
    return 1.0 if time < 0 else _ALPHA_BARS_ON_HOST[time]


@cache
@torch.inference_mode(mode=False)  # kept, so also for callers that need gradients
def _alpha_bars(device: torch.device) -> Tensor:
    """Return `ALPHA_BARS` on a device, copied once, since copying makes the host wait."""
    return ALPHA_BARS.to(device)


def noise_level(time: int) -> float:
    """Return the standard deviation of the noise where the image keeps its scale.

    >>> round(noise_level(0), 3), round(noise_level(950), 1), noise_level(-1)
    (0.01, 97.1, 0.0)
    """
    signal = alpha_bar(time)
    return math.sqrt(1 - signal) / math.sqrt(signal)


def time_pairs(steps: int, *, limit: int = TIMES, official: bool = False) -> list[tuple[int, int]]:
    """Return the (time, next time) of each step, from the noisiest down to (0, -1).

    Args:
        steps: network evaluations.
        limit: times are spread uniformly over 0, ..., limit - 1, always with 0.
        official: take every floor(limit / steps)-th time as the published codes do, which makes
            more than ``steps`` of them where ``steps`` is no divisor. Otherwise there are
            exactly ``steps``; with a divisor both are the same.

    Example:
        >>> time_pairs(4)
        [(750, 500), (500, 250), (250, 0), (0, -1)]
    """
    if official:
        times = list(range(0, limit, limit // steps))
    else:
        times = [index * limit // steps for index in range(steps)]
    return list(zip(reversed(times), [*reversed(times[:-1]), -1], strict=True))


def predict_clean(images: Tensor, noise: Tensor, time: int) -> Tensor:
    r"""Return the image that is left without the predicted noise.

    .. math::
        x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t} \, \epsilon}{\sqrt{\bar\alpha_t}}
    """
    signal = alpha_bar(time)
    return (images - math.sqrt(1 - signal) * noise) / math.sqrt(signal)


def as_denoiser(network: nn.Module, *, preconditioning: Preconditioning = "none") -> Denoiser:
    """Wrap a network as a denoiser.

    The network reads the whole time t as a number. Where it also predicts a variance, in three
    more channels, these are dropped.

    Args:
        network: maps images ``[N, 3, H, W]`` and times ``[N]`` to ``[N, 3 or 6, H, W]``.
        preconditioning: "none" takes the output for the noise, as published. "natural" departs
            from that: the output adds to the noise that `natural.expected_noise` finds, in units
            of what is unexpected. Where noise hides the image, an error of the noise is enlarged
            by ``sqrt((1 - a) / a)`` in the image, up to 157 times; in these units an error of the
            output never becomes more than the spread of photographs.
    """

    def denoise(images: Tensor, times: Tensor) -> Tensor:
        noise: Tensor = network(images, times.float())[:, :3]
        return noise

    def denoise_preconditioned(images: Tensor, times: Tensor) -> Tensor:
        signal = _alpha_bars(images.device)[times][:, None, None, None]
        spread = noise_spread(signal, *images.shape[-2:])
        return expected_noise(images, signal) + spread * denoise(images, times)

    return denoise if preconditioning == "none" else denoise_preconditioned
