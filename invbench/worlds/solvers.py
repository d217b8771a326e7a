"""Solvers that enter every world: the exact one, one that ignores its input, DDRM and NDM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.models.ddrm import DdrmOptions, DdrmSampler
from invbench.models.diffusion import ALPHA_BARS
from invbench.seeding import randn
from invbench.worlds.law import draw_parts
from invbench.worlds.ndm import ndm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from invbench.models import Sampler
    from invbench.models.diffusion import Denoiser
    from invbench.problems import ExactDenoiser, Problem
    from invbench.worlds.law import Mixture
    from invbench.worlds.world import World


@dataclass(frozen=True, eq=False)
class PriorSampler:
    """Draw from a world's law, whatever was observed; a `Sampler`."""

    law: Mixture

    def __call__(self, observation: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one image a row, float32 in [0, 1]."""
        part = draw_parts(self.law.weights.expand(len(observation), -1), generators)
        noise = randn(generators, tuple(self.law.spectrum.shape))
        return self.law.sample(part, noise).clamp(0, 1).to(observation)


def as_noise_predictor(denoiser: ExactDenoiser) -> Denoiser:
    r"""Turn an exact denoiser into what diffusion samplers call for.

    A diffused image :math:`x_t = \sqrt a \, x_0 + \sqrt{1-a} \, \epsilon` in [-1, 1] is
    :math:`\sqrt a` times an image with noise of std :math:`\sqrt{(1-a)/a}`, half of it in [0, 1].
    """

    def predict(images: Tensor, times: Tensor) -> Tensor:
        a = ALPHA_BARS.to(images.device)[times][:, None, None, None]
        std = ((1 - a) / a).sqrt()
        noisy = images / a.sqrt()
        clean = 2 * denoiser((noisy + 1) / 2, std.flatten() / 2) - 1
        return (noisy - clean) / std

    return predict


def ddrm(problem: Problem, *, steps: int) -> Sampler:
    """Return DDRM with the exact denoiser as its network and the observation's noise known."""
    linear, denoiser = problem.linear, problem.denoiser
    assert linear is not None
    assert denoiser is not None
    svd = linear.svd()
    assert svd is not None
    return DdrmSampler(
        as_noise_predictor(denoiser),
        lambda height, width: svd,  # noqa: ARG005
        DdrmOptions(steps=steps, sigma_y=2 * problem.noise.std),
    )


SOLVERS: dict[str, Callable[[World, Problem], Sampler]] = {
    "exact": lambda world, problem: world.posterior(problem),
    "prior": lambda world, problem: PriorSampler(world.law(*problem.size)),
    "ddrm20": lambda _, problem: ddrm(problem, steps=20),
    "ndm": lambda world, problem: ndm(
        world.law(*problem.size),
        problem.linear,  # type: ignore[arg-type]
        problem.noise.std,
        problem.name,
    ),
    "ddrm100": lambda _, problem: ddrm(problem, steps=100),
}
"""Name -> how it is made for a problem of a world."""
