"""Dropout whose masks are drawn by generators that the caller names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from invbench.seeding import to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def draw_masks(
    generators: Sequence[torch.Generator],
    shapes: Sequence[Sequence[int]],
    *,
    rate: float = 0.5,
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """Draw dropout masks: 0 with probability ``rate``, else 1 / (1 - rate).

    Args:
        generators: N CPU generators; row n of every mask comes from generator n alone.
        shapes: the shape of each mask, without the batch.
        rate: the part that is dropped.
        device: where the masks go.

    Returns:
        One mask ``[N, *shape]`` a shape.

    Example:
        >>> mask, = draw_masks([torch.Generator().manual_seed(0)], [(1, 2, 3)])
        >>> sorted(set(mask.flatten().tolist()))
        [0.0, 2.0]
    """
    draw = partial(torch.rand, dtype=torch.float32, device="cpu")
    rows = [[draw(*shape, generator=one) >= rate for shape in shapes] for one in generators]
    masks = (torch.stack(mask).float() for mask in zip(*rows, strict=True))
    return [to_device(mask, device) / (1 - rate) for mask in masks]
