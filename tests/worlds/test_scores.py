"""Exact samples lie in every band of their world; a solver that ignores its input in hardly one."""

from __future__ import annotations

import pytest
import torch

from invbench.data import DataSet
from invbench.evaluation import Experiment, Settings, Subject
from invbench.evaluation.known import world_records
from invbench.models import Case
from invbench.problems import TASKS
from invbench.worlds import SOLVERS, get_world
from invbench.worlds.scores import NAMES, sliced_wasserstein


def records(world, solver, size=16, count=8):
    world = get_world(world)
    task = world.tasks({name: (task, size) for name, task in TASKS.items()})["colorization"]
    sampler = SOLVERS[solver](world, world.problem(task, size))
    experiment = Experiment(
        case=Case(solver, task.name),
        task=task,
        subject=Subject(sampler),
        data=DataSet("world", world.photos(size, count)),
        settings=Settings(n_samples=10, chunk_size=10),
        metrics=(),
        world=world,
    )
    return world_records(experiment, world)


def test_jpeg_is_not_offered():
    found = get_world("gaussian").tasks({name: (task, 32) for name, task in TASKS.items()})
    assert list(found) == ["sr16", "colorization"]


@pytest.mark.parametrize("world", ["gaussian", "mixture"])
def test_exact_samples_are_inside_every_band(world):
    found = records(world, "exact")
    assert list(found) == list(NAMES)
    assert all(record.inside for record in found.values()), found


@pytest.mark.parametrize("world", ["gaussian", "mixture"])
def test_a_solver_that_ignores_the_observation_is_outside(world):
    found = records(world, "prior")
    outside = {name for name, record in found.items() if not record.inside}
    assert outside >= {"bias", "spread", "sliced_wasserstein"}


def test_ddrm_spreads_too_little_with_the_exact_denoiser_too():
    found = records("gaussian", "ddrm20")
    assert found["spread"].value < found["spread"].low


def test_ndm_is_unbiased_and_spread_as_it_should():
    found = records("gaussian", "ndm")
    assert found["bias"].inside
    assert found["spread"].value == pytest.approx(1, abs=0.05)


def test_the_distance_along_directions_is_that_of_shifted_normals():
    """Of two sets that differ by a shift, along every direction the shift's part in it."""
    pool = torch.randn((4000, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.tensor([1.0, 0.0, 0.0, 0.0])
    directions = torch.randn(
        (4, 64), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    expected = (directions[0].abs() / directions.norm(dim=0)).mean()
    assert sliced_wasserstein(pool, pool) == 0
    assert sliced_wasserstein(pool + shift, pool) == pytest.approx(float(expected), rel=0.03)
