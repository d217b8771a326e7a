"""What samples differ by from exact ones, where the law of the images is known."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from invbench.evaluation.sampling import draw_samples, observe
from invbench.runs import WorldRecord
from invbench.worlds import REPETITIONS, Truth, against_truth, bands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from invbench.data import DataSet
    from invbench.evaluation.experiment import Experiment, Settings
    from invbench.evaluation.sampling import Observed
    from invbench.problems import Task
    from invbench.worlds import World

POOL = 2  # exact draws of an image that are compared with, for each of its samples
POOL_SEED, REPETITION_SEED = 1_000_000, 2_000_000  # beyond the seeds that a run would take


def world_records(experiment: Experiment, world: World) -> dict[str, WorldRecord]:
    """Draw the samples of a case again and hold them against exact draws, see `worlds.scores`."""
    settings, sampler = experiment.settings, experiment.subject.sampler
    observed, truths, known = _truths(world, experiment.task, experiment.data, settings)
    found = against_truth([draw_samples(sampler, one, settings) for one in observed], truths)
    return {
        name: WorldRecord(value=value, low=known[name][0], high=known[name][1])
        for name, value in found.items()
    }


@lru_cache(maxsize=8)  # the solvers of a task share them
def _truths(
    world: World, task: Task, data: DataSet, settings: Settings
) -> tuple[list[Observed], list[Truth], Mapping[str, tuple[float, float]]]:
    """Return the observed images, what is known of each, and the bands of exact draws."""
    height, width = data.photos[0].pixels.shape[-2:]
    problem = task.problem((height, width))
    exact = world.posterior(problem)
    observed = [observe(photo, problem, settings.device) for photo in data.photos]

    def draw(seed: int, times: int = 1) -> list[Tensor]:
        seed, count = settings.seed + seed, times * settings.n_samples
        other = replace(settings, seed=seed, n_samples=count, dtype="float32")
        return [draw_samples(exact, one, other) for one in observed]

    truths = [
        Truth(one.target, exact.mean(one.observation[None])[0], pool)
        for one, pool in zip(observed, draw(POOL_SEED, POOL), strict=True)
    ]
    repetitions = [
        against_truth(draw(REPETITION_SEED + index), truths) for index in range(REPETITIONS)
    ]
    return observed, truths, bands(repetitions)
