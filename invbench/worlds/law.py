"""Laws of images that are known: mixtures of Gaussians, with exact denoisers and posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from invbench.models.gaussian import Axes, forward_factors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.operators import LinearBicubic, LinearGray

Factors = tuple["Tensor", "Tensor", "Tensor"]


@dataclass(frozen=True, eq=False)
class Mixture:
    r"""A mixture of Gaussians on images, whose covariances are multiples of one S.

    .. math::
        x \sim \sum_j w_j N(m_j, s_j^2 S)

    S is a product of a covariance of colours, of rows and of columns. With one part it is a
    Gaussian.

    Attributes:
        weights: w ``[J]``, of sum 1.
        means: m ``[J, C, H, W]``.
        scales: s ``[J]``.
        factors: S's factors ``[C, C]``, ``[H, H]`` and ``[W, W]``, all float64.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor
    factors: Factors

    def denoiser(self, noisy: Tensor, std: float | Tensor) -> Tensor:
        r"""Return the mean of all images x, given ``noisy = x + std * noise``.

        In the eigenbasis of S, with eigenvalues :math:`\lambda`, part j shrinks what deviates from
        its mean by :math:`s_j^2 \lambda / (s_j^2 \lambda + \sigma^2)`; parts count by the evidence
        that the noisy image is for them.

        Args:
            noisy: ``[N, C, H, W]``.
            std: one number, or one a row ``[N]``.
        """
        kind = std.dtype if isinstance(std, torch.Tensor) else torch.float32
        stds = torch.as_tensor(std, dtype=kind, device=noisy.device).to(noisy)
        variance = stds.square().reshape(-1, 1, 1, 1)
        found = torch.zeros_like(noisy)
        shares = self.shares(noisy, variance)
        for j, (mean, scale) in enumerate(zip(self.means.to(noisy), self.scales, strict=True)):
            spread = float(scale) ** 2 * self.spectrum.to(noisy)
            moved = self.to_basis(noisy - mean) * (spread / (spread + variance))
            found = found + shares[:, j, None, None, None] * (mean + self.from_basis(moved))
        return found

    def shares(self, noisy: Tensor, variance: Tensor) -> Tensor:
        """Return each part's probability ``[N, J]`` given images with noise of a variance."""
        logs = []
        for j, (mean, scale) in enumerate(zip(self.means.to(noisy), self.scales, strict=True)):
            total = float(scale) ** 2 * self.spectrum.to(noisy) + variance
            misfit = self.to_basis(noisy - mean).square() / total + total.log()
            logs.append(self.weights[j].log().to(noisy) - misfit.sum((1, 2, 3)) / 2)
        return torch.stack(logs, dim=1).softmax(dim=1)

    def sample(self, part: Tensor, noise: Tensor) -> Tensor:
        """Turn standard normal noise ``[N, C, H, W]`` into images of the given parts ``[N]``."""
        scales = self.scales.to(noise)[part][:, None, None, None]
        return self.means.to(noise)[part] + scales * self.from_basis(
            noise * self.spectrum.to(noise).sqrt()
        )

    @cached_property
    def spectrum(self) -> Tensor:
        """S's eigenvalues ``[C, H, W]``."""
        color, row, column = (values.clamp_min(0) for values, _ in self._decomposed)
        return torch.einsum("c,h,w->chw", color, row, column)

    @cached_property
    def _decomposed(self) -> list[tuple[Tensor, Tensor]]:
        return [torch.linalg.eigh(factor) for factor in self.factors]

    @cached_property
    def to_basis(self) -> Axes:
        """Maps images to coordinates in S's eigenbasis."""
        return Axes(*(vectors.T for _, vectors in self._decomposed))

    @cached_property
    def from_basis(self) -> Axes:
        """Maps them back."""
        return Axes(*(vectors for _, vectors in self._decomposed))


@dataclass(frozen=True, eq=False)
class MixturePosterior:
    r"""Images of a `Mixture` given ``y = H x + std * noise``; the exact `Sampler`.

    A part is drawn by the evidence that y is for it, then an image by Matheron's rule: with x' and
    e drawn from that part and from the noise,

    .. math::
        x' + s_j^2 S H^\top (s_j^2 H S H^\top + \sigma^2 I)^{-1} (y - H x' - e)

    Samples are clamped to [0, 1].

    Attributes:
        prior: law of x.
        operator: H.
        std: of the noise, above 0.
    """

    prior: Mixture
    operator: LinearBicubic | LinearGray
    std: float

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, float32 in [0, 1]."""
        shares = self.observed.shares(observation.double(), self._variance(observation.double()))
        part = draw_parts(shares, generators)
        shape = tuple(self.prior.spectrum.shape)
        noise = torch.stack(
            [
                torch.randn(shape, generator=one, dtype=torch.float32, device="cpu")
                for one in generators
            ]
        )
        error = torch.stack(
            [
                torch.randn(observation.shape[1:], generator=g, dtype=torch.float32, device="cpu")
                for g in generators
            ]
        )
        drawn = self.prior.sample(part, noise.to(observation))
        missed = observation - self.operator(drawn) - self.std * error.to(observation)
        scales = self.prior.scales.to(observation)[part][:, None, None, None]
        return (drawn + self.correction(missed, scales)).float().clamp(0, 1)

    def mean(self, observation: Tensor) -> Tensor:
        """Return the posterior mean ``[N, 3, H, W]`` float64."""
        y = observation.double()
        shares = self.observed.shares(y, self._variance(y))
        means = self.prior.means
        parts = torch.stack(
            [
                mean + self.correction(y - self.operator(mean), scale)
                for mean, scale in zip(means, self.prior.scales, strict=True)
            ],
            dim=1,
        )
        return (shares[:, :, None, None, None] * parts).sum(1)

    def correction(self, missed: Tensor, scales: Tensor) -> Tensor:
        """Return the image's part in what observations ``[N, c, h, w]`` miss, for a part's s."""
        seen = scales**2 * self.observed.spectrum.to(missed)
        weighed = self.observed.to_basis(missed) / (seen + self.std**2)
        explained: Tensor = scales**2 * self._lift(self.observed.from_basis(weighed))
        return explained

    @cached_property
    def observed(self) -> Mixture:
        """The law of observations without noise."""
        forward = Axes(*self._forward)
        factors = tuple(
            matrix @ factor @ matrix.T
            for matrix, factor in zip(self._forward, self.prior.factors, strict=True)
        )
        means = forward(self.prior.means)
        return Mixture(self.prior.weights, means, self.prior.scales, factors)  # type: ignore[arg-type]

    @cached_property
    def _lift(self) -> Axes:
        """The product S H^T."""
        pairs = zip(self.prior.factors, self._forward, strict=True)
        return Axes(*(factor @ matrix.T for factor, matrix in pairs))

    @cached_property
    def _forward(self) -> Factors:
        return forward_factors(self.operator)

    def _variance(self, like: Tensor) -> Tensor:
        return torch.full((1, 1, 1, 1), self.std**2, dtype=torch.float32, device="cpu").to(like)


def draw_parts(shares: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw a part of each row's shares ``[N, J]``, row k from generator k."""
    rank = torch.stack(
        [torch.rand((), generator=one, dtype=torch.float32, device="cpu") for one in generators]
    ).to(shares)
    return (shares.cumsum(1)[:, :-1] < rank[:, None]).sum(1)
