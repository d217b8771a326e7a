"""Guided samplers of azula (https://azula.readthedocs.io), whose images are in [-1, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from invbench.adapters.rows import AdaptedSampler, linear_of, require, signed, weights_digest
from invbench.errors import InvalidSamplerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from invbench.problems import Problem


def azula_sampler(
    make: Callable[[Tensor, Any, float], Any],
    problem: Problem,
    device: torch.device,
    *,
    stochastic: str | None = None,
) -> AdaptedSampler:
    """Make a sampler of an azula denoiser and a way to guide it.

    Rows are drawn one by one, for azula draws from the global generators and DPS measures its step
    by the whole batch.

    Args:
        make: called as ``make(y, A, std)``, returns an azula `Sampler`, as
            ``DPSSampler(denoiser, y, A, steps=64)``. y and the noise's std are those of images in
            [-1, 1]; A is the linear twin, with ``adjoint`` and ``pinv``.
        problem: to be solved.
        device: of the observations; the denoiser must be there.
        stochastic: see `AdaptedSampler`.

    Raises:
        UnsupportedProblemError: if the problem has no linear twin.
        MissingPackageError: if azula is not installed.
        InvalidSamplerError: if ``make`` returns something else.
    """
    linear = linear_of(problem, "azula")
    require("azula")

    def made_for(observation: Tensor) -> Any:
        sampler = make(signed(observation, problem, linear), linear, 2 * problem.noise.std)
        sampler.silent = True
        return sampler

    def draw(observation: Tensor, _: object) -> Tensor:
        sampler = made_for(observation)
        start = sampler.init((1, 3, *problem.size), device=observation.device)
        return (sampler(start) + 1) / 2  # type: ignore[no-any-return]

    # One is made at once, so that what is wrong with it is said before anything is sampled.
    trial = made_for(torch.zeros(1, *problem.observation_shape, device=device))
    denoiser = getattr(trial, "denoiser", None)
    if not (isinstance(denoiser, nn.Module) and hasattr(trial, "init")):
        raise InvalidSamplerError(
            f"make(y, A, std) returned a {type(trial).__name__}; return a sampler of azula, "
            "as azula.guidance.DPSSampler(denoiser, y, A)"
        )
    denoiser.eval()
    return AdaptedSampler(
        draw=draw,
        problem=problem,
        device=device,
        stochastic=stochastic,
        fingerprint=weights_digest([denoiser]),
    )
