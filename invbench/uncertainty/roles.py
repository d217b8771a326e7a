"""Scores with every member of an image's pool in the role of the target.

The pool of an image is its target and its K samples. Its members are numbered: 0 is the target, 1
to K are the samples. Each function here scores every member against all others, as if that member
were the target and the others were the samples. `role_test` compares the target's score with
those of the other members.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from invbench.uncertainty.intervals import tails
from invbench.uncertainty.pairs import as_float, check_divides, check_pair, each_image, strips
from invbench.uncertainty.quantiles import Rule, order_statistics, position

if TYPE_CHECKING:
    from torch import Tensor


def role_coverage(
    samples: Tensor, target: Tensor, *, level: float = 0.9, rule: Rule = "linear"
) -> Tensor:
    """Return the share of each member's entries that the interval of all others covers.

    Member 0 is the target: its share is `coverage` of the samples' interval. The mean over all
    members is what an ideal sampler covers. For continuous values that is `ideal_coverage`; where
    values are equal, as in 8-bit and in clipped images, it is more.

    Args:
        samples: ``[..., K, C, H, W]``.
        target: ``[..., C, H, W]``.
        level: of the interval.
        rule: its quantile rule.

    Returns:
        float64 ``[..., K+1]``.

    Raises:
        InvalidImagesError: if samples or target break the convention.
        TooFewSamplesError: if K is 1 or too small for the rule.
    """
    check_pair(samples, target, at_least=2)
    low, high = (position(samples.shape[-4], tail, rule) for tail in tails(level))

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        counts = torch.zeros(len(samples) + 1, dtype=torch.int64, device=truth.device)
        ranks = sorted({r for place in (low, high) for r in _neighbours(place, len(counts))})
        for rows, part in strips(samples, truth):
            pool = torch.cat([part[None], rows])
            flat = pool.flatten(1)
            for _, pixels, found in order_statistics(pool, ranks):
                values = {rank: row[0] for rank, row in zip(ranks, found, strict=True)}
                covered = _covered(flat[:, pixels], values, low, high)
                counts += covered.view(torch.int8).sum(1, dtype=torch.int32)
        return counts.double() / truth.numel()

    return each_image(one, samples, target)


def pool_distances(
    samples: Tensor, target: Tensor, *, downsample: int = 1, gray: bool = False
) -> Tensor:
    """Return the root mean square differences between all members of each image's pool.

    Args:
        samples: ``[..., K, C, H, W]``.
        target: ``[..., C, H, W]``.
        downsample: average squares of that many pixels a side first.
        gray: average the channels first.

    Returns:
        float64 ``[..., K+1, K+1]``, symmetric, the target first.

    Raises:
        InvalidImagesError: if the convention is broken or a side is not divisible.
    """
    check_pair(samples, target)
    check_divides(downsample, target)

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        products = torch.zeros(len(samples), len(samples), dtype=torch.float64, device=truth.device)
        n_values = 0
        for rows, part in strips(samples, truth, lines=downsample):
            if part.dtype == torch.uint8 and downsample == 1 and not gray:
                products += _products_of_levels(rows, part)
                n_values += part.numel()
                continue
            errors = as_float(rows) - as_float(part)
            errors = errors.mean(1, keepdim=True) if gray else errors
            errors = functional.avg_pool2d(errors, downsample) if downsample > 1 else errors
            exact = errors.flatten(1).double()  # or the distances of near duplicates cancel
            products += exact @ exact.mT
            n_values += exact.shape[1]
        # The target is the origin of the errors
        padded = functional.pad(products / n_values, (1, 0, 1, 0))
        squares = padded.diagonal()
        distances: Tensor = (squares[:, None] + squares - 2 * padded).clamp_min_(0).sqrt_()
        return distances

    return each_image(one, samples, target)


def role_energy(distances: Tensor) -> Tensor:
    """Return the fair energy score of each member as target, ``[..., K+1, K+1] -> [..., K+1]``.

    In units of the [0, 1] range: the energy score of `energy_score` over the root of the number
    of values.
    """
    n_samples = distances.shape[-1] - 1
    to_others = distances.sum(-1)
    pair_sums = distances.sum((-2, -1))[..., None] - 2 * to_others
    return to_others / n_samples - pair_sums / (2 * n_samples * (n_samples - 1))


def role_spread_and_error(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the variance and squared error of `spread_and_error` with each member as target.

    Args:
        distances: of `pool_distances`, ``[..., K+1, K+1]``.

    Returns:
        Two float64 tensors ``[..., K+1]``.
    """
    n_samples = distances.shape[-1] - 1
    squares = distances.square()
    to_others = squares.sum(-1)
    pair_sums = squares.sum((-2, -1))[..., None] - 2 * to_others
    pair_sums = pair_sums.clamp_min(0)  # below only by rounding
    variance = pair_sums / (2 * n_samples * (n_samples - 1))
    return variance, (to_others / n_samples - pair_sums / (2 * n_samples**2)).clamp_min(0)


def role_nearest(distances: Tensor) -> Tensor:
    """Return each member's distance to its nearest other member, ``[..., K+1]``."""
    itself = torch.eye(distances.shape[-1], dtype=torch.bool, device=distances.device)
    return distances.masked_fill(itself, math.inf).amin(-1)


def role_histograms(
    samples: Tensor, target: Tensor, *, generator: torch.Generator, n_entries: int = 1024
) -> Tensor:
    """Count how each member's entries rank in the pool; row 0 is a `rank_histogram`.

    Args:
        samples: ``[..., K, C, H, W]``.
        target: ``[..., C, H, W]``.
        generator: ranks equal values, in one order of members for all entries of an image.
        n_entries: about how many entries of an image to look at, evenly spread.

    Returns:
        int64 ``[..., K+1, K+1]``, member by rank.
    """
    check_pair(samples, target)

    def one(samples: Tensor, truth: Tensor) -> Tensor:
        pool = torch.cat([as_float(truth)[None], as_float(samples)]).flatten(1)
        pool = pool[:, :: max(1, pool.shape[1] // n_entries)]
        shuffled = torch.randperm(len(pool), generator=generator, device=generator.device)
        shuffled = shuffled.to(pool.device)
        order = pool[shuffled].T.contiguous().sort(dim=1, stable=True).indices
        ranks = torch.arange(len(pool), device=pool.device)
        counts = torch.bincount(
            (shuffled[order] * len(pool) + ranks).flatten(), minlength=len(pool) ** 2
        )
        return counts.reshape(len(pool), len(pool))

    return each_image(one, samples, target)


def _products_of_levels(samples: Tensor, target: Tensor) -> Tensor:
    """Return the inner products of the errors of 8-bit samples, without any rounding, ``[K, K]``.

    Errors are whole numbers up to 255, and float32 holds the sums of 256 of their products exactly.
    """
    errors = (samples.float() - target.float()).flatten(1)
    padded = functional.pad(errors, (0, -errors.shape[1] % 256))
    cells = padded.unflatten(1, (-1, 256)).transpose(0, 1)
    return torch.bmm(cells, cells.mT).sum(0, dtype=torch.float64) / 255**2


def _neighbours(place: float, n_members: int) -> range:
    """Return the 0-based ranks in the pool that the end at ``place`` of K samples depends on."""
    first = math.floor(place) - 1
    return range(first, min(first + 3, n_members))


def _covered(pool: Tensor, found: dict[int, Tensor], low: float, high: float) -> Tensor:
    """Tell which entries of each member are covered, ``[K+1, P]``, by order statistics of the pool.

    Let a and w be the whole and the fractional part of ``low``. Without member x, the lower end is
    between samples a and a+1: if x is among the first a of the pool, these are the pool's a+1 and
    a+2, above x; if x is beyond the first a+1, they are the pool's a and a+1, not above x; if it is
    the (a+1)th, they are the pool's a and a+2, and interpolation decides. Likewise above.
    """
    lower, upper = (_end(found, place) for place in (low, high))
    if pool.dtype == torch.uint8:  # whole numbers beyond an end are those beyond the next of them
        lower, upper = lower.ceil().to(torch.uint8), upper.floor().to(torch.uint8)
    a, b = math.floor(low), math.floor(high)
    middle_low, middle_high = found[a], found[b]
    # Mirrored, the (b+1)th of the pool is the one that interpolation decides about
    above = (pool > middle_low) | ((pool == middle_low) & (pool >= lower))
    below = (pool < middle_high) | ((pool == middle_high) & (pool <= upper))
    return above & below


def _end(found: dict[int, Tensor], place: float) -> Tensor:
    """Interpolate the end at ``place`` as if the pool's next member were not there."""
    first = math.floor(place) - 1
    weight = place - math.floor(place)
    if not weight:
        return found[first].float()
    return torch.lerp(found[first].double(), found[first + 2].double(), weight).float()
