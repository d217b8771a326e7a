"""A world in which the posterior is known: targets drawn from a prior, and their observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from invbench.models.gaussian import GaussianPosterior, to_images
from invbench.seeding import generator, sample_seed

if TYPE_CHECKING:
    from torch import Tensor

    from invbench.models import Sampler


@dataclass(frozen=True, eq=False)
class World:
    """Targets drawn from a Gaussian field, their observations, and the exact posterior.

    Samples and targets are clamped to [0, 1], but Gaussian values have no limits. So choose the
    field's standard deviation small enough that clamping hardly happens: at 0.07 around 0.5, a
    value leaves [0, 1] with probability 1e-12.

    Attributes:
        posterior: the exact sampler.
        targets: ``[N, 3, H, W]`` float32 in [0, 1].
        observations: ``[N, c, h, w]`` float32.
        seed: of all random numbers of this world.
    """

    posterior: GaussianPosterior
    targets: Tensor
    observations: Tensor
    seed: int

    @classmethod
    def draw(cls, posterior: GaussianPosterior, n_images: int, *, seed: int = 0) -> World:
        """Draw the targets and observe them."""
        generators = [generator(sample_seed(seed, "targets", str(i), 0)) for i in range(n_images)]
        targets = to_images(posterior.field.mean + posterior.prior_deviation(generators))
        return cls(posterior, targets, posterior.operator(targets), seed)

    def sample_seed(self, image: int, index: int) -> int:
        """Return the seed of a sample of an image."""
        return sample_seed(self.seed, "sentinels", str(image), index)

    def sample(self, sampler: Sampler, n_samples: int) -> Tensor:
        """Draw ``[N, K, 3, H, W]``, neither rounded nor checked, unlike `evaluation.draw`."""
        rows = [(i, k) for i in range(len(self.targets)) for k in range(n_samples)]
        generators = [generator(self.sample_seed(*row)) for row in rows]
        samples = sampler(self.observations.repeat_interleave(n_samples, 0), generators)
        return samples.reshape(len(self.targets), n_samples, *samples.shape[1:])

    def find(self, observation: Tensor) -> Tensor:
        """Return the image number of each observation of this world, ``[N, ...] -> [N]``."""
        flat, known = observation.flatten(1), self.observations.flatten(1)
        nearest: Tensor = torch.cdist(flat, known).argmin(1)
        return nearest
