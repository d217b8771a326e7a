"""The exact posterior of a Gaussian field seen through a linear operator without noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from invbench.operators import LinearBicubic, LinearGray, LinearMasking, bicubic_matrix
from invbench.operators.masks import Everything
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.data.synthetic import GaussianField
    from invbench.operators import Linear


@dataclass(frozen=True)
class Axes:
    """A linear map of images that is a product of maps of colours, of rows and of columns.

    Attributes:
        color: ``[c, C]`` float64.
        row: ``[h, H]``.
        column: ``[w, W]``.
    """

    color: Tensor
    row: Tensor
    column: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Map ``[..., C, H, W]`` to ``[..., c, h, w]``, in the precision of the images."""
        color, row, column = (m.to(images) for m in (self.color, self.row, self.column))
        mixed = (color @ images.flatten(-2)).unflatten(-1, images.shape[-2:])
        result: Tensor = row @ mixed @ column.T
        return result


@dataclass(frozen=True, eq=False)
class GaussianPosterior:
    """The exact posterior of a `GaussianField` given its noiseless observation; a `Sampler`.

    With prior covariance S and operator H, x | y is Gaussian with mean m + G (y - H m) and
    covariance S - G H S, where G = S H^T (H S H^T)^-1. S and H factor into colour, rows and
    columns, so G does. Samples are drawn by Matheron's rule: draw x' from the prior and
    return x' + G (y - H x').

    Attributes:
        field: the prior.
        operator: of the field's size.
    """

    field: GaussianField
    operator: LinearBicubic | LinearGray

    @cached_property
    def gain(self) -> Axes:
        """Return G."""
        return Axes(
            *(
                covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T)
                for covariance, matrix in zip(self._prior, self._forward, strict=True)
            )
        )

    @cached_property
    def std(self) -> Tensor:
        """Return the posterior's standard deviation of every value, ``[3, H, W]`` float64."""
        prior = [covariance.diagonal() for covariance in self._prior]
        seen = [
            (gain @ matrix @ covariance).diagonal()
            for gain, matrix, covariance in zip(
                self._axes(self.gain), self._forward, self._prior, strict=True
            )
        ]
        whole, known = (torch.einsum("c,h,w->chw", *factors) for factors in (prior, seen))
        return (whole - known).clamp_min(0).sqrt()

    def mean(self, observation: Tensor) -> Tensor:
        """Return the posterior mean ``[..., 3, H, W]`` float64 of ``[..., c, h, w]``."""
        center = self._center(observation.shape[:-3])
        return center + self.gain(observation.double() - self.operator(center))

    def null_part(self, deviation: Tensor) -> Tensor:
        """Remove from a deviation ``[..., 3, H, W]`` the part that the observation determines.

        A deviation drawn from the prior becomes one drawn from the posterior.
        """
        deviation = deviation.double()
        return deviation - self.gain(self.operator(deviation))

    def prior_deviation(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw from the prior, minus its mean: float64 ``[N, 3, H, W]``, row k from generator k."""
        noise = randn(generators, (3, self.field.height, self.field.width), dtype=torch.float64)
        return self._roots(noise)

    def deviation(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw from the posterior, minus its mean: float64 ``[N, 3, H, W]``."""
        return self.null_part(self.prior_deviation(generators))

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw from the posterior, float32 and clamped to [0, 1]."""
        shape = (3, self.field.height, self.field.width)
        drawn = self.field.mean + self._roots(randn(generators, shape, device=observation.device))
        return to_images(drawn + self.gain(observation - self.operator(drawn)))

    @cached_property
    def _roots(self) -> Axes:
        return Axes(*(torch.linalg.cholesky(covariance) for covariance in self._prior))

    @property
    def _prior(self) -> tuple[Tensor, Tensor, Tensor]:
        field = self.field
        return field.color_covariance, field.row_covariance, field.column_covariance

    @cached_property
    def _forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """The operator's matrices on colour, rows and columns."""
        return forward_factors(self.operator)

    def _center(self, shape: Sequence[int]) -> Tensor:
        size = (*shape, 3, self.field.height, self.field.width)
        return torch.full(size, self.field.mean, dtype=torch.float64, device="cpu")

    @staticmethod
    def _axes(axes: Axes) -> tuple[Tensor, Tensor, Tensor]:
        return axes.color, axes.row, axes.column


def factors(operator: Linear) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return an operator's matrices on colours, rows and columns; None if it has no such factors.

    Returns:
        float64 ``[c, 3]``, ``[h, H]`` and ``[w, W]``.
    """
    if isinstance(operator, LinearGray):
        weights = torch.tensor([operator.weights], dtype=torch.float64, device="cpu")
        return weights, _eye(operator.height), _eye(operator.width)
    if isinstance(operator, LinearBicubic):
        _, height, width = operator.observation_shape(operator.height, operator.width)
        rows, columns = (
            torch.from_numpy(bicubic_matrix(*sizes))
            for sizes in ((height, operator.height), (width, operator.width))
        )
        return _eye(3), rows, columns
    if isinstance(operator, LinearMasking) and operator.mask == Everything():
        return _eye(3), _eye(operator.height), _eye(operator.width)
    return None


def forward_factors(operator: Linear) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factors of an operator that has them, see `factors`."""
    found = factors(operator)
    assert found is not None
    return found


def to_images(values: Tensor) -> Tensor:
    """Return float32 images clamped to [0, 1]."""
    return values.float().clamp(0, 1)


def _eye(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64, device="cpu")
