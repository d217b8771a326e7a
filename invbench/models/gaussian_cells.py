"""A plane of JPEG coefficients, Gaussian a priori, each known to lie in a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_SURE = 1 - 1e-7  # float32, below 1
_FITS = 50


@dataclass(frozen=True, eq=False)
class Split:
    r"""A Gaussian plane c as the sum of a smooth one f and independent noise.

    With the noise's covariance N, diagonal, and the sum's C, f given c is Gaussian with

    .. math::
        \operatorname{E}[f \mid c] = c - N C^{-1} c, \qquad
        \operatorname{Cov}[f \mid c] = N - N C^{-1} N

    C is a product of rows and columns if N is, up to a multiple of N.

    Attributes:
        scale: the noise's standard deviations ``[h, w]``, the root of N.
        row: eigenvectors of the rows' part of N^-1/2 C N^-1/2, ``[h, h]``.
        column: of the columns' part, ``[w, w]``.
        total: eigenvalues of N^-1/2 C N^-1/2, ``[h, w]``, at least 1.
    """

    scale: Tensor
    row: Tensor
    column: Tensor
    total: Tensor

    @classmethod
    def of(cls, noise: Sequence[Tensor], factors: Sequence[Tensor], *, added: bool) -> Split:
        """Split a plane, or what a plane becomes when noise is added to it.

        Args:
            noise: standard deviations, a factor of rows and one of columns.
            factors: the plane's covariance, a factor of rows and one of columns.
            added: whether the plane is f, to which the noise is added; c otherwise.
        """
        pairs = [
            torch.linalg.eigh(factor / torch.outer(std, std))
            for std, factor in zip(noise, factors, strict=True)
        ]
        (row_values, row), (column_values, column) = pairs
        values = torch.outer(row_values, column_values)
        return cls(torch.outer(*noise), row, column, values + 1 if added else values)

    def smooth(self, plane: Tensor, normal: Tensor) -> Tensor:
        """Draw f given c, ``[N, h, w]``, from as much standard normal noise."""
        scale, row, column, total = (
            part.to(plane) for part in (self.scale, self.row, self.column, self.total)
        )
        kept = 1 - 1 / total.clamp_min(1)
        mixed = kept * (row.T @ (plane / scale) @ column) + kept.sqrt() * normal
        smooth: Tensor = scale * (row @ mixed @ column.T)
        return smooth


@dataclass(frozen=True, eq=False)
class CellPosterior:
    r"""Coefficients c ~ N(0, C) given that each lies in its cell.

    C is split into a smooth part and independent noise, N as large as C bears. Gibbs sampling
    then draws in turn, each exactly and for all coefficients at once,

    .. math::
        f \mid c, \qquad c_i \mid f \sim N(f_i, N_{ii}) \text{ within the cell}

    The chain starts near its end: at a draw from the Gaussian posterior in which noise takes
    the cells' place. Its few steps remove what that leaves wrong.

    Attributes:
        row: C's factor of rows, in units of the coefficients squared.
        column: C's factor of columns, without a unit.
        steps: width of the cells ``[h, w]``, as large for all blocks.
        sweeps: steps of the chain.
    """

    row: Tensor
    column: Tensor
    steps: Tensor
    sweeps: int

    def __call__(self, low: Tensor, high: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw ``[N, h, w]`` between edges of cells of that shape, row k from generator k."""
        smooth_noise, _ = self._noise(low, generators)
        c = self._start.smooth((low + high) / 2, smooth_noise).clamp(low, high)
        scale = self._chain.scale.to(c)
        for _ in range(self.sweeps):
            smooth_noise, noise = self._noise(low, generators)
            f = self._chain.smooth(c, smooth_noise)
            c = f + scale * truncated(noise, (low - f) / scale, (high - f) / scale)
        return c.clamp(low, high)

    @staticmethod
    def _noise(like: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        first, second = randn(generators, (2, *like.shape[1:]), device=like.device).unbind(1)
        return first, second

    @property
    def _factors(self) -> tuple[Tensor, Tensor]:
        return self.row, self.column

    @cached_property
    def _chain(self) -> Split:
        """With noise in proportion to what is left of each coefficient given all others."""
        noise = []
        for factor in self._factors:
            left = torch.linalg.inv(factor).diagonal().rsqrt()
            share = torch.linalg.eigvalsh(factor / torch.outer(left, left))[0]
            noise.append(left * share.sqrt())
        return Split.of(noise, self._factors, added=False)

    @cached_property
    def _start(self) -> Split:
        """With the noise that leaves a coefficient the variance that the cell around 0 does."""
        variance = torch.outer(*(factor.diagonal() for factor in self._factors))
        edge = self.steps / 2 / variance.sqrt()
        density = torch.exp(-edge.square() / 2) / math.sqrt(2 * math.pi)
        within = 1 - 2 * edge * density / torch.special.erf(edge / math.sqrt(2))
        noise = variance / (1 / within - 1).clamp_min(1e-6)
        factors = _nearest_product(noise.sqrt(), variance / (variance + noise))
        return Split.of(factors, self._factors, added=True)


def _nearest_product(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors of rows and columns, by weighted least squares in logarithms."""
    logs = values.log()
    rows, columns = torch.zeros_like(logs[:, 0]), torch.zeros_like(logs[0])
    for _ in range(_FITS):
        rows = (weights * (logs - columns)).sum(1) / weights.sum(1)
        columns = (weights * (logs - rows[:, None])).sum(0) / weights.sum(0)
    return rows.exp(), columns.exp()


def truncated(normal: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Turn standard normal values into ones within [low, high], by their ranks.

    Where all of [low, high] is further from 0 than float32 tells from infinity, about 5, its
    nearer edge is returned.

    Example:
        >>> truncated(torch.tensor([-1.0, 0.0, 3.0]), torch.tensor(0.0), torch.tensor(torch.inf))
        tensor([0.2002, 0.6745, 3.2051])
    """
    below, above, rank = (torch.erf(value / math.sqrt(2)) for value in (low, high, normal))
    mass = below + (above - below) * (rank + 1) / 2
    return (math.sqrt(2) * torch.erfinv(mass.clamp(-_SURE, _SURE))).clamp(low, high)
