"""NDM in a Gaussian world: its network is replaced by the exact mean of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from invbench.errors import UnsupportedProblemError
from invbench.models.gaussian import forward_factors
from invbench.models.multispeed import Reversal, VarianceExploding
from invbench.models.ndm import GeometricMean
from invbench.operators import LinearBicubic, LinearGray
from invbench.seeding import randn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.worlds.law import Mixture

IMAGE = VarianceExploding(sigma_max=50.0)
OBSERVATION = {"sr16": 0.5, "colorization": 0.1}  # the published sigma_max


@dataclass(frozen=True, eq=False)
class ConditionalMean:
    r"""The mean of all images, given a noisy image and a noisy observation of it.

    Given ``noisy = x + sigma * noise`` alone, x is Gaussian with a mean :math:`\hat x` and, in the
    eigenbasis of S, the variances :math:`P = \lambda \sigma^2 / (\lambda + \sigma^2)`. The
    observation of noise variance :math:`\tau^2` moves that to

    .. math::
        \hat x + P H^\top (H P H^\top + \tau^2 I)^{-1} (y - H \hat x)

    For gray, the matrix is diagonal in the eigenbasis of rows and columns. For bicubic reduction it
    is a small one for each eigenvector of colours.

    Attributes:
        law: of one part.
        operator: H.
    """

    law: Mixture
    operator: LinearBicubic | LinearGray

    def __call__(self, noisy: Tensor, sigma: float, y: Tensor, variance: float) -> Tensor:
        """Return ``[N, 3, H, W]``.

        Args:
            noisy: ``[N, 3, H, W]``.
            sigma: of its noise.
            y: ``[N, c, h, w]``.
            variance: of the noise on y.
        """
        spectrum = float(self.law.scales[0]) ** 2 * self.law.spectrum.to(noisy)
        left = spectrum * (sigma**2 / (spectrum + sigma**2))
        mean = self.law.denoiser(noisy, sigma)
        moved = self._moved(left, y - self.operator(mean), variance)
        return mean + self.law.from_basis(moved)

    def _moved(self, left: Tensor, missed: Tensor, variance: float) -> Tensor:
        """Return P H^T (H P H^T + tau^2 I)^-1 times what is missed, in S's eigenbasis."""
        color, row, column = (matrix.to(missed) for matrix in self._forward)
        if isinstance(self.operator, LinearGray):
            turned = row.T @ missed @ column
            seen = torch.einsum("k,khw->hw", color[0].square(), left) + variance
            return left * color[0][:, None, None] * (turned / seen)
        turned = torch.einsum("dk,ndhw->nkhw", color, missed)
        pairs = [torch.einsum("ai,bi->abi", matrix, matrix) for matrix in (row, column)]
        seen = torch.einsum("abi,kij,cdj->kacbd", pairs[0], left, pairs[1])
        count = missed.shape[-1] * missed.shape[-2]
        noise = variance * torch.eye(count, dtype=torch.float32, device="cpu").to(missed)
        matrix = seen.reshape(len(left), count, count) + noise
        weighed = torch.linalg.solve(matrix, turned.flatten(2).permute(1, 2, 0))
        weighed = weighed.permute(2, 0, 1).reshape(turned.shape)
        moved: Tensor = left * (row.T @ weighed @ column)
        return moved

    @cached_property
    def _forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """The operator's factors in S's eigenbasis."""
        into = self.law.from_basis
        factors = forward_factors(self.operator)
        color, row, column = (
            factor @ basis
            for factor, basis in zip(factors, (into.color, into.row, into.column), strict=True)
        )
        return color, row, column


@dataclass(frozen=True, eq=False)
class NdmSolver:
    """NDM's sampler following the exact score; a `Sampler`.

    Attributes:
        mean: the exact conditional mean, for want of a network.
        std: of the observation's own noise.
        diffused: how the observation is diffused.
        sampling: how the score is followed.
    """

    mean: ConditionalMean
    std: float
    diffused: VarianceExploding
    sampling: GeometricMean = GeometricMean()

    @property
    def nfe(self) -> int:
        """Evaluations of the mean a sample."""
        return self.sampling.nfe

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one sample a row, ``[N, 3, H, W]`` in [0, 1]."""
        factor = self.mean.law.spectrum.shape[-1] // observation.shape[-1]

        def score(images: Tensor, beside: Tensor, times: Tensor) -> Tensor:
            sigma, noise = IMAGE.std(float(times[0])), self.diffused.std(float(times[0]))
            # Each value stands factor^2 times in the observation, with noise of its own
            y, variance = functional.avg_pool2d(beside, factor), (noise / factor) ** 2
            mean = self.mean(images, sigma, y, self.std**2 + variance)
            return (mean - images) / sigma**2

        reversal = Reversal(
            image_score=score,
            observation=functional.interpolate(observation, scale_factor=factor, mode="nearest"),
            image=IMAGE,
            diffused=self.diffused,
            noise=partial(randn, generators, device=observation.device),
        )
        return self.sampling.sample(reversal).clamp(0, 1)


def ndm(law: Mixture, operator: LinearBicubic | LinearGray, std: float, task: str) -> NdmSolver:
    """Return NDM for a task of a Gaussian world.

    Raises:
        UnsupportedProblemError: for a mixture of several parts.
    """
    if len(law.weights) > 1:
        raise UnsupportedProblemError("NDM's exact mean is known for a single Gaussian only")
    diffused = VarianceExploding(sigma_max=OBSERVATION[task])
    return NdmSolver(ConditionalMean(law, operator), std, diffused)
