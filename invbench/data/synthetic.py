"""Images from known distributions: Gaussian fields, with exact posteriors, and dead leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.data import Photo
from invbench.images import to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class GaussianField:
    """A Gaussian prior on images whose covariance is a Kronecker product.

    Cov(x[c, i, j], x[c', i', j']) = std^2 color[c, c'] f(i - i') f(j - j') with
    f(d) = exp(-(|d| / length)^exponent). Because rows, columns and colours factor, so does the
    posterior under any operator that acts on rows, columns or colours apart.

    Attributes:
        height: of the images.
        width: of the images.
        mean: of every value.
        std: of every value; at the default, one value in 30,000 leaves [0, 1].
        length: correlation length in pixels.
        color_correlation: correlation between any two colour channels.
        exponent: within (0, 2]; below 1, fields are rougher than at 1.
    """

    height: int
    width: int
    mean: float = 0.5
    std: float = 0.12
    length: float = 8.0
    color_correlation: float = 0.7
    exponent: float = 1.0

    @cached_property
    def row_covariance(self) -> Tensor:
        """Return the correlation of rows, ``[H, H]`` float64."""
        return _correlation(self.height, self.length, self.exponent)

    @cached_property
    def column_covariance(self) -> Tensor:
        """Return the correlation of columns, ``[W, W]`` float64."""
        return _correlation(self.width, self.length, self.exponent)

    @cached_property
    def color_covariance(self) -> Tensor:
        """Return the covariance of the colour channels, ``[3, 3]`` float64, std included."""
        rho = self.color_correlation
        ones, eye = (
            torch.ones(3, 3, dtype=torch.float64, device="cpu"),
            torch.eye(3, dtype=torch.float64, device="cpu"),
        )
        return self.std**2 * (rho * ones + (1 - rho) * eye)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``[count, 3, H, W]`` float64, not clamped to [0, 1]."""
        shape = (count, 3, self.height, self.width)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
        color, row, column = (
            torch.linalg.cholesky(factor)
            for factor in (self.color_covariance, self.row_covariance, self.column_covariance)
        )
        return self.mean + torch.einsum("nchw,dc,ih,jw->ndij", noise, color, row, column)


def gaussian_photos(size: int, count: int, *, seed: int = 0) -> list[Photo]:
    """Draw 8-bit targets of a `GaussianField`; every image is a group of its own."""
    field = GaussianField(size, size)
    pixels = to_uint8(field.sample(count, torch.Generator().manual_seed(seed)))
    return [Photo(f"gaussian-{i}", f"gaussian-{i}", image) for i, image in enumerate(pixels)]


def dead_leaves_photos(
    size: int, count: int, *, seed: int = 0, smallest: float = 2.0, exponent: float = 3.0
) -> list[Photo]:
    """Draw images of discs that hide each other: dead leaves (Lee, Mumford & Huang 2001).

    Discs fall until every pixel is covered; radii have density r^-exponent between ``smallest``
    and the image's side, colours are uniform, centres uniform around the image. At exponent 3
    the images are scale invariant; they have edges and occlusions as photographs have.
    """
    photos = []
    for index in range(count):
        pixels = _dead_leaves(size, np.random.default_rng([seed, index]), smallest, exponent)
        name = f"leaves-{index}"
        photos.append(Photo(name, name, torch.from_numpy(pixels)))
    return photos


def _correlation(size: int, length: float, exponent: float) -> Tensor:
    position = torch.arange(size, dtype=torch.float64, device="cpu")
    return torch.exp(-(((position[:, None] - position).abs() / length) ** exponent))


def _dead_leaves(
    size: int, rng: np.random.Generator, smallest: float, exponent: float
) -> NDArray[np.uint8]:
    """Draw discs from the topmost down; each colours only pixels that no disc has coloured yet."""
    row, column = np.mgrid[:size, :size]
    pixels = np.zeros((3, size, size), dtype=np.uint8)
    bare = np.ones((size, size), dtype=bool)
    power = 1 - exponent
    low, high = smallest**power, float(size) ** power
    while bare.any():
        radius = (low + (high - low) * rng.random()) ** (1 / power)
        top, left = rng.uniform(-size, 2 * size, size=2)
        leaf = bare & ((row - top) ** 2 + (column - left) ** 2 < radius**2)
        pixels[:, leaf] = rng.integers(0, 256, size=(3, 1), dtype=np.uint8)
        bare &= ~leaf
    return pixels
