"""The reference's samples have the mean and covariance that dense matrices give."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from invbench.data.synthetic import GaussianField
from invbench.errors import DidNotConvergeError, UnknownNameError
from invbench.images import from_uint8, to_uint8
from invbench.models.reference import fitted_prior, has_reference, reference_sampler
from invbench.operators import PillowJpeg, conjugate_gradients
from invbench.problems import find_task
from invbench.seeding import generator
from invbench.uncertainty import role_coverage, role_test

SIDE = 16
VALUES = 3 * SIDE * SIDE
PRIOR = fitted_prior()


@cache
def covariance():
    """Return the prior's covariance ``[768, 768]``, value by value from its formula."""
    channel, row, column = np.unravel_index(np.arange(VALUES), (3, SIDE, SIDE))
    length = PRIOR.length * SIDE
    falls = [(np.abs(axis[:, None] - axis) / length) ** PRIOR.exponent for axis in (row, column)]
    color = np.where(channel[:, None] == channel, 1.0, PRIOR.color_correlation)
    return PRIOR.std**2 * color * np.exp(-falls[0] - falls[1])


def dense_posterior(matrix, noise):
    """Return gain and covariance given ``matrix @ x`` with independent noise of variances."""
    prior = covariance()
    gain = np.linalg.solve(matrix @ prior @ matrix.T + np.diag(noise), matrix @ prior).T
    return gain, prior - gain @ matrix @ prior


def problem(name, side=SIDE):
    return find_task(name).problem((side, side))


def basis():
    return torch.eye(VALUES, dtype=torch.float64).reshape(VALUES, 3, SIDE, SIDE)


@pytest.mark.parametrize("name", ["sr4", "colorization"])
def test_of_a_linear_twin_equals_dense_matrices(name):
    sampler = reference_sampler(problem(name))
    matrix = sampler.operator(basis()).flatten(1).T.numpy()
    gain, expected = dense_posterior(matrix, np.zeros(len(matrix)))
    target = torch.rand((1, 3, SIDE, SIDE), generator=generator(0), dtype=torch.float64)
    y = sampler.operator(target)
    center = np.full(VALUES, PRIOR.mean)
    mean = center + gain @ (y.flatten().numpy() - matrix @ center)
    np.testing.assert_allclose(sampler.mean(y).flatten(), mean, atol=1e-6)
    part = sampler.null_part(basis()).flatten(1).T.numpy()
    np.testing.assert_allclose(part @ covariance() @ part.T, expected, atol=1e-6)


def observed(quality):
    target = from_uint8(to_uint8(torch.rand((1, 3, SIDE, SIDE), generator=generator(0))))
    return PillowJpeg(quality)(target)


class TestJpeg:
    def test_a_sample_is_the_same_in_any_batch(self):
        sampler = reference_sampler(problem("jpeg1"))
        y = observed(1)
        both = sampler(y.expand(2, -1, -1, -1), [generator(1), generator(2)])
        alone = sampler(y, [generator(2)])
        torch.testing.assert_close(both[1:], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        *("sr8", "colorization", "jpeg1", "jpeg20", "sr4+n5", "denoise25", "deblur-motion"),
        *("deblur-gaussian", "inpaint-box", "inpaint-random50", "colorization+n10"),
    ],
)
def test_covers_as_an_ideal_sampler_in_its_own_world(name):
    """Targets are drawn from the prior: narrower than the fitted one, so that none is clipped."""
    prior = replace(PRIOR, mean=0.5, std=0.1)
    field = prior.field(32, 32)
    asked = problem(name, 32)
    sampler = reference_sampler(asked, prior)
    targets = from_uint8(to_uint8(field.sample(24, generator(5)).float().clamp(0, 1)))
    scores = []
    for index, target in enumerate(targets):
        y = asked.observe(target, str(index))[None].expand(20, -1, -1, -1)
        samples = to_uint8(sampler(y, [generator(100 * index + k) for k in range(20)]))
        scores.append(role_coverage(from_uint8(samples), target).numpy())
    found = role_test(np.array(scores), generator=np.random.default_rng(0), level=0.99)
    assert found.low <= found.value <= found.high


class TestPrior:
    def test_is_the_same_in_sides_of_the_image(self):
        small, large = PRIOR.field(64, 64), PRIOR.field(128, 128)
        torch.testing.assert_close(small.row_covariance, large.row_covariance[::2, ::2])

    def test_a_field_without_an_exponent_is_as_it_was(self):
        field = GaussianField(4, 4, length=2.0)
        assert field.row_covariance[0, 3].item() == pytest.approx(np.exp(-1.5))

    def test_chroma_at_full_size_is_refused_by_name(self):
        asked = replace(problem("jpeg1"), operator=PillowJpeg(1, "4:4:4"))
        assert not has_reference(asked)
        with pytest.raises(UnknownNameError, match="no reference sampler"):
            reference_sampler(asked)

    def test_other_operators_are_refused_by_name(self):
        class Unknown:
            name = "motion"

        with pytest.raises(UnknownNameError, match="no reference sampler for the operator motion"):
            reference_sampler(replace(problem("jpeg1"), operator=Unknown()))


class TestConjugateGradients:
    def test_solves_each_row_whatever_its_scale(self):
        draws = np.random.default_rng(0)
        root = draws.standard_normal((12, 12))
        matrix = torch.tensor(root @ root.T + np.eye(12))
        right = torch.tensor(draws.standard_normal((3, 12)) * [[1e-6], [1.0], [1e6]])
        found = conjugate_gradients.solve(lambda u: u @ matrix, right, tolerance=1e-12)
        torch.testing.assert_close(found, torch.linalg.solve(matrix, right.T).T, rtol=1e-6, atol=0)

    def test_zero_needs_no_step(self):
        zero = torch.zeros(2, 3)
        assert torch.equal(conjugate_gradients.solve(lambda u: u, zero, tolerance=1e-3), zero)

    def test_a_system_that_is_not_symmetric_is_named(self, monkeypatch):
        monkeypatch.setattr(conjugate_gradients, "STEPS", 5)
        turn = torch.tensor([[1.0, 50.0, 0.0], [0.0, 1.0, 50.0], [7.0, 0.0, 1.0]])
        with pytest.raises(DidNotConvergeError, match="after 5 steps"):
            conjugate_gradients.solve(lambda u: u @ turn, torch.ones(1, 3), tolerance=1e-9)
