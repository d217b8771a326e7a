"""A Gaussian field given JPEG's coefficients, each known up to its quantization cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from invbench.images import to_signed
from invbench.models.gaussian import Axes, to_images
from invbench.models.jpeg_codec import JpegCodec
from invbench.operators.conjugate_gradients import solve
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.data.synthetic import GaussianField

_LEVELS = 255.0


@dataclass(frozen=True, eq=False)
class JpegPosterior:
    r"""Images of a `GaussianField` whose JPEG coefficients lie in the observed cells; a `Sampler`.

    A coefficient c of prior mean m and variance v, known to lie in a cell, has by itself a
    truncated normal distribution. The cell is replaced by the observation t of c with independent
    normal noise of variance 1/w that gives c the same mean and variance. With A for all
    coefficients, S for the prior's covariance and W for the diagonal matrix of w, samples are
    drawn by Matheron's rule: draw x' from the prior, e from N(0, I), and return

    .. math::
        x' + S A^\top W^{1/2} (I + W^{1/2} A S A^\top W^{1/2})^{-1}
        \big( W^{1/2} (t - A x') - e \big)

    Attributes:
        field: the prior.
        quality: JPEG quality of the observation.
        tolerance: relative error at which the system counts as solved.
    """

    field: GaussianField
    quality: int = 1
    tolerance: float = 1e-3

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, float32 and clamped to [0, 1]."""
        target, weight = (site.float() for site in self.sites(observation.double()))
        shape = (3, self.field.height, self.field.width)
        noise, error = (
            randn(generators, size, device=observation.device) for size in (shape, weight.shape[1:])
        )
        drawn = self.field.mean + self._roots(noise)
        return to_images(drawn + self.correction(drawn, target, weight, error))

    def mean(self, observation: Tensor) -> Tensor:
        """Return the posterior mean ``[N, 3, H, W]`` float64 of ``[N, 3, H, W]``."""
        target, weight = self.sites(observation.double())
        center = torch.full_like(observation, self.field.mean, dtype=torch.float64)
        return center + self.correction(center, target, weight, torch.zeros_like(weight))

    def correction(self, images: Tensor, target: Tensor, weight: Tensor, error: Tensor) -> Tensor:
        """Return what Matheron's rule adds to images, ``[N, 3, H, W]``, for errors e."""
        root = weight.sqrt()

        def system(u: Tensor) -> Tensor:
            return u + root * self.coefficients(self._covariance(self._transposed(root * u)))

        residual = root * (target - self.coefficients(images)) - error
        u = solve(system, residual, tolerance=self.tolerance)
        return self._covariance(self._transposed(root * u))

    def sites(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return t and w of every coefficient of observations, each ``[N, 3 H W / 2]``.

        They are in units of [0, 1] times the orthonormal transform's.
        """
        height, width = self.field.height, self.field.width
        steps = _flat(*self._codec.tables(height, width, like=observation)) / _LEVELS
        whole = _flat(*self._codec.encode(to_signed(observation)))
        offset = self.coefficients(torch.full_like(observation[:1], 128 / _LEVELS))
        center = self.coefficients(torch.full_like(observation[:1], self.field.mean))
        std = self._variance.to(observation).sqrt()
        low, high = ((offset + (whole + half) * steps - center) / std for half in (-0.5, 0.5))
        mean, variance = truncated_normal(low, high)
        precision = (1 / variance - 1).clamp_min(1e-12)
        return center + std * mean / variance / precision, precision / std.square()

    def coefficients(self, images: Tensor) -> Tensor:
        """Return A x, ``[N, 3, H, W] -> [N, 3 H W / 2]``."""
        return _flat(*self._codec.transform(images))

    def _transposed(self, coefficients: Tensor) -> Tensor:
        height, width = self.field.height, self.field.width
        luma, chroma = coefficients.split([height * width, height * width // 2], dim=1)
        return self._codec.transpose(
            luma.reshape(-1, 1, height, width), chroma.reshape(-1, 2, height // 2, width // 2)
        )

    @cached_property
    def _codec(self) -> JpegCodec:
        return JpegCodec(quality=self.quality, kind="aligned")

    @cached_property
    def _variance(self) -> Tensor:
        """The prior variance of every coefficient, ``[3 H W / 2]``; blocks are alike."""
        small = Axes(self._covariance.color, *(self._block(m) for m in self._prior[1:]))
        unit = torch.eye(384, dtype=torch.float64)
        luma, chroma = unit.split([256, 128], dim=1)
        waves = self._codec.transpose(luma.reshape(-1, 1, 16, 16), chroma.reshape(-1, 2, 8, 8))
        variances = (waves * small(waves)).sum((1, 2, 3))
        tall, wide = self.field.height // 16, self.field.width // 16
        return _flat(
            variances[:256].reshape(1, 1, 16, 16).repeat(1, 1, tall, wide),
            variances[256:].reshape(1, 2, 8, 8).repeat(1, 1, tall, wide),
        )[0]

    @staticmethod
    def _block(covariance: Tensor) -> Tensor:
        return covariance[:16, :16]

    @cached_property
    def _covariance(self) -> Axes:
        return Axes(*self._prior)

    @cached_property
    def _roots(self) -> Axes:
        return Axes(*(torch.linalg.cholesky(covariance) for covariance in self._prior))

    @property
    def _prior(self) -> tuple[Tensor, Tensor, Tensor]:
        field = self.field
        return field.color_covariance, field.row_covariance, field.column_covariance


def truncated_normal(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of a standard normal variable known to lie in [low, high].

    Example:
        >>> mean, variance = truncated_normal(torch.tensor(0.0), torch.tensor(torch.inf))
        >>> round(float(mean), 4), round(float(variance), 4)
        (0.7979, 0.3634)
    """
    mirrored = low + high < 0
    near, far = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    log_tail = torch.special.log_ndtr(-near)
    log_mass = log_tail + torch.log1p(-torch.exp(torch.special.log_ndtr(-far) - log_tail))
    at_near, at_far = (torch.exp(_log_density(edge) - log_mass) for edge in (near, far))
    mean = at_near - at_far
    # The density vanishes at an infinite edge
    edges = near * at_near - torch.where(far.isinf(), 0, far) * at_far
    variance = (1 + edges - mean.square()).clamp_min(1e-6)
    return torch.where(mirrored, -mean, mean), variance


def _log_density(value: Tensor) -> Tensor:
    return -(value.square() + math.log(2 * math.pi)) / 2


def _flat(luma: Tensor, chroma: Tensor) -> Tensor:
    """Put planes ``[N, 1, H, W]`` or ``[H, W]``, and chroma's, in one row an image."""
    if luma.ndim == 2:
        return torch.cat([luma.flatten(), chroma.flatten().repeat(2)])
    return torch.cat([luma.flatten(1), chroma.flatten(1)], dim=1)
