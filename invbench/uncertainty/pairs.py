"""How scores go through samples and targets: one image at a time, and its rows in strips.

Samples are ``[..., K, C, H, W]`` and targets ``[..., C, H, W]``, float in [0, 1] or uint8. The
scores of 8 bits are those of floats; where values are only compared, they take less time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError
from invbench.images import check_images, from_uint8
from invbench.uncertainty.errors import TooFewSamplesError
from invbench.uncertainty.intervals import check_same_shape
from invbench.uncertainty.quantiles import check_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

STRIP_BYTES = 8 << 20


def check_pair(samples: Tensor, target: Tensor, *, at_least: int = 1) -> None:
    """Refuse samples and targets that break the convention or do not belong together.

    Raises:
        InvalidImagesError: if values break the convention or shapes do not match.
        TooFewSamplesError: if there are fewer samples of each image than ``at_least``.
    """
    check_samples(samples)
    if target.dtype != torch.uint8:
        check_images(target, name="target")
    check_same_shape(samples.select(-4, 0), target)
    if samples.shape[-4] < at_least:
        raise TooFewSamplesError(
            f"{samples.shape[-4]} samples of each image; this score needs {at_least}"
        )


def image_pairs(samples: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image's samples ``[K, C, H, W]`` and its target ``[C, H, W]``."""
    flat = samples.reshape(-1, *samples.shape[-4:])
    yield from zip(flat, target.reshape(-1, *target.shape[-3:]), strict=True)


def strips(samples: Tensor, target: Tensor, *, lines: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield strips of rows of one image: its samples and its target, as `alike` has them.

    The height of every strip is a multiple of ``lines``.
    """
    bytes_per_unit = 4 * lines * samples[..., :1, :].numel()
    height = lines * max(1, STRIP_BYTES // bytes_per_unit)
    parts = zip(samples.split(height, -2), target.split(height, -2), strict=True)
    yield from (alike(rows, part) for rows, part in parts)


def alike(samples: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return samples and target of one image of one type: both of 8 bits, or both floats."""
    if samples.dtype == target.dtype:
        return samples, target
    return as_float(samples), as_float(target)


def as_float(images: Tensor) -> Tensor:
    """Return images as floats in [0, 1], whether they are 8-bit or float already."""
    return from_uint8(images) if images.dtype == torch.uint8 else images


def check_divides(side: int, images: Tensor) -> None:
    """Refuse images that squares of ``side`` pixels do not tile.

    Raises:
        InvalidImagesError: if a side of the images is no multiple of it.
    """
    if side < 1 or images.shape[-1] % side or images.shape[-2] % side:
        raise InvalidImagesError(
            f"images of {images.shape[-1]}x{images.shape[-2]} pixels do not divide into "
            f"squares of {side}"
        )


def each_image(
    score: Callable[[Tensor, Tensor], Tensor], samples: Tensor, target: Tensor
) -> Tensor:
    """Stack the scores of all images: ``score(samples [K, C, H, W], target [C, H, W])`` of each."""
    scores = torch.stack([score(*pair) for pair in image_pairs(samples, target)])
    return scores.reshape((*target.shape[:-3], *scores.shape[1:]))
