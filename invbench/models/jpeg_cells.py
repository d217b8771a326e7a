"""A Gaussian field given JPEG's coefficients, each known up to its quantization cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from invbench.images import to_signed
from invbench.models.gaussian import Axes
from invbench.models.gaussian_cells import CellPosterior
from invbench.models.jpeg_codec import JpegCodec, to_cosines, to_pixels
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.data.synthetic import GaussianField

_LEVELS = 255.0
_GRAY = 128.0  # taken off luma before it is coded
_MARGIN = 1.5  # levels from a cell's edges, more than rounding moves a coefficient by
_SETTLED = 0.5  # of the margin's levels, at which a coefficient need not be moved
_ROUNDS = 12


@dataclass(frozen=True, eq=False)
class Cells:
    """Between what edges each coefficient of some planes lies, ``[N, C, h, w]`` in levels.

    Attributes:
        low: edges.
        high: edges.
        margin: to be kept from either when images are about to be rounded, ``[h, w]``.
    """

    low: Tensor
    high: Tensor
    margin: Tensor

    def inward(self, coefficients: Tensor) -> Tensor:
        """Return what moves coefficients into their cells; mostly zeros."""
        clamped = coefficients.clamp(self.low + self.margin, self.high - self.margin)
        return clamped - coefficients

    def rows(self, chosen: Tensor) -> Cells:
        """Return the cells of some images."""
        return Cells(self.low[chosen], self.high[chosen], self.margin)


@dataclass(frozen=True, eq=False)
class JpegPosterior:
    """Images of a `GaussianField` whose JPEG coefficients lie in the observed cells; a `Sampler`.

    Luma and the two chroma planes are taken for independent, each of the variance that the field
    gives it; the fitted prior's correlation of luma and chroma is at most .13. Coefficients of
    luma and of chroma at half size are drawn by `CellPosterior`, then chroma at full size by
    Matheron's rule. A sample that left [0, 1] is clamped, and moved back into the cells that this
    takes it out of, by turns.

    Attributes:
        field: the prior.
        quality: JPEG quality of the observation; its chroma is halved.
        sweeps: steps of the Markov chain, see `CellPosterior`.
    """

    field: GaussianField
    quality: int = 1
    sweeps: int = 4

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, float32 in [0, 1]."""
        luma, chroma = self.cells(observation.float())
        mean = self._luma_mean.to(luma.low)
        drawn = self._luma(luma.low[:, 0] - mean, luma.high[:, 0] - mean, generators) + mean
        halved = [
            plane(chroma.low[:, index], chroma.high[:, index], generators)
            for index, plane in enumerate(self._chroma)
        ]
        full = self._full_size(torch.stack(halved, dim=1), generators)
        gray = to_pixels(drawn[:, None]) + _GRAY
        images = self._codec.colors(torch.cat([gray, full], dim=1)) / _LEVELS
        return self._within(images, luma, chroma)

    def cells(self, observation: Tensor) -> tuple[Cells, Cells]:
        """Return the cells of the coefficients of luma ``[N, 1, H, W]`` and chroma, in levels."""
        tables = self._codec.tables(self.field.height, self.field.width, like=observation)
        whole = self._codec.encode(to_signed(observation))
        luma, chroma = (
            Cells((k - 0.5) * steps, (k + 0.5) * steps, (steps / 4).clamp(max=_MARGIN))
            for k, steps in zip(whole, tables, strict=True)
        )
        return luma, chroma

    def _full_size(self, chroma: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw chroma planes ``[N, 2, H, W]`` given the coefficients of their means of 2x2."""
        shape = (2, self.field.height, self.field.width)
        drawn = self._chroma_roots(randn(generators, shape, device=chroma.device))
        means = functional.avg_pool2d(drawn, 2)
        return drawn + self._chroma_gain(to_pixels(chroma) - means)

    def _within(self, images: Tensor, luma: Cells, chroma: Cells, rounds: int = _ROUNDS) -> Tensor:
        """Clamp images to [0, 1] and their coefficients to the cells, until both hold."""
        images = images.clamp(0, 1)
        coefficients = self._codec.transform(images * _LEVELS, black=_GRAY)
        moves = luma.inward(coefficients[0]), chroma.inward(coefficients[1])
        far = torch.stack([move.abs().amax((1, 2, 3)) for move in moves]).amax(0) > _SETTLED
        if rounds and far.any():
            moved = images[far] + self._codec.inverse(*(move[far] for move in moves)) / _LEVELS
            images[far] = self._within(moved, luma.rows(far), chroma.rows(far), rounds - 1)
        return images

    @cached_property
    def _codec(self) -> JpegCodec:
        return JpegCodec(quality=self.quality, kind="aligned")

    @cached_property
    def _luma(self) -> CellPosterior:
        variance = self._variances[0]
        row, column = (_in_blocks(factor) for factor in self._space)
        steps, _ = self._codec.tables(*self._size, like=row)
        return CellPosterior(variance * row, column, steps, self.sweeps)

    @cached_property
    def _luma_mean(self) -> Tensor:
        """The prior mean of luma's coefficients, ``[H, W]``."""
        gray = torch.full(
            (1, 3, *self._size), self.field.mean * _LEVELS, dtype=torch.float64, device="cpu"
        )
        return self._codec.transform(gray, black=_GRAY)[0][0, 0]

    @cached_property
    def _chroma(self) -> tuple[CellPosterior, CellPosterior]:
        row, column = (_in_blocks(_halved(_halved(factor).T)) for factor in self._space)
        _, steps = self._codec.tables(*self._size, like=row)
        blue, red = (
            CellPosterior(variance * row, column, steps, self.sweeps)
            for variance in self._variances[1:]
        )
        return blue, red

    @cached_property
    def _chroma_roots(self) -> Axes:
        row, column = (torch.linalg.cholesky(factor) for factor in self._space)
        return Axes(self._variances[1:].sqrt().diag(), row, column)

    @cached_property
    def _chroma_gain(self) -> Axes:
        """What a plane's means of 2x2 tell of it: S M^T (M S M^T)^-1, the same for both."""
        row, column = (
            _halved(factor).T @ torch.linalg.inv(_halved(_halved(factor).T))
            for factor in self._space
        )
        return Axes(torch.eye(2, dtype=torch.float64, device="cpu"), row, column)

    @cached_property
    def _variances(self) -> Tensor:
        """Of luma and the two chroma planes, in squared levels, ``[3]``."""
        weights = self._codec.luma_and_chroma
        covariance: Tensor = weights @ self.field.color_covariance @ weights.T
        return covariance.diagonal() * _LEVELS**2

    @property
    def _size(self) -> tuple[int, int]:
        return self.field.height, self.field.width

    @property
    def _space(self) -> tuple[Tensor, Tensor]:
        return self.field.row_covariance, self.field.column_covariance


def _in_blocks(factor: Tensor) -> Tensor:
    """Return rows' or columns' covariance of cosine coefficients, ``[n, n]``."""
    return to_cosines(factor[None, None])[0, 0]


def _halved(matrix: Tensor) -> Tensor:
    """Average each two rows."""
    return (matrix[::2] + matrix[1::2]) / 2
