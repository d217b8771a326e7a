"""Bands: where an exact sampler's numbers lie, for a given rate of false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import beta, kstwo, t
from torch.nn import functional

from invbench.uncertainty import band_of, position, role_test, tarp_test
from invbench.uncertainty.bootstrap import plain_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

BIAS_DRAWS = 1999
BIAS_DOWNSAMPLE = 2


@dataclass(frozen=True)
class Measured:
    """A measured number, and the band in which an exact sampler's would lie.

    Attributes:
        value: what was measured.
        low: lower end of the band, maybe -inf.
        high: upper end, maybe inf.
        p_value: probability that an exact sampler's number is as far out; 0 or 1 where no false
            alarm is possible.
    """

    value: float
    low: float
    high: float
    p_value: float


def tolerated(value: float, tolerance: float) -> Measured:
    """Compare a value with the largest that is tolerated; NaN is beyond every tolerance."""
    return Measured(value, 0.0, tolerance, float(value <= tolerance))


def roles(
    scores: Tensor,
    rate: float,
    generator: np.random.Generator,
    *,
    statistic: Callable[..., np.ndarray] = plain_mean,
    side: Literal["low", "high", "both"] = "both",
) -> Measured:
    """Compare the targets' mean score with that of randomly chosen members, see `role_test`."""
    level = 1 - rate if side == "both" else 1 - 2 * rate
    test = role_test(scores.numpy(), generator=generator, statistic=statistic, level=level)
    if side == "low":
        return Measured(test.value, test.low, math.inf, test.p_low)
    if side == "high":
        return Measured(test.value, -math.inf, test.high, test.p_high)
    return Measured(test.value, test.low, test.high, test.p_value)


def mean_residual(
    samples: Tensor, targets: Tensor, rate: float, generator: np.random.Generator
) -> Measured:
    """Measure the error that samples have in common on all images.

    The residual (target minus mean of the samples) is averaged over images and over squares of
    2x2 pixels; the value is its root mean square. An error of the same kind on every image does
    not average out, an exact sampler's errors do. The band comes from randomly chosen members of
    each image's pool in the target's place, see `role_test`.
    """
    pool = torch.cat([targets[:, None], samples], dim=1)
    residuals = pool - pool.mean(dim=1, keepdim=True)
    residuals = functional.avg_pool2d(residuals.flatten(0, 1), BIAS_DOWNSAMPLE).flatten(1)
    n_images, n_members = pool.shape[:2]
    chosen = torch.from_numpy(generator.integers(n_members, size=(BIAS_DRAWS + 1, n_images)))
    chosen[0] = 0  # the actual roles
    rows = chosen + n_members * torch.arange(n_images, device="cpu")
    means = functional.embedding_bag(rows, residuals, mode="mean")
    # Less samples rather than less the whole pool: the target's own share is taken out
    sizes = means.square().mean(1, dtype=torch.float64).sqrt() * n_members / (n_members - 1)
    value, drawn = float(sizes[0]), sizes[1:].numpy()
    p_value = (1 + np.count_nonzero(drawn >= value * (1 - 1e-6))) / (BIAS_DRAWS + 1)
    return Measured(value, -math.inf, band_of(drawn, 1 - 2 * rate)[1], p_value)


def most_extreme(distances: Tensor, rate: float) -> Measured:
    """Find the image whose target is unusually far from its samples, or unusually near.

    The squared distance of the target from the samples' mean is compared with the squared
    distances of the samples from the mean of the others, by Student's prediction interval for
    their logarithms, which are near normal for smooth images too (cube roots, right for chi-square,
    keep a tail to the right if few directions carry the variance). One bad image cannot be told by
    exchanging roles: the target is the odd one out by chance with probability 1/(K+1). The
    rate is divided by the number of images.

    Args:
        distances: of `pool_distances`, ``[N, K+1, K+1]``.
        rate: of false alarms, for all images in total.

    Returns:
        The largest deviation in standard errors; above 0 if the target is too far.
    """
    squares = distances.square()
    n_samples = squares.shape[-1] - 1
    among = squares[:, 1:, 1:]
    spread = among.sum((-2, -1)) / (2 * n_samples**2)
    target = (squares[:, 0, 1:].mean(-1) - spread) / (1 + 1 / n_samples)
    # Of a sample from the mean of the K - 1 others
    samples = (among.mean(-1) - spread[:, None]) * n_samples / (n_samples - 1)
    far, near = (values.clamp_min(1e-12).log() for values in (target, samples))
    errors = near.std(-1).clamp_min(1e-12) * math.sqrt(1 + 1 / n_samples)
    deviations = ((far - near.mean(-1)) / errors).numpy()
    worst = float(deviations[np.abs(deviations).argmax()])
    p_value = min(1.0, 2 * len(deviations) * float(t.sf(abs(worst), n_samples - 1)))
    limit = float(t.isf(rate / (2 * len(deviations)), n_samples - 1))
    return Measured(worst, -limit, limit, p_value)


def mean_over_images(values: Tensor, expected: float, rate: float) -> Measured:
    """Compare the mean of independent images with its expectation by Student's t."""
    array = values.numpy()
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    value = float(array.mean())
    reach = float(t.isf(rate / 2, len(array) - 1)) * error
    statistic = (value - expected) / max(error, np.finfo(np.float64).tiny)
    p_value = min(1.0, 2 * float(t.sf(abs(statistic), len(array) - 1)))
    return Measured(value, expected - reach, expected + reach, p_value)


def uniform(fractions: Tensor, n_samples: int, rate: float) -> Measured:
    """Compare TARP fractions with the uniform law, see `tarp_test`."""
    distance, p_value = tarp_test(fractions.numpy(), n_samples)
    return Measured(distance, -math.inf, float(kstwo.isf(rate, len(fractions))), p_value)


@cache
def normal_width(n_samples: int, level: float = 0.9) -> float:
    """Return the expected length of the `linear` interval of K standard normal samples."""
    return 2 * _normal_quantile(position(n_samples, (1 + level) / 2, "linear"), n_samples)


def _normal_quantile(place: float, n_samples: int) -> float:
    """Interpolate the expected order statistics of normal samples at a position."""
    first = math.floor(place)
    weight = place - first
    low, high = (
        beta(rank, n_samples + 1 - rank).expect(ndtri) if rank <= n_samples else 0.0
        for rank in (first, first + 1)
    )
    return float((1 - weight) * low + weight * high)
