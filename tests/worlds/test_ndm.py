"""NDM's exact score is that of dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invbench.errors import UnsupportedProblemError
from invbench.operators import LinearBicubic, LinearGray
from invbench.problems import TASKS
from invbench.seeding import generator
from invbench.worlds import SOLVERS, World, get_world
from invbench.worlds.ndm import ConditionalMean

SIDE = 8
LAW = World("small", std=0.08, scales=(1.3,)).law(SIDE, SIDE)


@pytest.mark.parametrize("operator", [LinearBicubic(SIDE, SIDE, 4), LinearGray(SIDE, SIDE)])
@pytest.mark.parametrize("sigma", [0.01, 0.2])
def test_the_mean_is_that_of_dense_matrices(operator, sigma):
    """Of image and observation seen together, each with its noise."""
    variance, count = 0.05**2, 3 * SIDE**2
    basis = torch.eye(count, dtype=torch.float64).reshape(count, 3, SIDE, SIDE)
    matrix = operator(basis).flatten(1).T.numpy()
    covariance = 1.3**2 * np.kron(LAW.factors[0], np.kron(*LAW.factors[1:]))
    x, y = (
        torch.rand((2, *shape), generator=generator(k), dtype=torch.float64)
        for k, shape in enumerate([(3, SIDE, SIDE), operator.observation_shape(SIDE, SIDE)])
    )
    both = np.concatenate([np.eye(count), matrix])
    noise = np.concatenate([np.full(count, sigma**2), np.full(len(matrix), variance)])
    gain = covariance @ both.T @ np.linalg.inv(both @ covariance @ both.T + np.diag(noise))
    missed = np.concatenate([x.flatten(1), y.flatten(1)], axis=1) - both @ np.full(count, 0.5)
    found = ConditionalMean(LAW, operator)(x, sigma, y, variance)
    np.testing.assert_allclose(found.flatten(1), 0.5 + missed @ gain.T, atol=1e-8)


def test_a_mixture_is_declined():
    world = get_world("mixture")
    task = world.tasks({name: (task, 16) for name, task in TASKS.items()})["colorization"]
    with pytest.raises(UnsupportedProblemError, match="a single Gaussian"):
        SOLVERS["ndm"](world, world.problem(task, 16))
