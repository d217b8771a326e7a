r"""A fast kernel for the structural similarity of many samples to one observation.

`ssim.textbook_ssim` states what is computed. The kernel computes it from the difference d = y - x
of reobservation y and observation x: with mu and sigma the means and variances within a window,

.. math::
    \mathrm{SSIM}(x, y) = \left(1 - \frac{\mu_d^2}{\mu_x^2 + \mu_y^2 + C_1}\right)
    \left(1 - \frac{\sigma_d^2}{\sigma_x^2 + \sigma_y^2 + C_2}\right)

because 2 mu_x mu_y = mu_x^2 + mu_y^2 - mu_d^2, and likewise for variances. Nothing cancels when
the two images are close. Three filtered maps for each sample suffice (d, d^2 and d x), because
what concerns x alone is computed once, in double precision, for all samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

WindowName = Literal["uniform", "gaussian"]

# Constants of Wang et al. 2004, section III.B, for data range 1: (K1 L)^2 and (K2 L)^2.
_LUMINANCE_CONSTANT = 0.01**2
_CONTRAST_CONSTANT = 0.03**2

# An image of fewer elements has too few windows for their float32 errors to average out.
_ELEMENTS_IN_DOUBLE = 2**11

# Many small images are scored in one call; large ones in strips of rows that fit the cache.
_ELEMENTS_PER_PIECE = {"cpu": 2**18}
_ELEMENTS_PER_PIECE_ELSEWHERE = 2**25


def _sum_seven(maps: Tensor, stride: int) -> Tensor:
    """Sum 7 neighbors, ``stride`` apart, along the last axis: by doubling, 4 additions."""
    length = maps.shape[-1] - 6 * stride
    twos = maps[..., stride:] + maps[..., :-stride]
    fours = twos[..., 2 * stride :] + twos[..., : -2 * stride]
    sixes = fours[..., :length].add_(twos[..., 4 * stride : 4 * stride + length])
    return sixes.add_(maps[..., 6 * stride :])


def _gaussian_taps(sigma: float, radius: int) -> list[float]:
    """Return taps rounded to multiples of 2^-25: float32 holds them, and their sum 1, exactly.

    Taps that sum to 1 + e would give a flat area of level m the variance -e m^2.
    """
    side = [math.exp(-((i / sigma) ** 2) / 2) for i in range(1, radius + 1)]
    side = [round(tap / (1 + 2 * sum(side)) * 2**25) / 2**25 for tap in side]
    return [*reversed(side), 1 - 2 * sum(side), *side]


_TAPS = _gaussian_taps(sigma=1.5, radius=5)


def _sum_gaussian(maps: Tensor, stride: int) -> Tensor:
    """Weight 11 neighbors, ``stride`` apart, by a Gaussian of standard deviation 1.5."""
    length = maps.shape[-1] - 10 * stride
    sums = maps[..., :length] * _TAPS[0]
    for index, tap in enumerate(_TAPS[1:], start=1):
        sums.add_(maps[..., index * stride : index * stride + length], alpha=tap)
    return sums


@dataclass(frozen=True)
class Window:
    """A square window within which means and covariances are taken.

    Attributes:
        width: its side, in pixels.
        weight: sum of its weights.
        bessel: factor that turns a population's covariance into the covariance that is wanted.
        sum: ``(maps, stride) -> weighted sums of neighbors`` along one axis.
    """

    width: int
    weight: float
    bessel: float
    sum: Callable[[Tensor, int], Tensor]

    def sums(self, maps: Tensor, columns: int) -> Tensor:
        """Sum in both directions over flat maps ``[..., rows * columns]``.

        A neighbor below is ``columns`` further on, so both passes run over contiguous memory. The
        last ``width - 1`` of each row of results straddle two rows; `_crop` drops them.
        """
        return self.sum(self.sum(maps, columns), 1)


WINDOWS = {
    "uniform": Window(width=7, weight=49.0, bessel=49 / 48, sum=_sum_seven),
    "gaussian": Window(width=11, weight=1.0, bessel=1.0, sum=_sum_gaussian),
}


def scores_from_differences(samples: Tensor, reference: Tensor, window: Window) -> Tensor:
    """Score samples ``[K, c, h, w]`` against one reference ``[c, h, w]``, strip by strip: ``[K]``.

    Both are in [0, 1], of one floating type, and no smaller than the window.
    """
    channels, height, width = reference.shape
    dtype = torch.float64 if reference.numel() <= _ELEMENTS_IN_DOUBLE else torch.float32
    piece_size = _ELEMENTS_PER_PIECE.get(samples.device.type, _ELEMENTS_PER_PIECE_ELSEWHERE)
    losses = samples.new_zeros(len(samples), dtype=torch.float64)
    for rows in _strips(height, max(1, piece_size // (channels * width)), window.width):
        strip = _observe(reference[:, rows], window, dtype)
        n_samples = max(1, piece_size // strip.pixels.numel())
        losses += torch.cat([_losses(y[:, :, rows], strip) for y in samples.split(n_samples)])
    overlap = window.width - 1
    return 1 - losses / (channels * (height - overlap) * (width - overlap))


def _strips(height: int, rows: int, width: int) -> Iterator[slice]:
    """Cut an image into strips of ``rows`` windows, each with the rows its windows reach."""
    for top in range(0, height - width + 1, rows):
        yield slice(top, min(top + rows + width - 1, height))


@dataclass(frozen=True)
class _Strip:
    """The statistics of one strip of rows of an observation, for each of its windows.

    Attributes:
        window: the window.
        columns: length of a row.
        pixels: the strip, flat, ``[c, rows * columns]``.
        twice_centered: 2 (x - mean), of the same shape.
        centered_sum: sum of x - mean.
        twice_sum: twice the sum of x.
        luminance: constant plus 2 (sum of x)^2.
        contrast: constant plus twice the scatter of x (sum of squares about the window's mean).
    """

    window: Window
    columns: int
    pixels: Tensor
    twice_centered: Tensor
    centered_sum: Tensor
    twice_sum: Tensor
    luminance: Tensor
    contrast: Tensor


def _observe(pixels: Tensor, window: Window, dtype: torch.dtype) -> _Strip:
    """Compute an observation's statistics in double precision and round them once."""
    columns = pixels.shape[-1]
    exact = pixels.flatten(1).double()
    center = exact.mean(1, keepdim=True)
    centered = exact - center

    # Sums and scatter in units of the window's weight, so that no sum needs to be divided
    centered_sum = window.sums(centered, columns)
    scatter = window.sums(centered.square(), columns)
    scatter.addcmul_(centered_sum, centered_sum, value=-1 / window.weight)
    twice_sum = (centered_sum + window.weight * center).mul_(2)
    luminance = twice_sum.square().div_(2).add_(window.weight**2 * _LUMINANCE_CONSTANT)
    contrast = scatter.mul_(2).add_(window.weight / window.bessel * _CONTRAST_CONSTANT)

    maps = (exact, 2 * centered, centered_sum, twice_sum, luminance, contrast)
    return _Strip(window, columns, *(values.to(dtype) for values in maps))


def _losses(samples: Tensor, strip: _Strip) -> Tensor:
    """Sum one minus the index over the windows of ``[k, c, rows, columns]``: ``[k]``."""
    window = strip.window
    flat = samples.flatten(2)

    # Difference to the observation, about a mean (any does): brightness costs no precision
    difference = torch.sub(flat, strip.pixels, out=strip.pixels.new_empty(flat.shape))
    shift = difference[..., ::5].mean(-1, keepdim=True)
    difference.sub_(shift)

    # Three filtered maps
    total = window.sums(difference, strip.columns)
    crossed = window.sums(difference * strip.twice_centered, strip.columns)
    squared = window.sums(difference.square_(), strip.columns)

    # Scatter of d; sum of the scatters of x and y, as 2 S_x + S_d + 2 S_xd
    scatter = squared.addcmul_(total, total, value=-1 / window.weight)
    contrast = crossed.addcmul_(total, strip.centered_sum, value=-2 / window.weight)
    contrast.add_(scatter).add_(strip.contrast)

    # Sum of the squared means of x and y, as 2 mu_x^2 + mu_d (mu_d + 2 mu_x)
    total.add_(shift, alpha=window.weight)
    luminance = (total + strip.twice_sum).mul_(total).add_(strip.luminance)

    # One minus the product of the factors 1 - l and 1 - c is l + c - l c
    luminance_loss = total.square_().div_(luminance)
    contrast_loss = scatter.div_(contrast)
    loss = contrast_loss.addcmul_(contrast_loss, luminance_loss, value=-1).add_(luminance_loss)
    return _crop(loss, samples.shape[-2], strip).sum(-1).double().sum((1, 2))


def _crop(flat: Tensor, rows: int, strip: _Strip) -> Tensor:
    """View flat results ``[k, c, n]`` as ``[k, c, rows, columns]``; drop those across two rows."""
    overlap = strip.window.width - 1
    inside = (*flat.shape[:2], rows - overlap, strip.columns - overlap)
    return flat.as_strided(inside, (*flat.stride()[:2], strip.columns, 1))
