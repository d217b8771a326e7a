"""Worlds: laws of images by name, their targets, and the tasks whose posterior they know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from invbench.data import DataSet, Photo
from invbench.errors import UnknownNameError
from invbench.images import to_uint8
from invbench.models import fitted_prior
from invbench.models.gaussian import factors
from invbench.problems import Noise
from invbench.seeding import generator, text_seed
from invbench.worlds.law import Mixture, MixturePosterior, draw_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invbench.problems import Problem, Task

STD = 0.02  # of the noise on observations: five levels of 255


@dataclass(frozen=True)
class World:
    """A law of images of any size, narrow enough that hardly a value leaves [0, 1].

    Rows, columns and colours are correlated as in the prior that was fitted to photographs.

    Attributes:
        name: what the option calls it.
        std: of a value, before a part's scale.
        weights: of the mixture's parts.
        colors: mean red, green and blue of each part.
        scales: of each part's deviations from it.
    """

    name: str
    std: float
    weights: tuple[float, ...] = (1.0,)
    colors: tuple[tuple[float, float, float], ...] = ((0.5, 0.5, 0.5),)
    scales: tuple[float, ...] = (1.0,)

    def law(self, height: int, width: int) -> Mixture:
        """Return the law of images of a size."""
        field = replace(fitted_prior(), std=self.std).field(height, width)
        colors = torch.tensor(self.colors, dtype=torch.float64, device="cpu")[:, :, None, None]
        return Mixture(
            weights=torch.tensor(self.weights, dtype=torch.float64, device="cpu"),
            means=colors.expand(-1, -1, height, width),
            scales=torch.tensor(self.scales, dtype=torch.float64, device="cpu"),
            factors=(field.color_covariance, field.row_covariance, field.column_covariance),
        )

    def photos(self, size: int, count: int) -> list[Photo]:
        """Draw targets, rounded to 8 bits; every image is a group of its own."""
        law, photos = self.law(size, size), []
        for index in range(count):
            source = generator(text_seed(f"world/{self.name}/{size}/{index}"))
            part = draw_parts(law.weights[None], [source])
            noise = torch.randn(
                (1, 3, size, size), generator=source, dtype=torch.float64, device="cpu"
            )
            name = f"{self.name}-{index}"
            photos.append(Photo(name, name, to_uint8(law.sample(part, noise).float())[0]))
        return photos

    def tasks(self, sized: Mapping[str, tuple[Task, int]]) -> dict[str, Task]:
        """Return the tasks whose posterior is known, observed by the linear twin with noise.

        The noise is of `STD`. The twin must be one of colours, rows and columns, as those of
        reduction and gray are; JPEG has none.

        Args:
            sized: tasks by name, each with the side of its targets.
        """
        known = {}
        for name, (task, size) in sized.items():
            twin = task.linear(size, size) if task.linear and not task.noise else None
            if twin is not None and factors(twin) is not None:
                known[name] = replace(task, operator=twin, noise=Noise(STD))
        return known

    def problem(self, task: Task, size: int) -> Problem:
        """Return a task's problem, with the exact denoiser of this world's images."""
        problem = task.problem((size, size))
        return replace(problem, denoiser=self.law(size, size).denoiser)

    def posterior(self, problem: Problem) -> MixturePosterior:
        """Return the exact sampler of a problem."""
        return MixturePosterior(self.law(*problem.size), problem.linear, problem.noise.std)  # type: ignore[arg-type]


WORLDS = {
    world.name: world
    for world in (
        World("gaussian", std=0.08),
        World(
            "mixture",
            std=0.06,
            weights=(0.5, 0.3, 0.2),
            colors=((0.5, 0.5, 0.5), (0.56, 0.5, 0.44), (0.44, 0.53, 0.5)),
            scales=(1.0, 1.3, 0.6),
        ),
    )
}


@lru_cache(maxsize=8)  # the solvers of a task share them
def targets_of(world: World, size: int, count: int) -> DataSet:
    """Return a world's targets as a data set."""
    return DataSet(f"world-{world.name}", world.photos(size, count))


def get_world(name: str) -> World:
    """Return a world by name.

    Raises:
        UnknownNameError: listing the nearest names.
    """
    if name not in WORLDS:
        raise UnknownNameError.among("world", name, WORLDS)
    return WORLDS[name]
