"""Coefficients drawn within their cells have the moments that rejection finds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.fft import dct
from scipy.linalg import block_diag
from scipy.stats import truncnorm

from invbench.data.synthetic import GaussianField
from invbench.images import from_uint8, to_uint8
from invbench.models.gaussian_cells import CellPosterior, truncated
from invbench.models.jpeg_cells import JpegPosterior
from invbench.operators import PillowJpeg
from invbench.seeding import generator

HEIGHT, WIDTH = 8, 16
STEP = 160.0
VARIANCE = 28.0**2
LUMA_AND_CHROMA = np.array(  # JFIF's
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


def factor(size):
    """Return a rough axis' covariance, of the cosines of each 8 values."""
    place = np.arange(size)
    rough = np.exp(-((np.abs(place[:, None] - place) / 9) ** 0.6))
    cosines = block_diag(*[dct(np.eye(8), axis=0, norm="ortho")] * (size // 8))
    return cosines @ rough @ cosines.T


@cache
def by_rejection():
    """Return cells that are not around 0, and draws of the prior that happen to lie in them."""
    covariance = VARIANCE * np.kron(factor(HEIGHT), factor(WIDTH))
    draws = np.random.default_rng(0).standard_normal((200_000, HEIGHT * WIDTH), dtype=np.float32)
    draws = draws @ np.linalg.cholesky(covariance).T.astype(np.float32)
    low = np.full((HEIGHT, WIDTH), -0.5)
    low[0, 0], low[0, 8], low[0, 1], low[1, 8] = 0.0, -0.3, -0.1, -0.8
    low *= STEP
    inside = ((draws > low.ravel()) & (draws < low.ravel() + STEP)).all(1)
    assert inside.sum() > 3000, inside.sum()
    return low, draws[inside].astype(np.float64)


def draw(sweeps, low, count):
    row, column = torch.tensor(VARIANCE * factor(HEIGHT)), torch.tensor(factor(WIDTH))
    steps = torch.full((HEIGHT, WIDTH), STEP, dtype=torch.float64)
    posterior = CellPosterior(row, column, steps, sweeps)
    low = torch.tensor(low, dtype=torch.float32).expand(count, -1, -1)
    samples = posterior(low, low + STEP, [generator(k) for k in range(count)])
    assert (samples >= low).all()
    assert (samples <= low + STEP).all()
    return samples.flatten(1).double().numpy()


@pytest.mark.parametrize("sweeps", [4, 20])
def test_the_chain_has_the_moments_of_rejection(sweeps):
    """In units of each spread, with standard errors of .021 of means and .03 of variances."""
    low, exact = by_rejection()
    found = draw(sweeps, low, 4000)
    spread = exact.std(0)
    means = (found.mean(0) - exact.mean(0)) / spread
    covariances = (np.cov(found.T) - np.cov(exact.T)) / np.outer(spread, spread)
    assert (exact.mean(0) / spread).max() > 1  # the cells do say something
    assert np.abs(means).max() < 0.09
    assert np.abs(covariances).max() < 0.13


def test_ranks_become_scipys_truncated_values():
    low = np.array([-1.0, 0.5, -4.0, 3.0, -0.1, -30.0, 7.0, 2.0])
    high = np.array([2.0, 0.6, -3.0, 9.0, 0.1, -20.0, 8.0, np.inf])
    rank = np.array([0.1, 0.5, 0.9, 0.3, 0.7, 0.5, 0.5, 0.9])
    expected = truncnorm.ppf(rank, low, high)
    normal = torch.special.ndtri(torch.tensor(rank))
    found = truncated(normal.float(), torch.tensor(low).float(), torch.tensor(high).float())
    far = (high < -5) | (low > 5)  # than float32 resolves: values lie at the nearer edge
    np.testing.assert_allclose(found[~far], expected[~far], atol=1e-3)
    assert found[far].tolist() == [-20.0, 7.0]


class TestImages:
    @pytest.mark.parametrize("quality", [1, 30, 90])
    def test_a_sample_gives_back_the_observation(self, quality):
        """Away from black and white, where decoding alone loses coefficients."""
        target = GaussianField(32, 32, std=0.08).sample(3, generator(0)).float().clamp(0, 1)
        operator = PillowJpeg(quality)
        y = operator(from_uint8(to_uint8(target)))
        samples = JpegPosterior(GaussianField(32, 32), quality)(y, list(map(generator, range(3))))
        again = operator(from_uint8(to_uint8(samples)))
        assert not torch.equal(samples[0], samples[1])
        # Rounding to 8 bits moves some coefficients by the steps of quality 90
        assert (again - y).abs().max() <= (0 if quality < 90 else 3.5 / 255)

    def test_where_cells_tell_nothing_draws_are_of_the_prior(self):
        """Of its luma, and of its chroma at full size, with all covariances between pixels."""
        field = GaussianField(16, 16, std=0.01, length=5.0)
        y = torch.full((4000, 3, 16, 16), 0.5)
        samples = JpegPosterior(field, 1)(y, list(map(generator, range(4000)))).double().numpy()
        planes = np.einsum("pc,nchw->npwh", LUMA_AND_CHROMA, samples - 0.5)
        color = LUMA_AND_CHROMA @ field.color_covariance.numpy() @ LUMA_AND_CHROMA.T
        place = np.arange(16)
        axis = np.exp(-np.abs(place[:, None] - place) / 5.0)
        expected = np.kron(np.diag(np.diag(color)), np.kron(axis, axis))
        spread = np.sqrt(np.diag(expected))
        found = np.cov(planes.reshape(len(planes), -1).T) / np.outer(spread, spread)
        np.testing.assert_allclose(found, expected / np.outer(spread, spread), atol=0.12)
