"""Samples of the noisy posterior have the mean and the covariance that dense algebra gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d

from invbench.data.synthetic import GaussianField
from invbench.models.noisy_posterior import NoisyPosterior
from invbench.operators import (
    LinearBicubic,
    LinearBlur,
    LinearFunction,
    LinearGray,
    LinearMasking,
)
from invbench.operators.blur import Gaussian, Motion
from invbench.operators.masks import Box, Everything, Scattered
from invbench.seeding import generator

FIELD = GaussianField(8, 6, length=3.0, exponent=0.7)
OPERATORS = [
    LinearBicubic(8, 6, 2),
    LinearGray(8, 6),
    LinearMasking(8, 6, Everything()),
    LinearMasking(8, 6, Box(0.5)),
    LinearMasking(8, 6, Scattered(0.5)),
    LinearBlur(8, 6, Gaussian(0.5)),
    LinearBlur(8, 6, Motion(3, 30)),
    LinearFunction(8, 6, lambda images: avg_pool2d(images, 2)),
]
IDS = ("bicubic", "gray", "identity", "box", "scattered", "gaussian", "motion", "function")
operators = pytest.mark.parametrize("operator", OPERATORS, ids=IDS)
stds = pytest.mark.parametrize("std", [1 / 255 / 12**0.5, 0.1])


def dense(operator):
    """Build the operator's matrix, only the rows of what is measured."""
    basis = torch.eye(3 * 8 * 6, dtype=torch.float64).reshape(-1, 3, 8, 6)
    matrix = operator(basis).flatten(1).T
    return matrix[matrix.abs().sum(1) > 0]


def exact(operator, std):
    """Return the gain and the covariance of the posterior as matrices."""
    color, row, column = FIELD.color_covariance, FIELD.row_covariance, FIELD.column_covariance
    prior = torch.kron(color, torch.kron(row, column))
    matrix = dense(operator)
    system = matrix @ prior @ matrix.T + std**2 * torch.eye(len(matrix), dtype=torch.float64)
    gain = prior @ matrix.T @ torch.linalg.inv(system)
    return gain, prior - gain @ matrix @ prior


@stds
@operators
def test_the_mean_is_that_of_dense_algebra(operator, std):
    posterior = NoisyPosterior(FIELD, operator, std, tolerance=1e-9)
    target = FIELD.sample(2, torch.Generator().manual_seed(0))
    seen = operator(target)
    gain, _ = exact(operator, std)
    flat = seen - operator(torch.full_like(target, FIELD.mean))
    used = flat.flatten(1)[:, dense_rows(operator)]
    expected = FIELD.mean + (used @ gain.T).reshape(target.shape)
    torch.testing.assert_close(posterior.mean(seen), expected, atol=1e-6, rtol=1e-6)


def dense_rows(operator):
    basis = torch.eye(3 * 8 * 6, dtype=torch.float64).reshape(-1, 3, 8, 6)
    return operator(basis).flatten(1).T.abs().sum(1) > 0


@stds
@operators
def test_samples_have_the_posteriors_covariance(operator, std):
    posterior = NoisyPosterior(FIELD, operator, std, tolerance=1e-9)
    seen = operator(FIELD.sample(1, torch.Generator().manual_seed(0)))
    count = 4000
    samples = posterior.draw(
        seen.expand(count, -1, -1, -1), [generator(number) for number in range(count)]
    )
    mean, deviation = posterior.mean(seen), samples - posterior.mean(seen)
    _, covariance = exact(operator, std)
    # Along random directions the mean is 0 and the variance is right, each within 4.5 errors
    directions = torch.randn(20, 144, dtype=torch.float64, generator=generator(1))
    along = deviation.flatten(1) @ directions.T
    variance = ((directions @ covariance) * directions).sum(1)
    assert (along.mean(0).abs() < 4.5 * (variance / count).sqrt()).all()
    assert ((along.square().mean(0) / variance - 1).abs() < 4.5 * (2 / count) ** 0.5).all()
    assert mean.shape == (1, 3, 8, 6)


def test_a_sample_does_not_depend_on_its_batch():
    posterior = NoisyPosterior(FIELD, LinearMasking(8, 6, Scattered(0.5)), 0.05)
    seen = posterior.operator(FIELD.sample(3, torch.Generator().manual_seed(0))).float()
    together = posterior(seen, [generator(number) for number in range(3)])
    alone = [posterior(seen[k : k + 1], [generator(k)])[0] for k in range(3)]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-6, rtol=0)
