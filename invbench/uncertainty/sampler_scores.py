"""Scores of samples against targets that need no calibration, one for each image.

Samples are ``[..., K, C, H, W]`` and targets ``[..., C, H, W]``, float in [0, 1] or uint8. Images
are treated one at a time and scratch is bounded, whatever the size of the batch.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from invbench.uncertainty.pairs import (
    alike,
    as_float,
    check_divides,
    check_pair,
    each_image,
    strips,
)
from invbench.uncertainty.quantiles import check_samples, order_statistics

if TYPE_CHECKING:
    from torch import Tensor

PROBES = 64  # values by which most rows that differ are told apart


def crps(samples: Tensor, target: Tensor, *, fair: bool = True) -> Tensor:
    r"""Return each image's mean continuous ranked probability score; lower is better.

    With samples x_1 to x_K of an entry (one channel of one pixel) and its target y, the score
    (Gneiting & Raftery 2007, 4.2) is

    .. math::
        \mathrm{CRPS} = \frac{1}{K} \sum_{i=1}^K |x_i - y|
        - \frac{1}{2 M} \sum_{i=1}^K \sum_{j=1}^K |x_i - x_j|

    The fair version (Ferro 2014) has M = K (K - 1): its expectation does not depend on K, and a
    single entry may score below 0. The other has M = K^2 and favours samples that differ much.
    The double sum is computed from the sorted samples, as 2 sum_k (2k - K - 1) x_(k).

    Returns:
        float64 ``[...]``, in units of the [0, 1] range.

    Raises:
        InvalidImagesError: if samples or target break the convention.
        TooFewSamplesError: for the fair version of a single sample.

    Example:
        >>> samples = torch.tensor([0.2, 0.6]).reshape(2, 1, 1, 1)
        >>> round(float(crps(samples, torch.full((1, 1, 1), 0.3))), 6)
        0.0
    """
    check_pair(samples, target, at_least=2 if fair else 1)
    n_samples = samples.shape[-4]
    two_m = 2 * n_samples * (n_samples - 1 if fair else n_samples)
    weights = [4 * k - 2 * (n_samples + 1) for k in range(1, n_samples + 1)]

    targets = target.reshape(-1, target.shape[-3:].numel())
    totals = torch.zeros(len(targets), dtype=torch.float64, device=target.device)
    for images, pixels, rows in order_statistics(samples, range(n_samples)):
        y = as_float(targets[images, pixels])
        scores = torch.zeros_like(y)
        for row, weight in zip(rows, weights, strict=True):
            x = as_float(row)
            scores.add_(x, alpha=-weight / two_m)
            scores.add_((x - y).abs_(), alpha=1 / n_samples)
        totals[images] += scores.sum(-1, dtype=torch.float64)
    return (totals / targets.shape[-1]).reshape(target.shape[:-3])


def energy_score(
    samples: Tensor,
    target: Tensor,
    *,
    fair: bool = True,
    downsample: int = 1,
    patch: int | None = None,
) -> Tensor:
    r"""Return each image's energy score (Gneiting & Raftery 2007, 4.3); lower is better.

    It is the score of `crps` with whole images for entries. With samples x_1 to x_K, target y and
    Euclidean norms,

    .. math::
        \mathrm{ES} = \frac{1}{K} \sum_{i=1}^K \lVert x_i - y \rVert
        - \frac{1}{2 M} \sum_{i=1}^K \sum_{j=1}^K \lVert x_i - x_j \rVert

    where M is K (K - 1) if fair, else K^2. On whole large images the score hardly depends on how
    pixels depend on each other; on averaged images and on patches it does.

    Args:
        samples: ``[..., K, C, H, W]``.
        target: ``[..., C, H, W]``.
        fair: whether the expected score must not depend on K.
        downsample: average squares of that many pixels a side first.
        patch: score square patches of that side on their own and average; None takes the image
            as one vector.

    Returns:
        float64 ``[...]``.

    Raises:
        InvalidImagesError: if the convention is broken or a side is not divisible.
        TooFewSamplesError: for the fair version of a single sample.
    """
    check_pair(samples, target, at_least=2 if fair else 1)
    check_divides(downsample, samples)
    if patch is not None:
        check_divides(patch * downsample, samples)

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        parts = []
        for rows, part in strips(samples, truth, lines=downsample * (patch or 1)):
            errors = as_float(rows) - as_float(part)
            if downsample > 1:
                errors = functional.avg_pool2d(errors, downsample)
            products = _inner_products(_cells(errors, patch))
            parts.append(products if patch is None else _energy(products, fair=fair))
        if patch is None:
            return _energy(torch.stack(parts).sum(0), fair=fair).mean()
        return torch.cat(parts).mean()

    return each_image(one, samples, target)


def spread_and_error(samples: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return each image's mean sample variance and squared error of the sample mean.

    With samples x_1 to x_K of an entry, their mean and its target y,

    .. math::
        s^2 = \frac{1}{K - 1} \sum_{i=1}^K (x_i - \bar x)^2 , \qquad e^2 = (\bar x - y)^2

    both averaged over the entries of the image.

    Returns:
        Two float64 tensors ``[...]``. Average both over images, then call `spread_skill_ratio`.

    Raises:
        InvalidImagesError: if samples or target break the convention.
        TooFewSamplesError: for a single sample.
    """
    check_pair(samples, target, at_least=2)

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        totals = torch.zeros(2, dtype=torch.float64, device=truth.device)
        for rows, part in strips(samples, truth):
            x = as_float(rows)
            mean = x.mean(0)
            squares = (x - mean).square_().sum() / (len(x) - 1)
            totals += torch.stack([squares, (mean - as_float(part)).square_().sum()])
        return totals / truth.numel()

    variance, error = each_image(one, samples, target).unbind(-1)
    return variance, error


def spread_skill_ratio(mean_variance: float, mean_error: float, n_samples: int) -> float:
    r"""Return the ratio of the samples' spread to the error of their mean (Fortin et al. 2014).

    With s^2 the sample variance and e^2 the squared error of the sample mean, both averaged over
    images as bars, the ratio is

    .. math::
        \sqrt{\frac{K + 1}{K} \, \frac{\overline{s^2}}{\overline{e^2}}}

    It is 1 for an ideal sampler, and below 1 if samples differ too little. If there is no error it
    is infinite, or NaN where the samples do not differ either.

    Args:
        mean_variance: the average of s^2, see `spread_and_error`.
        mean_error: the average of e^2.
        n_samples: K.

    Example:
        >>> spread_skill_ratio(0.5, 0.51, 50)
        1.0
    """
    if mean_error == 0:
        return math.nan if mean_variance == 0 else math.inf
    return math.sqrt((n_samples + 1) / n_samples * mean_variance / mean_error)


def rank_histogram(samples: Tensor, target: Tensor, *, generator: torch.Generator) -> Tensor:
    r"""Count how each image's entries rank among their samples (Hamill 2001).

    The rank of an entry with target y among its samples x_1 to x_K is

    .. math::
        r = \#\{i : x_i < y\} + u , \qquad u \sim U\{0, \ldots, \#\{i : x_i = y\}\}

    because ties are frequent in 8-bit and in clipped images. An ideal sampler's histogram is flat.
    Entries of an image depend on each other, so no chi-square test of the counts is valid;
    bootstrap over images instead.

    Returns:
        int64 ``[..., K+1]``.
    """
    check_pair(samples, target)
    n_samples = samples.shape[-4]

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        x, y = alike(samples, truth)
        below = torch.zeros_like(y, dtype=torch.int16)  # a quarter of the memory to go through
        ties = torch.zeros_like(below)
        for sample in x:
            below += sample < y
            ties += sample == y
        draws = torch.rand(
            truth.shape, generator=generator, device=generator.device, dtype=torch.float32
        )
        r = below + (draws.to(truth.device) * (ties + 1)).long()
        return torch.bincount(r.flatten(), minlength=n_samples + 1)

    return each_image(one, samples, target)


def reliability_index(histogram: Tensor) -> Tensor:
    r"""Return how far rank histograms are from flat: 0 if flat, at most 2.

    With f_r the share of entries of rank r:

    .. math::
        \sum_{r=0}^K \left| f_r - \frac{1}{K + 1} \right|

    Args:
        histogram: counts, ``[..., K+1]``.
    """
    shares = histogram.double() / histogram.sum(-1, keepdim=True)
    return (shares - 1 / histogram.shape[-1]).abs().sum(-1)


def duplicate_fraction(samples: Tensor) -> Tensor:
    """Return the share of each image's samples that repeat an earlier one bit by bit, ``[...]``."""
    check_samples(samples)
    images = samples.flatten(-3).reshape(-1, samples.shape[-4], samples.shape[-3:].numel())
    shares = [1 - _n_distinct(rows) / len(rows) for rows in images]
    return torch.tensor(shares, dtype=torch.float64, device="cpu").reshape(samples.shape[:-4])


def _n_distinct(rows: Tensor) -> int:
    """Count rows that differ, looking at the whole of those alone that agree in a few values."""
    few = rows[:, :: max(1, rows.shape[1] // PROBES)].cpu().numpy()
    alike: dict[bytes, list[int]] = {}
    for index, probes in enumerate(few):
        alike.setdefault(probes.tobytes(), []).append(index)
    digests = (
        {hashlib.blake2b(rows[index].cpu().numpy().tobytes()).digest() for index in indices}
        if len(indices) > 1
        else indices
        for indices in alike.values()
    )
    return sum(map(len, digests))


def _cells(errors: Tensor, side: int | None) -> Tensor:
    """Cut ``[K, C, H, W]`` into square cells, or take it as one cell: ``[n_cells, K, p]``."""
    if side is None:
        return errors.flatten(1)[None]
    cells = errors.unfold(2, side, side).unfold(3, side, side).permute(2, 3, 0, 1, 4, 5)
    return cells.flatten(0, 1).flatten(2)


def _inner_products(vectors: Tensor) -> Tensor:
    """Return float64 inner products of each cell's vectors: ``[n, K, p] -> [n, K, K]``.

    In lower precision, rounding would hide the small distances of near duplicates.
    """
    exact = vectors.double()
    return exact @ exact.mT


def _energy(products: Tensor, *, fair: bool) -> Tensor:
    """Return each cell's energy score from the inner products of its errors x_i - y.

    ``[n_cells, K, K] -> [n_cells]``.
    """
    n_samples = products.shape[-1]
    squares = products.diagonal(dim1=-2, dim2=-1)
    distances = squares[..., :, None] + squares[..., None, :] - 2 * products
    pair_sum = distances.clamp_min_(0).sqrt_().sum((-2, -1))
    two_m = 2 * n_samples * (n_samples - 1 if fair else n_samples)
    score: Tensor = squares.sqrt().mean(-1) - pair_sum / two_m
    return score
