"""Dropout whose masks are drawn by generators that the caller names."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING

import torch

from invbench.seeding import fill_rows, to_device

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
    if rate == 0.5:
        return _halves(generators, shapes, device)
    draw = partial(torch.rand, dtype=torch.float32, device="cpu")
    rows = [[draw(*shape, generator=one) >= rate for shape in shapes] for one in generators]
    masks = (torch.stack(mask).float() for mask in zip(*rows, strict=True))
    return [to_device(mask, device) / (1 - rate) for mask in masks]


def _halves(
    generators: Sequence[torch.Generator],
    shapes: Sequence[Sequence[int]],
    device: torch.device | str,
) -> list[Tensor]:
    """Draw masks that drop one half: a random bit a value, 64 in one draw of a generator."""
    sizes = [prod(shape) for shape in shapes]
    words = torch.empty(len(generators), -(-sum(sizes) // 64), dtype=torch.int64, device="cpu")
    fill_rows(words, generators, lambda row, one: row.random_(-(2**63), None, generator=one))
    octets = to_device(words, device).view(torch.uint8)
    places = torch.arange(8, dtype=torch.uint8, device=device)
    bits = (octets[..., None] >> places & 1).flatten(1)[:, : sum(sizes)]
    parts = zip(bits.split(sizes, dim=1), shapes, strict=True)
    return [part.reshape(-1, *shape) * 2.0 for part, shape in parts]
