r"""Blurs: each pixel a weighted mean of its neighbors, across the border of a periodic image.

The weights are whole multiples of :math:`2^{-16}`, so that a blur of 8-bit images is exact: sums
of whole numbers, rounded once, halves up.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import check_images, from_uint8, to_uint8
from invbench.operators.diagonal_svd import HartleySVD
from invbench.operators.exact import in_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

UNIT = 1 << 16  # the sum of a kernel's weights
CUTOFF = 1e-7  # of the largest singular value; what is smaller counts as 0


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian kernel, cut off at four standard deviations.

    Attributes:
        std: in pixels.
    """

    std: float = 1.5

    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        _check_pixels(self.std)

    def weights(self) -> NDArray[np.int64]:
        """Return the weights, of odd sides, with sum 65536."""
        reach = math.ceil(4 * self.std)
        position = np.arange(-reach, reach + 1)
        line = np.exp(-(position**2) / (2 * self.std**2))
        return whole(np.outer(line, line))


@dataclass(frozen=True)
class Motion:
    """A straight movement of even speed, of which each moment counts alike.

    Attributes:
        length: of the path, in pixels.
        angle: against the rows, in degrees, counterclockwise.
    """

    length: float = 9.0
    angle: float = 30.0

    name: ClassVar[str] = "motion"

    def __post_init__(self) -> None:
        _check_pixels(self.length)

    def weights(self) -> NDArray[np.int64]:
        """Return the weights, of odd sides, with sum 65536.

        Each of many moments is shared among the four pixels nearest to it.
        """
        moments = 256
        along = self.length * ((np.arange(moments) + 0.5) / moments - 0.5)
        angle = math.radians(self.angle)
        down, across = -along * math.sin(angle), along * math.cos(angle)
        reach = math.ceil(self.length / 2)
        position = np.arange(-reach, reach + 1)
        rows, columns = (
            np.clip(1 - np.abs(position - at[:, None]), 0, None) for at in (down, across)
        )
        return whole(rows.T @ columns)


Kernel = Gaussian | Motion


def whole(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round weights to whole numbers of sum 65536; the largest takes what rounding left over."""
    rounded: NDArray[np.int64] = np.rint(weights / weights.sum() * UNIT).astype(np.int64)
    rounded[np.unravel_index(rounded.argmax(), rounded.shape)] += UNIT - rounded.sum()
    return rounded


@dataclass(frozen=True)
class CircularBlur:
    """A blur as a forward process: round to 8 bits, blur exactly, round to 8 bits.

    Attributes:
        kernel: of the weights.
    """

    kernel: Kernel

    name: ClassVar[str] = "circular-blur"
    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        params = {"kernel": self.kernel.name, **asdict(self.kernel), "quantization": "8 bits"}
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image.

        Raises:
            InvalidImagesError: if the image is smaller than the kernel.
        """
        _check_fit(self.kernel, height, width)
        return 3, height, width

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` in [0, 1] to observations of the same shape.

        Raises:
            InvalidImagesError: if the images break the convention or are too small.
        """
        check_images(images, channels=3)
        shape = self.observation_shape(*images.shape[-2:])
        return in_chunks(
            lambda part: from_uint8(self._blur(to_uint8(part))), images, shape, torch.float32
        )

    def _blur(self, pixels: Tensor) -> Tensor:
        # In float64 the transforms err by some 1e-5 in sums of whole numbers, which rounding mends
        response = UNIT * _response(self.kernel, *pixels.shape[-2:], torch.float64, pixels.device)
        spectrum = torch.fft.rfft2(pixels.double())
        sums = torch.fft.irfft2(spectrum * response, s=pixels.shape[-2:]).round_()
        rounded: Tensor = sums.add_(UNIT // 2).div_(UNIT).floor_()
        return rounded


@dataclass(frozen=True)
class LinearBlur:
    """A blur without rounding, diagonal in Fourier space.

    Attributes:
        height: of the images.
        width: of the images.
        kernel: of the weights.
    """

    height: int
    width: int
    kernel: Kernel

    name: ClassVar[str] = "circular-blur-linear"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        _check_fit(self.kernel, self.height, self.width)

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        params = {"height": self.height, "width": self.width, "kernel": self.kernel.name}
        params |= asdict(self.kernel)
        return {"name": self.name, "version": self.version, "params": params}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 3, height, width

    def response(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return what each frequency is multiplied by, ``[H, W/2 + 1]``, as of ``rfft2``."""
        return _response(self.kernel, self.height, self.width, dtype, device)

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` to observations of the same shape.

        Raises:
            InvalidImagesError: for images of another size.
        """
        return self._filter(images, self.response(images.dtype, images.device))

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations to images by the transpose: the blur with the kernel turned around."""
        return self._filter(observations, self.response(*_kind(observations)).conj())

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them.

        Frequencies that the blur weakens by more than ten million are left out. It weakens many by
        some thousand, so work in float64, and expect noise to grow as much.
        """
        response = self.response(*_kind(observations))
        seen = response.abs() > CUTOFF
        inverse = response.where(seen, 1).reciprocal().where(seen, 0)
        return self._filter(observations, inverse)

    def svd(self) -> HartleySVD:
        """Decompose into singular values."""
        kernel = torch.from_numpy(_placed(self.kernel, self.height, self.width))
        return HartleySVD(torch.fft.fft2(kernel), cutoff=CUTOFF)

    def _filter(self, images: Tensor, response: Tensor) -> Tensor:
        size = self.height, self.width
        if images.shape[-2:] != size:
            raise InvalidImagesError(
                f"shape {tuple(images.shape)} where the operator was made for "
                f"[..., {self.height}, {self.width}]"
            )
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * response, s=size)
        return filtered


def _kind(like: Tensor) -> tuple[torch.dtype, torch.device]:
    return like.dtype, like.device


def _check_pixels(number: float) -> None:
    if not 0 < number < 1000:
        raise UnknownNameError(f"a blur of {number} pixels; choose a number from 0 to 1000")


def _check_fit(kernel: Kernel, height: int, width: int) -> None:
    side = len(kernel.weights())
    if min(height, width) < side:
        raise InvalidImagesError(
            f"images: {height}x{width} pixels are too few for a kernel of {side}x{side}; "
            "give larger images, or choose a smaller blur"
        )


def _placed(kernel: Kernel, height: int, width: int) -> NDArray[np.float64]:
    """Lay the kernel out as what it makes of an image with a single 1 in its first pixel."""
    weights = kernel.weights() / UNIT
    placed = np.zeros((height, width))
    placed[: len(weights), : weights.shape[1]] = weights
    reach = weights.shape[0] // 2, weights.shape[1] // 2
    return np.roll(placed, (-reach[0], -reach[1]), axis=(0, 1))


@lru_cache(maxsize=16)
def _response(
    kernel: Kernel, height: int, width: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    with torch.inference_mode(mode=False):  # kept, so also for callers that need gradients
        placed = torch.from_numpy(_placed(kernel, height, width))
        response: Tensor = torch.fft.rfft2(placed).to(device, dtype.to_complex())
        return response
