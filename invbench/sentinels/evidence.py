"""What the checks examine: samples next to their targets and observations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.uncertainty import pool_distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Evidence:
    """The samples, targets and observations that the checks examine.

    Attributes:
        samples: ``[N, K, 3, H, W]`` float32.
        targets: ``[N, 3, H, W]`` in [0, 1]; the N images are independent of each other.
        observations: ``[N, c, h, w]``.
        operator: the forward process.
        posterior_std: the true posterior's standard deviation, ``[3, H, W]`` or
            ``[N, 3, H, W]``, where it is known and the posterior is Gaussian.
        seed: of the random numbers that checks draw.
    """

    samples: Tensor
    targets: Tensor
    observations: Tensor
    operator: Callable[[Tensor], Tensor]
    posterior_std: Tensor | None = None
    seed: int = 0

    @property
    def n_samples(self) -> int:
        """The number of samples of each image, K."""
        return self.samples.shape[1]

    @cached_property
    def reobservations(self) -> Tensor:
        """The operator applied to every sample, ``[N, K, c, h, w]``."""
        return self.operator(self.samples)

    @cached_property
    def distances(self) -> Tensor:
        """Distances within each image's pool, see `pool_distances`."""
        return pool_distances(self.samples, self.targets)

    @property
    def rng(self) -> np.random.Generator:
        """A new NumPy generator, seeded with ``seed``."""
        return np.random.default_rng(self.seed)

    @property
    def generator(self) -> torch.Generator:
        """A new torch generator, seeded with ``seed``."""
        return torch.Generator().manual_seed(self.seed)
