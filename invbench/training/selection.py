"""The search of IMLE: which of many codes gives the sample nearest to a target?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invbench.images import from_uint8, to_uint8
from invbench.models.imle import to_rgb
from invbench.operators import resize_bicubic
from invbench.training.distances import squared_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.networks import Carry, Tower
    from invbench.training.distances import Features


def target_pyramid(target: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Reduce targets ``[N, 3, S, S]`` to each level's size by Pillow's bicubic filter on 8 bits."""
    pixels = to_uint8(target)
    return [from_uint8(resize_bicubic(pixels, size, size)) for size in sizes]


@torch.no_grad()
def select_codes(
    tower: Tower,
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    candidates: Sequence[Tensor],
    features: Features,
) -> list[Tensor]:
    r"""Search the nearest code level by level, each on top of the codes already chosen (CHIMLE).

    Sum of m_l evaluations of one level each stand for the product of m_l whole samples:

    .. math::
        z_l = \arg\min_{z \in \{z_{l1}, \dots, z_{l m_l}\}} d(T_l(x, z_1, \dots, z_{l-1}, z), y_l)

    Args:
        tower: T.
        x: image part of each level, ``[N, c, H_l, W_l]``.
        y: the target at each level's output size, ``[N, 3, H_l, W_l]``.
        candidates: codes to try at each level, ``[N, m_l, length_l]``.
        features: of the distance d.

    Returns:
        z: the chosen code of each level, ``[N, length_l]``.
    """
    z: list[Tensor] = []
    carry: Carry | None = None
    for level, codes in enumerate(candidates):
        # Run this level alone for all candidates of all images
        count = codes.shape[1]
        repeated = [image.repeat_interleave(count, dim=0) for image in x]
        below = carry.repeat(count) if carry else None
        output, _ = tower.level(level, repeated, codes.flatten(0, 1), below)

        # Keep each image's nearest, and climb on it
        found = features(to_rgb(output, tower.config))
        z.append(_nearest(codes, found, features(y[level])))
        _, carry = tower.level(level, x, z[-1], carry)
    return z


@torch.no_grad()
def select_whole_codes(
    tower: Tower,
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    candidates: Sequence[Tensor],
    features: Features,
) -> list[Tensor]:
    r"""Search the nearest of whole codes, by the final output alone (cIMLE).

    .. math::
        (z_1, \dots, z_L) = \arg\min_{j \le m} d(T(x, z_{1j}, \dots, z_{Lj}), y_L)

    Arguments and result are those of `select_codes`, with the same number m of candidates at every
    level: candidate j of all levels belong together. Only the last target is looked at.
    """
    codes = torch.cat(list(candidates), dim=2)
    lengths = [level.shape[2] for level in candidates]
    repeated = [image.repeat_interleave(codes.shape[1], dim=0) for image in x]
    outputs = tower(repeated, codes.flatten(0, 1).split(lengths, dim=1))
    found = features(to_rgb(outputs[-1], tower.config))
    return list(_nearest(codes, found, features(y[-1])).split(lengths, dim=1))


def candidate_distances(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return d ``[N, m]`` of each image's m candidates, their features being ``[N * m, D_l]``."""
    count = len(found[0]) // len(wanted[0])
    repeated = [feature.repeat_interleave(count, dim=0) for feature in wanted]
    return squared_distance(found, repeated).reshape(-1, count)


def _nearest(codes: Tensor, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return each image's code ``[N, length]`` whose features are nearest to those wanted."""
    index = candidate_distances(found, wanted).argmin(dim=1)
    return codes[torch.arange(len(codes)), index]
