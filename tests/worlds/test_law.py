"""Denoiser and posterior of a mixture are those of dense matrices and of Bayes' rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from invbench.operators import LinearBicubic, LinearGray
from invbench.seeding import generator
from invbench.worlds.law import Mixture, MixturePosterior

SIDE = 8
VALUES = 3 * SIDE**2
WEIGHTS, SCALES = (0.5, 0.3, 0.2), (1.0, 1.4, 0.7)


def factors():
    place = np.arange(SIDE)
    axis = np.exp(-np.abs(place[:, None] - place) / 3.0)
    tall = np.exp(-np.abs(place[:, None] - place) / 6.0)
    return 0.05**2 * (0.6 + 0.4 * np.eye(3)), axis, tall


def means():
    colors = np.array([[0.5, 0.5, 0.5], [0.55, 0.5, 0.45], [0.45, 0.52, 0.5]])
    return np.broadcast_to(colors[:, :, None, None], (3, 3, SIDE, SIDE)).copy()


def mixture():
    return Mixture(
        torch.tensor(WEIGHTS, dtype=torch.float64),
        torch.tensor(means()),
        torch.tensor(SCALES, dtype=torch.float64),
        tuple(map(torch.tensor, factors())),
    )


def conditional_mean(matrix, std, y):
    """Return shares and mean of x given ``y = matrix @ x + std * noise``, by dense matrices."""
    prior = np.kron(factors()[0], np.kron(*factors()[1:]))
    evidence, parts = [], []
    for weight, mean, scale in zip(WEIGHTS, means().reshape(3, -1), SCALES, strict=True):
        seen = scale**2 * matrix @ prior @ matrix.T + std**2 * np.eye(len(matrix))
        evidence.append(np.log(weight) + multivariate_normal.logpdf(y, matrix @ mean, seen))
        parts.append(mean + scale**2 * prior @ matrix.T @ np.linalg.solve(seen, y - matrix @ mean))
    shares = np.exp(evidence - np.max(evidence))
    shares /= shares.sum()
    return shares, shares @ np.array(parts)


def draw(law, count=6):
    noise = torch.randn((count, 3, SIDE, SIDE), generator=generator(0), dtype=torch.float64)
    return law.sample(torch.arange(count) % 3, noise)


@pytest.mark.parametrize("std", [0.01, 0.1, 3.0])
def test_the_denoiser_is_the_mean_by_bayes_rule(std):
    law = mixture()
    noisy = draw(law)
    noisy = noisy + std * torch.randn(noisy.shape, generator=generator(1), dtype=torch.float64)
    expected = [conditional_mean(np.eye(VALUES), std, y)[1] for y in noisy.flatten(1).numpy()]
    np.testing.assert_allclose(law.denoiser(noisy, std).flatten(1), expected, atol=1e-9)
    many = torch.full((len(noisy),), std, dtype=torch.float64)
    torch.testing.assert_close(law.denoiser(noisy, many), law.denoiser(noisy, std))


def test_the_denoiser_has_the_gradient_of_tweedies_formula():
    """Its divergence is the sum of variances over the noise's; here by differences of one entry."""
    law, std = mixture(), 0.1
    noisy = draw(law, 1).requires_grad_()
    value = law.denoiser(noisy, std)[0, 1, 2, 3]
    (gradient,) = torch.autograd.grad(value, noisy)
    step = torch.zeros_like(noisy)
    step[0, 1, 2, 4] = 1e-5
    with torch.no_grad():
        ends = [law.denoiser(noisy + sign * step, std)[0, 1, 2, 3] for sign in (1, -1)]
    assert gradient[0, 1, 2, 4].item() == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("operator", [LinearBicubic(SIDE, SIDE, 4), LinearGray(SIDE, SIDE)])
def test_the_posterior_is_that_of_dense_matrices(operator):
    law, std = mixture(), 0.02
    posterior = MixturePosterior(law, operator, std)
    basis = torch.eye(VALUES, dtype=torch.float64).reshape(VALUES, 3, SIDE, SIDE)
    matrix = operator(basis).flatten(1).T.numpy()
    x = draw(law, 1)
    y = operator(x)
    y = y + std * torch.randn(y.shape, generator=generator(2), dtype=torch.float64)
    shares, mean = conditional_mean(matrix, std, y.flatten().numpy())
    assert 0.01 < shares.max() < 0.99
    np.testing.assert_allclose(posterior.mean(y).flatten(), mean, atol=1e-9)

    count = 6000
    samples = posterior(y.expand(count, -1, -1, -1), list(map(generator, range(count))))
    samples = samples.flatten(1).double().numpy()
    prior = np.kron(factors()[0], np.kron(*factors()[1:]))
    total = -np.outer(mean, mean)
    for share, center, scale in zip(shares, means().reshape(3, -1), SCALES, strict=True):
        seen = scale**2 * matrix @ prior @ matrix.T + std**2 * np.eye(len(matrix))
        gain = scale**2 * prior @ matrix.T @ np.linalg.inv(seen)
        part = center + gain @ (y.flatten().numpy() - matrix @ center)
        total += share * (scale**2 * (prior - gain @ matrix @ prior) + np.outer(part, part))
    spread = np.sqrt(np.diag(total))
    np.testing.assert_allclose((samples.mean(0) - mean) / spread, 0, atol=0.06)
    error = (np.cov(samples.T) - total) / np.outer(spread, spread)
    assert np.abs(error).max() < 0.1
