"""Scores of samples against targets that need no calibration, one for each image.

Samples are ``[..., K, C, H, W]``, float in [0, 1] or uint8; targets ``[..., C, H, W]``. Images are
treated one at a time and scratch is bounded, whatever the size of the batch.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from invbench.errors import InvalidImagesError
from invbench.images import check_images, from_uint8
from invbench.uncertainty.errors import TooFewSamplesError
from invbench.uncertainty.intervals import check_same_shape
from invbench.uncertainty.quantiles import check_samples, order_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

STRIP_BYTES = 8 << 20


def crps(samples: Tensor, target: Tensor, *, fair: bool = True) -> Tensor:
    """Return each image's mean continuous ranked probability score; lower is better.

    Per entry E|X - y| - E|X - X'| / 2. The fair version (Ferro 2014) divides the pair sum by
    K(K-1) and does not depend on K in expectation; the other divides by K^2 and favours spread.
    A single entry's fair score may be negative.

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
    pairs = 2 * n_samples * (n_samples - 1 if fair else n_samples)
    # sum over i, j of |x_i - x_j| is 2 sum over k of (2k - K - 1) x_(k), for the sorted samples
    weights = [4 * (rank + 1) - 2 * (n_samples + 1) for rank in range(n_samples)]

    targets = target.reshape(-1, target.shape[-3:].numel())
    totals = torch.zeros(len(targets), dtype=torch.float64, device=target.device)
    unit = 1 / 255 if samples.dtype == torch.uint8 else 1.0
    for images, pixels, rows in order_statistics(samples, range(n_samples)):
        truth = targets[images, pixels]
        scores = torch.zeros_like(truth)
        for row, weight in zip(rows, weights, strict=True):
            values = row * unit
            scores.add_(values, alpha=-weight / pairs)
            scores.add_((values - truth).abs_(), alpha=1 / n_samples)
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
    """Return each image's energy score (Gneiting & Raftery 2007, 4.3); lower is better.

    E||X - y|| - E||X - X'|| / 2 with Euclidean norms, fair or not as in `crps`. On whole large
    images it hardly sees dependence between pixels; on averaged images and on patches it does.

    Args:
        samples: ``[..., K, C, H, W]``.
        target: ``[..., C, H, W]``.
        fair: divide the pair sum by K(K-1) rather than K^2.
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
        whole = []
        cells = []
        for rows, part in strips(samples, truth, lines=downsample * (patch or 1)):
            errors = rows - part
            if downsample > 1:
                errors = functional.avg_pool2d(errors, downsample)
            products = _inner_products(_cells(errors, patch))
            if patch is None:
                whole.append(products)
            else:
                cells.append(_energy(products, fair=fair))
        if patch is None:
            return _energy(torch.stack(whole).sum(0), fair=fair).mean()
        return torch.cat(cells).mean()

    return each_image(one, samples, target)


def spread_and_error(samples: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return each image's mean sample variance and squared error of the sample mean.

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
            mean = rows.mean(0)
            squares = (rows - mean).square_().sum() / (len(rows) - 1)
            totals += torch.stack([squares, (mean - part).square_().sum()])
        return totals / truth.numel()

    variance, error = each_image(one, samples, target).unbind(-1)
    return variance, error


def spread_skill_ratio(mean_variance: float, mean_error: float, n_samples: int) -> float:
    """Return sqrt((K+1)/K variance / error) of averages over images (Fortin et al. 2014).

    1 for an ideal sampler, below 1 if samples differ too little. Without any error the ratio is
    inf, or NaN where nothing varies either.

    Example:
        >>> spread_skill_ratio(0.5, 0.51, 50)
        1.0
    """
    if mean_error == 0:
        return math.nan if mean_variance == 0 else math.inf
    return math.sqrt((n_samples + 1) / n_samples * mean_variance / mean_error)


def rank_histogram(samples: Tensor, target: Tensor, *, generator: torch.Generator) -> Tensor:
    """Count the ranks of each image's entries among their samples (Hamill 2001).

    The rank is #{x < y} plus a uniform draw from 0 to #{x = y}; ties are frequent in 8-bit and
    in clipped images. Flat for an ideal sampler. Entries of an image depend on each other: no
    chi-square test of these counts is valid; bootstrap over images.

    Returns:
        int64 ``[..., K+1]``.
    """
    check_pair(samples, target)
    n_samples = samples.shape[-4]

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        below = torch.zeros_like(truth, dtype=torch.int64)
        ties = torch.zeros_like(below)
        for sample in samples:
            values = as_float(sample)
            below += values < truth
            ties += values == truth
        draws = torch.rand(truth.shape, generator=generator, device=generator.device)
        ranks = below + (draws.to(truth.device) * (ties + 1)).long()
        return torch.bincount(ranks.flatten(), minlength=n_samples + 1)

    return each_image(one, samples, target)


def reliability_index(histogram: Tensor) -> Tensor:
    """Return sum_k |f_k - 1/(K+1)| of a rank histogram ``[..., K+1]``: 0 if flat, at most 2."""
    shares = histogram.double() / histogram.sum(-1, keepdim=True)
    return (shares - 1 / histogram.shape[-1]).abs().sum(-1)


def duplicate_fraction(samples: Tensor) -> Tensor:
    """Return the share of each image's samples that repeat an earlier one bit by bit, ``[...]``."""
    check_samples(samples)
    shares = []
    for rows in samples.reshape(-1, *samples.shape[-4:]):
        digests = {hashlib.blake2b(row.cpu().numpy().tobytes()).digest() for row in rows}
        shares.append(1 - len(digests) / len(rows))
    return torch.tensor(shares, dtype=torch.float64).reshape(samples.shape[:-4])


def check_pair(samples: Tensor, target: Tensor, *, at_least: int = 1) -> None:
    """Refuse samples and targets that break the convention or do not belong together.

    Raises:
        InvalidImagesError: if values break the convention or shapes do not match.
        TooFewSamplesError: if there are fewer samples of each image than ``at_least``.
    """
    check_samples(samples)
    check_images(target, name="target")
    check_same_shape(samples.select(-4, 0), target)
    if samples.shape[-4] < at_least:
        raise TooFewSamplesError(
            f"{samples.shape[-4]} samples of each image; this score needs {at_least}"
        )


def image_pairs(samples: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image's samples ``[K, C, H, W]`` and its target ``[C, H, W]``."""
    flat = samples.reshape(-1, *samples.shape[-4:])
    yield from zip(flat, target.reshape(-1, *target.shape[-3:]), strict=True)


def strips(samples: Tensor, target: Tensor, *, lines: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one image's samples, as float, and target in strips of a multiple of ``lines``."""
    bytes_per_unit = 4 * lines * samples[..., :1, :].numel()
    height = lines * max(1, STRIP_BYTES // bytes_per_unit)
    yield from (
        (as_float(rows), part)
        for rows, part in zip(samples.split(height, -2), target.split(height, -2), strict=True)
    )


def as_float(images: Tensor) -> Tensor:
    """Return images in [0, 1], converting 8-bit ones."""
    return from_uint8(images) if images.dtype == torch.uint8 else images


def check_divides(side: int, images: Tensor) -> None:
    """Refuse images that squares of ``side`` pixels do not tile.

    Raises:
        InvalidImagesError: if a side of the images is no multiple of it.
    """
    if side < 1 or images.shape[-1] % side or images.shape[-2] % side:
        raise InvalidImagesError(
            f"images of {images.shape[-1]}x{images.shape[-2]} pixels do not divide into "
            f"squares of {side}"
        )


def _cells(errors: Tensor, side: int | None) -> Tensor:
    """Cut ``[K, C, H, W]`` into M square cells, or take it as one: ``[M, K, p]``."""
    if side is None:
        return errors.flatten(1)[None]
    cells = errors.unfold(2, side, side).unfold(3, side, side).permute(2, 3, 0, 1, 4, 5)
    return cells.flatten(0, 1).flatten(2)


def _inner_products(vectors: Tensor) -> Tensor:
    """Return float64 inner products of each cell's K vectors, ``[M, K, p] -> [M, K, K]``.

    In lower precision the distances of near duplicates would cancel.
    """
    exact = vectors.double()
    return exact @ exact.mT


def _energy(products: Tensor, *, fair: bool) -> Tensor:
    """Return the energy score of each cell from the inner products of its errors x - y, ``[M]``."""
    n_samples = products.shape[-1]
    squares = products.diagonal(dim1=-2, dim2=-1)
    distances = squares[..., :, None] + squares[..., None, :] - 2 * products
    pair_sum = distances.clamp_min_(0).sqrt_().sum((-2, -1))
    pairs = 2 * n_samples * (n_samples - 1 if fair else n_samples)
    score: Tensor = squares.sqrt().mean(-1) - pair_sum / pairs
    return score


def each_image(
    score: Callable[[Tensor, Tensor], Tensor], samples: Tensor, target: Tensor
) -> Tensor:
    """Apply ``score`` to one image's samples ``[K, C, H, W]`` and target at a time."""
    scores = torch.stack([score(*pair) for pair in image_pairs(samples, target)])
    return scores.reshape((*target.shape[:-3], *scores.shape[1:]))
