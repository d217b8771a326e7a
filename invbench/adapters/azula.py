"""Guided samplers of azula (https://azula.readthedocs.io), whose images are in [-1, 1].

Some of azula's guidance solves linear systems along the last dimension alone. Of images it would
solve one a row of pixels, without a word, so images and observations are handed over as vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from invbench.adapters.rows import AdaptedSampler, linear_of, require, signed, weights_digest
from invbench.errors import InvalidSamplerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from invbench.operators import Linear
    from invbench.problems import Problem


@dataclass(frozen=True)
class FlatLinear:
    """A linear twin on vectors: images are ``[N, 3 H W]``, observations ``[N, c h w]``."""

    linear: Linear
    image_shape: tuple[int, int, int]
    observation_shape: tuple[int, int, int]

    def __call__(self, images: Tensor) -> Tensor:
        """Map images to observations."""
        return self.linear(images.unflatten(1, self.image_shape)).flatten(1)

    def adjoint(self, observations: Tensor) -> Tensor:
        """Map observations to images by the transpose."""
        return self.linear.adjoint(observations.unflatten(1, self.observation_shape)).flatten(1)

    def pinv(self, observations: Tensor) -> Tensor:
        """Map observations to the shortest images that have them."""
        return self.linear.pinv(observations.unflatten(1, self.observation_shape)).flatten(1)


class FlatDenoiser(nn.Module):
    """An azula denoiser on vectors."""

    def __init__(self, denoiser: nn.Module, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.denoiser, self.image_shape = denoiser, image_shape
        self.schedule: Any = denoiser.schedule

    def forward(self, x_t: Tensor, t: Tensor, **options: Any) -> Any:
        """Return the mean of images given noisy ones, as azula's denoisers do."""
        from azula.denoise import DiracPosterior

        found = self.denoiser(x_t.unflatten(1, self.image_shape), t, **options)
        return DiracPosterior(mean=found.mean.flatten(1))


def azula_sampler(
    denoiser: nn.Module,
    guide: Callable[[nn.Module, Tensor, FlatLinear, float], Any],
    problem: Problem,
    device: torch.device,
    *,
    stochastic: str | None = None,
) -> AdaptedSampler:
    """Make a sampler of an azula denoiser and a way to guide it.

    Rows are drawn one by one, for azula draws from the global generators and DPS measures its step
    by the whole batch.

    Args:
        denoiser: of images in [-1, 1], on the device; it is put into evaluation mode.
        guide: called as ``guide(denoiser, y, A, std)``, returns an azula `Sampler`, as
            ``DPSSampler(denoiser, y, A, steps=64)``. All four are those of images in [-1, 1], as
            vectors; A has ``adjoint`` and ``pinv``.
        problem: to be solved.
        device: of the observations.
        stochastic: see `AdaptedSampler`.

    Raises:
        UnsupportedProblemError: if the problem has no linear twin.
        MissingPackageError: if azula is not installed.
    """
    linear = linear_of(problem, "azula")
    require("azula")
    flat = FlatLinear(linear, (3, *problem.size), problem.observation_shape)
    network = FlatDenoiser(denoiser.eval(), flat.image_shape)

    def draw(observation: Tensor, _: Sequence[torch.Generator]) -> Tensor:
        y = signed(observation, problem, linear).flatten(1)
        sampler = guide(network, y, flat, 2 * problem.noise.std)
        if not hasattr(sampler, "init"):
            raise InvalidSamplerError(
                f"guide(denoiser, y, A, std) returned a {type(sampler).__name__}; "
                "return a sampler of azula, as azula.guidance.DPSSampler(denoiser, y, A)"
            )
        sampler.silent = True
        start = sampler.init((1, 3 * problem.size[0] * problem.size[1]), device=y.device)
        images: Tensor = sampler(start).unflatten(1, flat.image_shape)
        return (images + 1) / 2

    return AdaptedSampler(
        draw=draw,
        problem=problem,
        device=device,
        stochastic=stochastic,
        fingerprint=weights_digest([denoiser]),
    )
