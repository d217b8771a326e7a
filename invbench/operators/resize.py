"""Bicubic resizing, bit-exact with Pillow's ``Image.resize(..., BICUBIC)`` and batched.

Pillow resizes in two passes, horizontal and vertical, each a fixed-point weighted sum that is
rounded and clipped to 8 bits. Here a pass is a float32 matrix product of integers so small that all
sums are exact, in any order, and in TensorFloat-32 or bfloat16 too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import check_images, from_uint8, to_uint8
from invbench.operators.exact import check_bytes, in_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_FRACTION_BITS = 22
_EXACT_BELOW = 2**24  # whole numbers that float32 holds


def bicubic_matrix(size: int, length: int) -> np.ndarray:
    """Return Pillow's bicubic weights from ``length`` to ``size`` samples, before rounding.

    Keys' cubic with a = -1/2, stretched by the scale when shrinking, so that 16x reads 64 samples.
    Weights beyond the border are dropped and the rest normalized to sum 1.

    Returns:
        float64 ``[size, length]``.

    Example:
        >>> bicubic_matrix(2, 4).round(3).tolist()
        [[0.459, 0.459, 0.12, -0.037], [-0.037, 0.12, 0.459, 0.459]]
    """
    scale = length / size
    stretch = max(scale, 1.0)
    matrix = np.zeros((size, length))
    for row, center in zip(matrix, (np.arange(size) + 0.5) * scale, strict=True):
        # Python's int() cuts off the fraction, as C does
        first = max(int(center - 2 * stretch + 0.5), 0)
        last = min(int(center + 2 * stretch + 0.5), length)
        weights = keys_cubic((np.arange(first, last) - center + 0.5) * (1 / stretch))
        row[first:last] = weights / weights.cumsum()[-1]  # the sum in Pillow's order
    return matrix


def keys_cubic(position: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Evaluate the interpolation kernel of Keys (1981), operations ordered as in Pillow."""
    x = np.abs(position)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def resize_bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """Resize 8-bit images exactly as Pillow's ``resize((width, height), BICUBIC)`` does.

    The result is that of Pillow 13. Older versions differ where the height loses more than twice as
    many pixels as the width: there Pillow 13 makes the vertical pass first, so that
    rounding between the passes falls differently. Square images are the same in all versions.

    Args:
        images: uint8 ``[..., C, H, W]`` on any device; channels are resized one by one.
        height: of the result, smaller or larger than H.
        width: of the result.

    Returns:
        uint8 ``[..., C, height, width]``.

    Raises:
        InvalidImagesError: for another dtype, for a size below 1, or when shrinking some ten
            thousand times in one step.

    Example:
        >>> resize_bicubic(torch.full((3, 32, 32), 7, dtype=torch.uint8), 2, 2).unique()
        tensor([7], dtype=torch.uint8)
    """
    check_bytes(images)
    if min(height, width) < 1:
        raise InvalidImagesError(f"cannot resize to {height}x{width}; ask for at least one pixel")
    shape = (images.shape[-3], height, width)
    return in_chunks(lambda part: _resize(part, height, width), images, shape)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    passes = [(-1, width), (-2, height)]
    fewer_rows, fewer_columns = images.shape[-2] - height, images.shape[-1] - width
    if fewer_rows > max(0, 2 * fewer_columns):
        passes.reverse()
    for axis, size in passes:
        if images.shape[axis] != size:
            images = _resize_last_axis(images.transpose(axis, -1), size).transpose(axis, -1)
    return images


def _resize_last_axis(images: Tensor, size: int) -> Tensor:
    """Weight, round and clip along the last axis, ``[..., length]`` to int32 ``[..., size]``."""
    kernel = _fixed_point_kernel(size, images.shape[-1], _safe_bits(images.device), images.device)
    lines = images.reshape(-1, images.shape[-1]).to(torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        sums = [lines[:, first:last] @ weights for first, last, weights in kernel.bands]

    # Put the digits of each sum together: the accumulator of Pillow, to the last bit
    digits = [band.unflatten(1, (kernel.digits, -1)) for band in sums]
    lowest, *higher = torch.cat(digits, dim=2).to(torch.int32).unbind(1)
    for place, digit in enumerate(higher, start=1):
        lowest.add_(digit, alpha=1 << place * kernel.bits)

    lowest.add_(1 << _FRACTION_BITS - 1).bitwise_right_shift_(_FRACTION_BITS).clamp_(0, 255)
    return lowest.reshape(*images.shape[:-1], size)


class _Kernel(NamedTuple):
    """Fixed-point weights in digits small enough for exact float32 products.

    Attributes:
        bits: each digit stands for ``2**bits`` of the one before.
        digits: digits of a weight.
        bands: runs of outputs, each as (first input, last input + 1, weights ``[inputs,
            digits * outputs]``, lowest digits first); inputs outside a band's range weigh nothing.
    """

    bits: int
    digits: int
    bands: Sequence[tuple[int, int, Tensor]]


def _safe_bits(device: torch.device) -> int:
    """Return how many bits a factor may have so that the device multiplies it unrounded.

    TensorFloat-32 and all finer formats hold 11 significant bits, bfloat16 holds 8; pixels have 8.
    """
    backends = {"cpu": torch.backends.mkldnn, "cuda": torch.backends.cuda}
    backend = backends.get(device.type)
    return 11 if backend and backend.matmul.fp32_precision != "bf16" else 8


@lru_cache(maxsize=128)
def _fixed_point_kernel(size: int, length: int, bits: int, device: torch.device) -> _Kernel:
    scaled = bicubic_matrix(size, length) * 2**_FRACTION_BITS
    weights = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
    digits = _split(weights, bits)
    while 255 * np.abs(digits).sum(axis=2).max() >= _EXACT_BELOW:
        if bits == 2:
            raise InvalidImagesError(f"{length} to {size} pixels is too much for one exact step")
        bits -= 1
        digits = _split(weights, bits)

    # Cut into bands of outputs, as most weights of the whole matrix are zero
    outputs = max(8, 96 * size // length)
    bands = []
    for start in range(0, size, outputs):
        part = digits[:, start : start + outputs]
        used = np.flatnonzero(part.any(axis=(0, 1)))
        first, last = int(used[0]), int(used[-1]) + 1
        columns = part[:, :, first:last].reshape(-1, last - first).T
        weight = torch.tensor(columns.copy(), dtype=torch.float32, device=device)
        bands.append((first, last, weight))
    return _Kernel(bits, len(digits), bands)


def _split(weights: np.ndarray, bits: int) -> np.ndarray:
    """Write whole numbers in base ``2**bits`` with digits of either sign, lowest first."""
    base, digits = 1 << bits, []
    while weights.any():
        digit = (weights + base // 2) % base - base // 2
        weights = (weights - digit) // base
        digits.append(digit)
    return np.stack(digits)


@dataclass(frozen=True)
class PillowBicubic:
    """Bicubic shrinking as a forward process: round to 8 bits, resize as Pillow, scale to [0, 1].

    Sizes that the factor does not divide are rounded down, as ``int(size / factor)``. The order of
    the passes is that of Pillow 13, see `resize_bicubic`; records say so, and those that were made
    by another rule do not compare.

    Attributes:
        factor: how many times smaller the observation is.
    """

    factor: int = 16

    name: ClassVar[str] = "bicubic-pillow"
    version: ClassVar[str] = "1"
    rule: ClassVar[str] = "Pillow 13"  # of the passes' order, whatever Pillow is installed

    def __post_init__(self) -> None:
        if not (isinstance(self.factor, int) and self.factor >= 1):
            raise UnknownNameError(f"factor {self.factor!r}; choose a whole number from 1 up")

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        stated = {"name": self.name, "version": self.version, "rule": self.rule}
        return stated | {"params": asdict(self)}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image.

        Raises:
            InvalidImagesError: if a side is shorter than the factor.
        """
        if min(height, width) < self.factor:
            raise InvalidImagesError(
                f"images: {height}x{width} pixels are too few to shrink by {self.factor}; "
                f"give at least {self.factor}x{self.factor}, or choose a smaller factor"
            )
        return 3, height // self.factor, width // self.factor

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images ``[..., 3, H, W]`` to observations ``[..., 3, H/f, W/f]``, in [0, 1].

        Raises:
            InvalidImagesError: if the images break the convention or are too small.
        """
        check_images(images, channels=3)
        _, height, width = shape = self.observation_shape(*images.shape[-2:])
        return in_chunks(
            lambda part: from_uint8(_resize(to_uint8(part), height, width)),
            images,
            shape,
            torch.float32,
        )
