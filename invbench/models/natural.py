"""What noise to expect in a diffused photograph, before any network has looked at it.

Photographs are modelled as Gaussian and stationary: independent along a gray and two colour axes,
with a power that falls with frequency in the same way at all sizes. Of the noise in
``x = sqrt(a) image + sqrt(1 - a) noise`` that leaves little to learn where the image is slow: a
mean colour is known well below a noise that hides every pixel.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Measured on crops of photographs at 64x64 and 128x128, whose powers agree within 2 % from 1 to
# 20 cycles an image: 0.0311 of gray, 0.0010 and 0.0018 of the colours, falling by k^-2.4 to k^-2.5.
EXPONENT = 2.4
POWERS = (0.031, 0.0014, 0.0014)
MEAN_CYCLES = 0.5  # at which the power of the mean is read: the means' variance is 0.16


@cache
@torch.inference_mode(mode=False)  # kept, so also for callers that need gradients
def color_axes(device: torch.device | str = "cpu") -> Tensor:
    """Return the axes ``[3, 3]`` in rows: gray, red against green, and both against blue."""
    axes = [[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]
    rows = torch.tensor(axes, dtype=torch.float32, device="cpu")
    return torch.nn.functional.normalize(rows).to(device)


@cache
@torch.inference_mode(mode=False)
def power_spectrum(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    r"""Return the expected power ``[3, H, W]`` of an image in [-1, 1] on each color axis.

    .. math::
        P(k) = H W p \, \max(k, \tfrac12)^{-2.4}

    for k cycles an image and the axis' power p, in the order and with the scale of
    ``torch.fft.fft2(..., norm="ortho")``.
    """
    rows = torch.fft.fftfreq(height, d=1 / height, dtype=torch.float32, device="cpu")[:, None]
    columns = torch.fft.fftfreq(width, d=1 / width, dtype=torch.float32, device="cpu")
    k = (rows.square() + columns.square()).sqrt().clamp(min=MEAN_CYCLES)
    p = torch.tensor(POWERS, dtype=torch.float32, device="cpu")[:, None, None]
    spectrum: Tensor = p * k.pow(-EXPONENT)
    return (height * width * spectrum).to(device)


def expected_noise(images: Tensor, signal: Tensor) -> Tensor:
    r"""Return the expectation of the noise in diffused images, a linear filter of them.

    Along each color axis and frequency, of power P, the part x of an image holds the noise

    .. math::
        E[\epsilon \mid x] = \frac{\sqrt{1 - a}}{a P + 1 - a} \, x

    Args:
        images: diffused images ``[N, 3, H, W]``.
        signal: a, ``[N, 1, 1, 1]`` in (0, 1).
    """
    a, axes = signal, color_axes(images.device).to(images)
    P = power_spectrum(*images.shape[-2:], images.device).to(images)
    x = torch.fft.fft2(torch.einsum("kc,nchw->nkhw", axes, images), norm="ortho")
    noise = x * (1 - a).sqrt() / (a * P + 1 - a)
    return torch.einsum("kc,nkhw->nchw", axes, torch.fft.ifft2(noise, norm="ortho").real)


def noise_spread(signal: Tensor, height: int, width: int) -> Tensor:
    r"""Return the standard deviation of the noise about its expectation, over all pixels alike.

    Its square is a mean over color axes and frequencies:

    .. math::
        \sigma^2 = \operatorname{mean} \frac{a P}{a P + 1 - a}

    Args:
        signal: a, ``[N, 1, 1, 1]`` in (0, 1).
        height: of the images.
        width: of the images.
    """
    a = signal
    aP = a * power_spectrum(height, width, a.device).to(a)
    return (aP / (aP + 1 - a)).mean(dim=(1, 2, 3), keepdim=True).sqrt()
