"""What is an image? The convention, and the only place that converts to and from it.

Inside invbench an image batch is a float32 tensor ``[..., C, H, W]`` with values in [0, 1].
Everything else (8-bit, [-1, 1], files) is converted here or inside one adapter. `find_images` is
the one walk through a folder, `read_image` the one gate that a file passes.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.errors import InvalidImagesError
from invbench.images.files import declared_size, read_image, usual_pillow, write_png
from invbench.images.folders import Flaw, ImageFiles, find_images, is_litter, require_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = [
    "Flaw",
    "ImageFiles",
    "check_images",
    "declared_size",
    "find_images",
    "from_signed",
    "from_uint8",
    "is_litter",
    "read_image",
    "require_folder",
    "to_signed",
    "to_uint8",
    "trusted",
    "usual_pillow",
    "write_png",
]

_TRUSTED: ContextVar[tuple[Tensor, ...]] = ContextVar("_TRUSTED", default=())


def check_images(
    images: Tensor,
    *,
    channels: int | None = None,
    name: str = "images",
    error: type[InvalidImagesError] = InvalidImagesError,
) -> Tensor:
    """Return ``images`` unchanged if they follow the convention, else raise.

    Args:
        images: expected float, ``[..., C, H, W]``, finite, in [0, 1].
        channels: the required C, if any.
        name: what to call the tensor in the message.
        error: the class to raise.

    Raises:
        InvalidImagesError: saying which rule is broken, with the measured values.

    Example:
        >>> check_images(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    if not images.is_floating_point():
        raise error(f"{name}: dtype {images.dtype}; convert with images.from_uint8", "dtype")
    if images.ndim < 3 or 0 in images.shape:
        shape = tuple(images.shape)
        raise error(f"{name}: shape {shape}; expected non-empty [..., C, H, W]", "shape")
    if channels is not None and images.shape[-3] != channels:
        shape = tuple(images.shape)
        raise error(f"{name}: {shape[-3]} channels in {shape}, not {channels}", "shape")
    if any(_is_all_of(images, one) for one in _TRUSTED.get()):
        return images
    low, high = torch.stack(torch.aminmax(images.detach())).cpu().tolist()  # one wait, not two
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~torch.isfinite(images)).sum())
        raise error(f"{name}: {bad} of {images.numel()} values are NaN or infinite", "finite")
    if low < 0 or high > 1:
        raise error(
            f"{name}: values span [{low:.4g}, {high:.4g}], beyond [0, 1] by "
            f"{max(-low, high - 1):.3g}; "
            "clamp them, or convert from [-1, 1] with images.from_signed",
            "range",
        )
    return images


@contextmanager
def trusted(*images: Tensor) -> Iterator[None]:
    """Check images once, so that functions called inside do not look at their values again.

    Every function checks what it is given, which is a pass over all of it. Nothing inside may write
    to the images.

    Raises:
        InvalidImagesError: if they break the convention.

    Example:
        >>> images = torch.zeros(2, 3, 8, 8)
        >>> with trusted(images):
        ...     check_images(images[None]).shape
        torch.Size([1, 2, 3, 8, 8])
    """
    for one in images:
        check_images(one)
    token = _TRUSTED.set(_TRUSTED.get() + images)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def _is_all_of(images: Tensor, known: Tensor) -> bool:
    """Tell whether a tensor is a known one, or a view of all of it."""
    return images is known or (
        images._base is known and images.numel() == known.numel()  # noqa: SLF001  a view of it
    )


def to_uint8(images: Tensor) -> Tensor:
    """Round images in [0, 1] to 8 bits, half to even, clamping what lies outside.

    >>> to_uint8(torch.tensor([0.0, 0.5, 1.0]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """Turn 8-bit images into float32 in [0, 1]; exact inverse of `to_uint8` on 8-bit values."""
    return images.to(torch.float32).div_(255)


def to_signed(images: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return images * 2 - 1


def from_signed(images: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1], clamping what lies outside."""
    return (images / 2 + 0.5).clamp(0, 1)
