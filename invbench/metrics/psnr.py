"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from invbench.metrics.pairs import check_pair, score_each_observation

if TYPE_CHECKING:
    from torch import Tensor

_EXACT_IN_FLOAT32 = 256  # squares of 8-bit differences, whose sum has no rounding

# Many small images are scored in one call; large ones in pieces whose temporaries fit the cache.
_ELEMENTS_PER_PIECE = {"cpu": 2**18}
_ELEMENTS_PER_PIECE_ELSEWHERE = 2**26


def psnr(reobservations: Tensor, observation: Tensor) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each reobservation to its observation, in dB.

    With reobservation y and observation x of N values each, and L the data range (1):

    .. math::
        \mathrm{MSE} = \frac{1}{N} \sum_{i=1}^N (y_i - x_i)^2 , \qquad
        \mathrm{PSNR} = 10 \log_{10} \frac{L^2}{\mathrm{MSE}}

    The code multiplies images and L by 255 before it subtracts, which turns 8-bit values into
    exact integers: the score of 8-bit images carries no rounding of k/255. Differences below
    float32 rounding (ratios above 140 dB) are not resolved.

    Args:
        reobservations: ``[..., K, c, h, w]``, float in [0, 1].
        observation: ``[..., c, h, w]``, float in [0, 1].

    Returns:
        float64 ``[..., K]``; identical images score ``inf``, which JSON cannot hold: a record
        writes null or a cap in its place, and counts it.

    Raises:
        InvalidImagesError: if values or shapes break the convention.

    Example:
        >>> observation = torch.full((1, 8, 8), 0.5)
        >>> psnr(torch.stack([observation, observation + 0.1]), observation)
        tensor([inf, 20.], dtype=torch.float64)
    """
    check_pair(reobservations, observation)
    squares = score_each_observation(_sum_of_squares, reobservations, observation)
    peak = 255**2 * math.prod(observation.shape[-3:])
    return 10 * torch.log10(peak / squares)


def _sum_of_squares(samples: Tensor, reference: Tensor) -> Tensor:
    """Sum the squared differences of ``[K, c, h, w]`` to ``[c, h, w]``, in units of 1/255."""
    piece_size = _ELEMENTS_PER_PIECE.get(samples.device.type, _ELEMENTS_PER_PIECE_ELSEWHERE)
    dtype = torch.promote_types(samples.dtype, torch.float32)
    scaled = reference.flatten().to(dtype) * 255
    sums = []
    for images in samples.split(max(1, piece_size // len(scaled))):
        pieces = images.flatten(1).split(piece_size, dim=1)
        total = samples.new_zeros(len(images), dtype=torch.float64)
        for piece, x in zip(pieces, scaled.split(piece_size), strict=True):
            total += _sum_in_double((piece.to(dtype) * 255).sub_(x).square_())
        sums.append(total)
    return torch.cat(sums)


def _sum_in_double(squares: Tensor) -> Tensor:
    """Sum each row of ``[K, n]``, exactly where all are squares of whole numbers up to 255.

    Of these, 256 have a sum below 2^24, which float32 holds; only their sums are made double.
    """
    even = squares.shape[1] - squares.shape[1] % _EXACT_IN_FLOAT32
    sums = squares[:, :even].unflatten(1, (_EXACT_IN_FLOAT32, -1)).sum(1)
    total: Tensor = sums.double().sum(1) + squares[:, even:].double().sum(1)
    return total
