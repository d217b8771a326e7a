"""Grayscale, bit-exact with Pillow's conversion to mode "L"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from invbench.images import check_images, from_uint8, to_uint8
from invbench.operators.exact import check_bytes, in_chunks, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

LUMA_WEIGHTS = (19595, 38470, 7471)
"""The weights .299, .587, .114 of red, green, blue (ITU-R BT.601) in units of 1/65536."""


def grayscale(images: Tensor) -> Tensor:
    """Convert 8-bit RGB images to gray exactly as Pillow's ``convert("L")`` does.

    ``L = (19595 R + 38470 G + 7471 B + 32768) >> 16`` in integers; a gray image keeps its values.

    Args:
        images: uint8 ``[..., 3, H, W]`` on any device.

    Returns:
        uint8 ``[..., 1, H, W]``.

    Raises:
        InvalidImagesError: for another dtype or number of channels.

    Example:
        >>> grayscale(torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(3, 1, 1)).item()
        76
    """
    check_bytes(images, channels=(3,))
    return in_chunks(_luma, images, (1, *images.shape[-2:]))


def _luma(images: Tensor) -> Tensor:
    colors = images.transpose(0, 1).to(torch.int32, memory_format=torch.contiguous_format)
    luma = weighted_sum(colors.unbind(), LUMA_WEIGHTS, 1 << 15, out=colors[0])
    return luma.bitwise_right_shift_(16)[:, None]


@dataclass(frozen=True)
class PillowGray:
    """Grayscale as a forward process: round to 8 bits, convert as Pillow does, scale to [0, 1]."""

    name: ClassVar[str] = "gray-pillow"
    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        return {"name": self.name, "version": self.version, "params": {}}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 1, height, width

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images ``[..., 3, H, W]`` to observations ``[..., 1, H, W]``, both in [0, 1].

        Raises:
            InvalidImagesError: if the images break the convention.
        """
        check_images(images, channels=3)
        return in_chunks(
            lambda part: from_uint8(_luma(to_uint8(part))),
            images,
            self.observation_shape(*images.shape[-2:]),
            torch.float32,
        )
