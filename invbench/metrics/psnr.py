"""Peak signal-to-noise ratio, and the check of shapes and values that all metrics share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError
from invbench.images import check_images

if TYPE_CHECKING:
    from torch import Tensor

# Small images go many at a time, large ones in pieces whose temporaries stay in the cache.
_ELEMENTS_AT_ONCE = {"cpu": 2**18}
_ELEMENTS_AT_ONCE_ELSEWHERE = 2**26


def psnr(reobservations: Tensor, observation: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each reobservation to its observation, in dB.

    ``10 log10(1 / mean((reobservation - observation)^2))`` over channels and pixels; data range 1.

    The images are scaled by 255 before they are subtracted, which turns 8-bit values into exact
    integers: the score of 8-bit images carries no rounding of k/255. Differences below float32
    rounding (ratios above 140 dB) are not resolved.

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
    samples = reobservations.reshape(-1, *reobservations.shape[-4:])
    references = observation.to(reobservations).reshape(-1, *observation.shape[-3:])
    squares = [_sum_of_squares(images, x) for images, x in zip(samples, references, strict=True)]
    peak = 255**2 * math.prod(observation.shape[-3:])
    ratios = 10 * torch.log10(peak / torch.stack(squares))
    return ratios.reshape(reobservations.shape[:-3])


def _sum_of_squares(samples: Tensor, reference: Tensor) -> Tensor:
    """Sum the squared differences of ``[K, c, h, w]`` to ``[c, h, w]``, in units of 1/255."""
    at_once = _ELEMENTS_AT_ONCE.get(samples.device.type, _ELEMENTS_AT_ONCE_ELSEWHERE)
    dtype = torch.promote_types(samples.dtype, torch.float32)
    scaled = reference.flatten().to(dtype) * 255
    sums = []
    for images in samples.split(max(1, at_once // len(scaled))):
        pieces = images.flatten(1).split(at_once, dim=1)
        total = samples.new_zeros(len(images), dtype=torch.float64)
        for piece, like in zip(pieces, scaled.split(at_once), strict=True):
            difference = (piece.to(dtype) * 255).sub_(like)
            total += difference.double().square_().sum(1)
        sums.append(total)
    return torch.cat(sums)


def check_pair(reobservations: Tensor, observation: Tensor) -> None:
    """Check the two arguments that every metric takes.

    Raises:
        InvalidImagesError: if one of them is not a batch of images in [0, 1], or if
            ``reobservations`` is not ``[..., K, c, h, w]`` for an observation ``[..., c, h, w]``.

    Example:
        >>> check_pair(torch.zeros(2, 5, 3, 8, 8), torch.zeros(2, 3, 8, 8))
    """
    check_images(reobservations, name="reobservations")
    check_images(observation, name="observation")
    shape = reobservations.shape
    if shape[:-4] + shape[-3:] != observation.shape or len(shape) != observation.ndim + 1:
        raise InvalidImagesError(
            f"reobservations of shape {tuple(shape)} do not fit an observation of shape "
            f"{tuple(observation.shape)}; expected [..., K, c, h, w] and [..., c, h, w]"
        )
