"""What the exact 8-bit operators share: input checks, work in chunks, integer weighted sums."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from torch import Tensor

# Pixels worked on at once. On a CPU the temporaries of a 512x512 image still fit in the caches, and
# stay below the size for which every allocation takes fresh pages; a GPU needs fuller launches.
_CPU_PIXELS = 2**18
_GPU_PIXELS = 2**22


def check_bytes(images: Tensor, *, channels: Collection[int] = ()) -> Tensor:
    """Return 8-bit images unchanged, else raise.

    Args:
        images: expected uint8 ``[..., C, H, W]``, not empty.
        channels: the values of C that are allowed; none stands for all.

    Raises:
        InvalidImagesError: saying which rule is broken.
    """
    shape = tuple(images.shape)
    if images.dtype != torch.uint8:
        raise InvalidImagesError(f"images: dtype {images.dtype}; convert with images.to_uint8")
    if images.ndim < 3 or 0 in shape:
        raise InvalidImagesError(f"images: shape {shape}; expected non-empty [..., C, H, W]")
    if channels and shape[-3] not in channels:
        allowed = " or ".join(map(str, channels))
        raise InvalidImagesError(f"images: {shape[-3]} channels in {shape}, not {allowed}")
    return images


def in_chunks(
    function: Callable[[Tensor], Tensor],
    images: Tensor,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.uint8,
) -> Tensor:
    """Apply a function of image batches to a few images at a time, so that memory stays bounded.

    Args:
        function: maps ``[N, C, H, W]`` to ``[N, *shape]``, each image on its own.
        images: ``[..., C, H, W]``.
        shape: (channels, height, width) of one result.
        dtype: of the result.

    Returns:
        ``[..., *shape]``.
    """
    flat = images.reshape(-1, *images.shape[-3:])
    result = torch.empty((len(flat), *shape), dtype=dtype, device=images.device)
    pixels = _GPU_PIXELS
    if images.device.type == "cpu":
        pixels = _CPU_PIXELS
        _keep_freed_memory()
    length = max(1, pixels // max(prod(images.shape[-2:]), prod(shape[-2:])))
    for part, out in zip(flat.split(length), result.split(length), strict=True):
        out.copy_(function(part))
    return result.reshape(*images.shape[:-3], *shape)


def weighted_sum(
    terms: Iterable[Tensor], weights: Sequence[int], offset: int, out: Tensor
) -> Tensor:
    """Write ``offset + sum(weight * term)`` of int32 tensors to ``out`` and return it.

    The first term may be ``out`` itself.
    """
    (first, weight), *rest = [pair for pair in zip(terms, weights, strict=True) if pair[1]]
    torch.add(_constant(offset, out.device), first, alpha=weight, out=out)
    for term, weight in rest:
        out.add_(term, alpha=weight)
    return out


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep freed temporaries instead of handing them back to the system.

    glibc hands back all beyond twice the largest block it has mapped and freed so far, 32 MB at
    most; each chunk would then fault in its pages anew, at up to the cost of the arithmetic.
    Freeing one untouched block of that size lifts the limit; elsewhere this does nothing.
    """
    torch.empty(2**25 - 2**13, dtype=torch.uint8, device="cpu")


@cache
def _constant(value: int, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=torch.int32, device=device)
