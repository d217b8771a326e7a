"""The two arguments that every metric takes: how they are checked and paired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError
from invbench.images import check_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def score_each_observation(
    score: Callable[[Tensor, Tensor], Tensor], reobservations: Tensor, observation: Tensor
) -> Tensor:
    """Score every observation with the reobservations that belong to it.

    Args:
        score: ``(samples [K, c, h, w], reference [c, h, w]) -> scores [K]``.
        reobservations: ``[..., K, c, h, w]``.
        observation: ``[..., c, h, w]``; moved to the device and dtype of ``reobservations``.

    Returns:
        ``[..., K]``.

    Example:
        >>> def count(samples, reference):
        ...     return (samples == reference).sum((1, 2, 3))
        >>> score_each_observation(count, torch.ones(2, 5, 3, 8, 8), torch.ones(2, 3, 8, 8)).shape
        torch.Size([2, 5])
    """
    samples = reobservations.reshape(-1, *reobservations.shape[-4:])
    references = observation.to(reobservations).reshape(-1, *observation.shape[-3:])
    scores = [score(y, x) for y, x in zip(samples, references, strict=True)]
    return torch.stack(scores).reshape(reobservations.shape[:-3])


def check_pair(reobservations: Tensor, observation: Tensor) -> None:
    """Refuse images that break the convention or do not belong together.

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
