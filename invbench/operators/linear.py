"""Linear forward processes in floating point, with adjoint, pseudo-inverse and singular values.

They are what the exact operators would be without rounding and clipping. They take any real
values, [0, 1] or [-1, 1], and clip nothing. No matrix is larger than one side of the image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from invbench.errors import InvalidImagesError
from invbench.operators.color import LUMA_WEIGHTS
from invbench.operators.resize import PillowBicubic, bicubic_matrix, keys_cubic
from invbench.operators.svd import Factors, PixelSVD, SeparableSVD

if TYPE_CHECKING:
    from torch import Tensor

_Kind = Literal["forward", "inverse", "smoothest"]


def mirrored_bicubic_matrix(size: int, length: int) -> np.ndarray:
    """Return the 1-D bicubic matrix of DDRM's published code (Kawar et al. 2022), sides mirrored.

    It has `bicubic_matrix`'s weights inside; where those drop what reaches over the border and
    normalize the rest, this one folds it back, which changes two outputs on each side.

    Args:
        size: samples out.
        length: samples in, an even multiple of ``size``.

    Returns:
        float64 ``[size, length]``.

    Raises:
        InvalidImagesError: for another ratio; the published kernel is only centered for even ones.

    Example:
        >>> mirrored_bicubic_matrix(2, 4).round(3).tolist()
        [[0.547, 0.398, 0.102, -0.047], [-0.047, 0.102, 0.398, 0.547]]
    """
    factor, rest = divmod(length, size)
    if rest or factor % 2:
        raise InvalidImagesError(f"{length} to {size} samples; give an even, whole ratio")
    reach = 2 * factor
    kernel = keys_cubic((np.arange(4 * factor) - reach + 0.5) / factor)
    inputs = np.pad(np.arange(length), reach, mode="symmetric")
    matrix = np.zeros((size, length))
    for index, row in enumerate(matrix):
        first = factor // 2 + index * factor
        np.add.at(row, inputs[first : first + 4 * factor], kernel / kernel.sum())
    return matrix


@dataclass(frozen=True)
class LinearBicubic:
    """Bicubic shrinking with Pillow's weights, unrounded: ``Y = R X C^T`` for each channel.

    Pillow rounds and clips to 8 bits after each pass, so this differs from `PillowBicubic`: by some
    0.3 levels of 255 on average, by up to 11 at hard edges of photographs, where a pass overshoots.

    Attributes:
        height: of the images.
        width: of the images.
        factor: how many times smaller the observation is.
    """

    height: int
    width: int
    factor: int = 16

    name: ClassVar[str] = "bicubic-linear"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        self.observation_shape(self.height, self.width)

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        return {"name": self.name, "version": self.version, "params": asdict(self)}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image.

        Raises:
            InvalidImagesError: if a side is shorter than the factor.
        """
        return PillowBicubic(self.factor).observation_shape(height, width)

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., C, H, W]`` to observations ``[..., C, h, w]``.

        Raises:
            InvalidImagesError: for images of another size.
        """
        _check_size(images, self.height, self.width)
        rows, columns = self._matrices("forward", images)
        return rows @ images @ columns.T

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations ``[..., C, h, w]`` to images by the transpose, ``R^T Y C``.

        Raises:
            InvalidImagesError: for observations of another size.
        """
        _check_size(observations, *self.observation_shape(self.height, self.width)[1:])
        rows, columns = self._matrices("forward", observations)
        return rows.T @ observations @ columns

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them, by the pseudo-inverse.

        Raises:
            InvalidImagesError: for observations of another size.
        """
        _check_size(observations, *self.observation_shape(self.height, self.width)[1:])
        rows, columns = self._matrices("inverse", observations)
        return rows @ observations @ columns.T

    def smoothest(self, observations: Tensor) -> Tensor:
        """Map observations to the smoothest images that have them.

        The pseudo-inverse ``G = S A^T (A S A^T)^-1`` of rows and of columns, for pixels whose
        covariance S falls exponentially over the image's side: along a row or a column it makes
        the differences of neighbors small, where `pinv` makes the values small.

        Raises:
            InvalidImagesError: for observations of another size.
        """
        _check_size(observations, *self.observation_shape(self.height, self.width)[1:])
        rows, columns = self._matrices("smoothest", observations)
        return rows @ observations @ columns.T

    def svd(self) -> SeparableSVD:
        """Decompose into singular values, for images of three channels."""
        _, height, width = self.observation_shape(self.height, self.width)
        rows = Factors.of(bicubic_matrix(height, self.height))
        return SeparableSVD(rows, Factors.of(bicubic_matrix(width, self.width)))

    def _matrices(self, kind: _Kind, like: Tensor) -> tuple[Tensor, Tensor]:
        _, height, width = self.observation_shape(self.height, self.width)
        return (
            _bicubic(height, self.height, kind, like.dtype, like.device),
            _bicubic(width, self.width, kind, like.dtype, like.device),
        )


@dataclass(frozen=True)
class LinearGray:
    """Grayscale with Pillow's weights, unrounded: a weighted sum of the channels of each pixel.

    Attributes:
        height: of the images.
        width: of the images.
        weights: of red, green and blue. DDRM's published code has (.3333, .3334, .3333).
    """

    height: int
    width: int
    weights: tuple[float, ...] = tuple(weight / 2**16 for weight in LUMA_WEIGHTS)

    name: ClassVar[str] = "gray-linear"
    version: ClassVar[str] = "1"

    def identity(self) -> dict[str, Any]:
        """Return what observations depend on, for the record."""
        return {"name": self.name, "version": self.version, "params": asdict(self)}

    def observation_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the observation of a ``height x width`` image."""
        return 1, height, width

    def __call__(self, images: Tensor) -> Tensor:
        """Map images ``[..., 3, H, W]`` to observations ``[..., 1, H, W]``.

        Raises:
            InvalidImagesError: for images of another size.
        """
        _check_size(images, self.height, self.width)
        return (images * self._column(images)).sum(dim=-3, keepdim=True)

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations ``[..., 1, H, W]`` to images by the transpose.

        Raises:
            InvalidImagesError: for observations of another size.
        """
        _check_size(observations, self.height, self.width)
        return observations * self._column(observations)

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them, by the pseudo-inverse.

        Raises:
            InvalidImagesError: for observations of another size.
        """
        return self.adjoint(observations) / sum(weight**2 for weight in self.weights)

    def svd(self) -> PixelSVD:
        """Decompose into singular values."""
        return PixelSVD(Factors.of(np.array([self.weights])), self.height, self.width)

    def _column(self, like: Tensor) -> Tensor:
        return _column(self.weights, like.dtype, like.device)


@lru_cache(maxsize=64)
def _column(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):  # kept, so also for callers that need gradients
        return torch.tensor(weights, dtype=dtype, device=device)[:, None, None]


def _check_size(tensor: Tensor, height: int, width: int) -> None:
    if tensor.shape[-2:] != (height, width):
        raise InvalidImagesError(
            f"shape {tuple(tensor.shape)} where the operator was made for [..., {height}, {width}]"
        )


@lru_cache(maxsize=64)
def _bicubic(
    size: int, length: int, kind: _Kind, dtype: torch.dtype, device: torch.device
) -> Tensor:
    matrix = bicubic_matrix(size, length)
    if kind == "inverse":
        matrix = np.linalg.pinv(matrix)
    elif kind == "smoothest":
        position = np.arange(length)
        covariance = np.exp(-np.abs(position[:, None] - position) / length)
        matrix = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T)
    with torch.inference_mode(mode=False):  # kept, so also for callers that need gradients
        return torch.tensor(matrix, dtype=dtype, device=device)
