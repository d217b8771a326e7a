"""The posterior of a Gaussian field seen through any linear operator, with normal noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import torch

from invbench.models.gaussian import Axes, factors, to_images
from invbench.operators import LinearBlur, LinearMasking
from invbench.operators.conjugate_gradients import solve
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from invbench.data.synthetic import GaussianField
    from invbench.operators import Linear

MOST_MEASUREMENTS = 4096  # of an operator whose structure is not known


@dataclass(frozen=True, eq=False)
class NoisyPosterior:
    r"""The exact posterior of a `GaussianField` given a noisy linear observation; a `Sampler`.

    With prior covariance S, operator A and noise of standard deviation s, samples are drawn by
    Matheron's rule: draw x' from the prior, e from N(0, I), and return

    .. math::
        x' + S A^\top (A S A^\top + s^2 I)^{-1} (y - A x' - s e)

    The system is solved by conjugate gradients, with an inverse that is right or nearly so for
    operators whose structure is known, see `_inverse`.

    Attributes:
        field: the prior.
        operator: of the field's size.
        std: s.
        tolerance: relative error at which the system counts as solved.
    """

    field: GaussianField
    operator: Linear
    std: float
    tolerance: float = 1e-4

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, float32 and clamped to [0, 1]."""
        return to_images(self.draw(observation, generators))

    def draw(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, float64 ``[N, 3, H, W]``, not clamped."""
        shapes = (3, self.field.height, self.field.width), observation.shape[1:]
        noise, error = (
            randn(generators, shape, device=observation.device, dtype=torch.float64)
            for shape in shapes
        )
        drawn = self.field.mean + self._roots(noise)
        return drawn + self.correction(observation.double() - self.operator(drawn), error)

    def mean(self, observation: Tensor) -> Tensor:
        """Return the posterior mean ``[N, 3, H, W]`` float64 of ``[N, c, h, w]``."""
        size = (len(observation), 3, self.field.height, self.field.width)
        center = torch.full(size, self.field.mean, dtype=torch.float64, device=observation.device)
        return center + self.correction(observation.double() - self.operator(center))

    def correction(self, residual: Tensor, error: Tensor | None = None) -> Tensor:
        """Return ``S A^T (A S A^T + s^2 I)^-1 (residual - s error)``."""
        right = residual if error is None else residual - self.std * error
        if measured := getattr(self.operator, "measured", None):
            right = right * measured(self.field.height, self.field.width).to(right)
        shape = right.shape
        A, S = self.operator, self._covariance

        def system(u: Tensor) -> Tensor:
            images = u.reshape(shape)
            return (A(S(A.adjoint(images))) + self.std**2 * images).flatten(1)

        inverse = self._inverse()
        u = solve(
            system,
            right.flatten(1),
            tolerance=self.tolerance,
            inverse=inverse and (lambda r: inverse(r.reshape(shape)).flatten(1)),
        )
        return S(A.adjoint(u.reshape(shape)))

    def _inverse(self) -> Callable[[Tensor], Tensor] | None:
        """Return an approximate inverse of the system, where the operator's structure gives one."""
        if factors(self.operator) is not None:
            return self._inverse_of_product
        if isinstance(self.operator, LinearBlur):
            return self._inverse_of_blur
        if isinstance(self.operator, LinearMasking):
            return self._inverse_of_mask
        return self._inverse_of_matrix if is_small(self.operator, self.field) else None

    def _inverse_of_product(self, residual: Tensor) -> Tensor:
        """Invert exactly where A acts on colours, rows and columns apart."""
        (colors, rows, columns), waves = self._product
        power = torch.einsum("c,h,w->chw", colors, rows, columns).to(residual) + self.std**2
        turned = Axes(*(each.T for each in waves))(residual) / power
        return Axes(*waves)(turned)

    def _inverse_of_mask(self, residual: Tensor) -> Tensor:
        """Invert the prior of all pixels, and keep what concerns the observed ones."""
        return self.operator(self._precision(self.operator(residual)))

    def _inverse_of_blur(self, residual: Tensor) -> Tensor:
        """Invert as if the field were periodic, so that all is diagonal in Fourier space."""
        assert isinstance(self.operator, LinearBlur)
        (values, axes), periodic = torch.linalg.eigh(self.field.color_covariance), self._periodic
        response = self.operator.response(torch.float64, residual.device).abs().square()
        power = values[:, None, None].to(residual) * periodic.to(residual) * response
        turned = torch.einsum("ck,nchw->nkhw", axes.to(residual), residual)
        solved = torch.fft.rfft2(turned) / (power + self.std**2)
        waves = torch.fft.irfft2(solved, s=residual.shape[-2:])
        return torch.einsum("ck,nkhw->nchw", axes.to(residual), waves)

    def _inverse_of_matrix(self, residual: Tensor) -> Tensor:
        """Invert exactly, by the system's Cholesky factor."""
        factor = self._factor.to(residual)
        solved: Tensor = torch.cholesky_solve(residual.flatten(1).T, factor).T.reshape_as(residual)
        return solved

    @cached_property
    def _factor(self) -> Tensor:
        """Cholesky factor of the whole system, ``[m, m]``."""
        shape = self.operator.observation_shape(self.field.height, self.field.width)
        A, S = self.operator, self._covariance
        unit = torch.eye(prod(shape), dtype=torch.float64, device="cpu")
        rows = [A(S(A.adjoint(part.reshape(-1, *shape)))).flatten(1) for part in unit.split(256)]
        factor: Tensor = torch.linalg.cholesky(torch.cat(rows) + self.std**2 * unit)
        return factor

    @cached_property
    def _product(self) -> tuple[list[Tensor], list[Tensor]]:
        """Eigenvalues and eigenvectors of A S A^T along colours, rows and columns."""
        parts = factors(self.operator)
        assert parts is not None
        pairs = [
            torch.linalg.eigh(matrix @ covariance @ matrix.T)
            for matrix, covariance in zip(parts, self._prior, strict=True)
        ]
        return [values for values, _ in pairs], [vectors for _, vectors in pairs]

    @cached_property
    def _periodic(self) -> Tensor:
        """Power of a periodic field with the same correlations, ``[H, W/2 + 1]``, colours apart."""
        rows, columns = (
            torch.fft.fft(_wrapped(covariance[0])).real.clamp_min(1e-9)
            for covariance in self._prior[1:]
        )
        return torch.outer(rows, columns[: len(columns) // 2 + 1])

    @cached_property
    def _covariance(self) -> Axes:
        return Axes(*self._prior)

    @cached_property
    def _precision(self) -> Axes:
        return Axes(*(torch.linalg.inv(covariance) for covariance in self._prior))

    @cached_property
    def _roots(self) -> Axes:
        return Axes(*(torch.linalg.cholesky(covariance) for covariance in self._prior))

    @property
    def _prior(self) -> tuple[Tensor, Tensor, Tensor]:
        field = self.field
        return field.color_covariance, field.row_covariance, field.column_covariance


def is_tractable(operator: Linear, field: GaussianField) -> bool:
    """Tell whether the system can be solved in time: its structure is known, or it is small."""
    known = isinstance(operator, LinearBlur | LinearMasking) or factors(operator) is not None
    return known or is_small(operator, field)


def is_small(operator: Linear, field: GaussianField) -> bool:
    """Tell whether there are so few measurements that the system can be laid out."""
    return prod(operator.observation_shape(field.height, field.width)) <= MOST_MEASUREMENTS


def _wrapped(correlation: Tensor) -> Tensor:
    """Return correlations by distance on a ring, from those on a line."""
    distance = torch.arange(len(correlation), device="cpu")
    return correlation[torch.minimum(distance, len(correlation) - distance)]
