"""The posterior is that of dense algebra, and every defect is as large as it claims."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import norm

from invbench.data.synthetic import GaussianField
from invbench.errors import InvalidSamplesError
from invbench.evaluation.sampling import draw
from invbench.operators import LinearBicubic, LinearGray
from invbench.seeding import generator
from invbench.sentinels import SENTINELS, GaussianPosterior, World
from invbench.sentinels.samplers import BAD_IMAGE

TINY = GaussianField(4, 6, std=0.07, length=3.0)
FIELD = GaussianField(16, 16, std=0.07, length=4.0)
OPERATORS = {
    "bicubic": lambda field: LinearBicubic(field.height, field.width, 2),
    "gray": lambda field: LinearGray(field.height, field.width),
}
BY_NAME = {sentinel.name: sentinel for sentinel in SENTINELS}
operators = pytest.mark.parametrize("operator", OPERATORS)


def posterior_of(operator, field=FIELD):
    return GaussianPosterior(field, OPERATORS[operator](field))


def dense(posterior):
    """Condition the Gaussian as one vector, with the covariance of its definition."""
    field = posterior.field
    places = list(product(range(3), range(field.height), range(field.width)))
    covariance = np.array(
        [
            [
                field.std**2
                * (1 if c == d else field.color_correlation)
                * np.exp(-(abs(i - k) + abs(j - m)) / field.length)
                for d, k, m in places
            ]
            for c, i, j in places
        ]
    )
    images = torch.eye(len(places), dtype=torch.float64).unflatten(1, (3, field.height, -1))
    matrix = posterior.operator(images).flatten(1).T.numpy()
    gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T)
    return matrix, gain, covariance - gain @ matrix @ covariance


def samples_of(name, operator, *, n_images=6, n_samples=200):
    world = World.draw(posterior_of(operator), n_images)
    return world, world.sample(BY_NAME[name].build(world), n_samples).double()


class TestPosterior:
    @operators
    def test_mean_is_that_of_dense_conditioning(self, operator):
        posterior = posterior_of(operator, TINY)
        matrix, gain, _ = dense(posterior)
        image = 0.5 + 0.1 * torch.randn(3, 4, 6, dtype=torch.float64, generator=generator(0))
        observation = posterior.operator(image)
        mean = np.full(72, 0.5)
        expected = mean + gain @ (observation.flatten().numpy() - matrix @ mean)
        assert np.abs(posterior.mean(observation).flatten().numpy() - expected).max() < 1e-12

    @operators
    def test_covariance_is_that_of_dense_conditioning(self, operator):
        posterior = posterior_of(operator, TINY)
        _, _, expected = dense(posterior)
        noise = torch.eye(72, dtype=torch.float64).unflatten(1, (3, 4, 6))
        root = posterior.null_part(posterior._roots(noise)).flatten(1).T.numpy()
        assert np.abs(root @ root.T - expected).max() < 1e-15 + 1e-12 * TINY.std**2
        std = posterior.std.flatten().numpy()
        assert np.abs(std - np.sqrt(expected.diagonal().clip(0))).max() < 1e-8

    @operators
    def test_draws_have_the_observation_and_the_variance(self, operator):
        posterior = posterior_of(operator, TINY)
        world = World.draw(posterior, 1)
        samples = world.sample(posterior, 4000)[0].double()
        again = posterior.operator(samples)
        assert (again - world.observations[0]).abs().max() < 1e-6
        ratio = samples.var(0).sum() / posterior.std.square().sum()
        assert float(ratio) == pytest.approx(1, abs=0.03)
        error = samples.mean(0) - posterior.mean(world.observations[0])
        assert error.square().mean() < 2 * posterior.std.square().mean() / 4000

    def test_a_value_leaves_the_range_once_in_a_million_million(self):
        assert 2 * norm.sf(0.5 / FIELD.std) < 1e-12
        world = World.draw(posterior_of("gray"), 100)
        assert world.targets.min() > 0.05
        assert world.targets.max() < 0.95

    def test_world_is_drawn_from_its_seed(self):
        first, again, other = (World.draw(posterior_of("gray"), 2, seed=s) for s in (0, 0, 1))
        assert torch.equal(first.targets, again.targets)
        assert not torch.equal(first.targets, other.targets)
        assert first.find(first.observations.flip(0)).tolist() == [1, 0]


class TestProtocol:
    @pytest.mark.parametrize("sentinel", SENTINELS, ids=lambda sentinel: sentinel.name)
    def test_samples_do_not_depend_on_their_batch(self, sentinel):
        world = World.draw(posterior_of("gray"), 3)
        sampler = sentinel.build(world)
        seeds = [world.sample_seed(BAD_IMAGE, k) for k in range(3)]
        rows = world.observations[[BAD_IMAGE, 1, 2]]
        together = sampler(rows, [generator(seed) for seed in seeds])
        for k in range(3):
            alone = sampler(rows[k : k + 1], [generator(seeds[k])])
            assert torch.allclose(alone[0], together[k], atol=1e-6, equal_nan=True)

    @pytest.mark.parametrize("sentinel", SENTINELS, ids=lambda sentinel: sentinel.name)
    def test_all_but_nan_can_be_drawn_in_the_suite(self, sentinel):
        world = World.draw(posterior_of("bicubic"), 2)

        def drawn():
            return draw(
                sentinel.build(world),
                world.observations,
                task="sentinels",
                image_ids=["0", "1"],
                size=(16, 16),
                n_samples=3,
            )

        if sentinel.name == "one_nan":
            with pytest.raises(InvalidSamplesError, match="sample 0 of 0"):
                drawn()
        else:
            assert drawn().shape == (2, 3, 3, 16, 16)


@operators
class TestDefects:
    @pytest.mark.parametrize(
        ("name", "factor"),
        [
            ("exact", 1),
            ("overdispersed", 1.3),
            ("underdispersed", 0.7),
            ("biased", 1),
            ("collapsed", 0.1),
            ("leaking", 0.1),
            ("independent", 1),
            ("copying", 0),
        ],
    )
    def test_spread_is_as_declared(self, name, factor, operator):
        world, samples = samples_of(name, operator)
        spread = samples.var(1).mean().sqrt() / world.posterior.std.square().mean().sqrt()
        assert float(spread) == pytest.approx(factor, abs=0.02)

    @pytest.mark.parametrize(
        "name", [s.name for s in SENTINELS if s.name not in {"hallucinating", "input_ignoring"}]
    )
    def test_all_others_are_valid(self, name, operator):
        world, samples = samples_of(name, operator, n_samples=5)
        errors = world.posterior.operator(samples) - world.observations[:, None]
        assert errors.nan_to_num(0).abs().max() < 1e-6

    def test_hallucinations_contradict_the_observation_by_half_the_prior(self, operator):
        world, samples = samples_of("hallucinating", operator)
        errors = world.posterior.operator(samples) - world.observations[:, None]
        prior = world.posterior.operator(
            world.posterior.prior_deviation([generator(k) for k in range(400)])
        )
        ratio = errors.square().mean().sqrt() / prior.square().mean().sqrt()
        assert float(ratio) == pytest.approx(0.5, abs=0.05)

    def test_bias_is_the_same_on_every_image(self, operator):
        world, samples = samples_of("biased", operator)
        shift = samples.mean(1) - world.posterior.mean(world.observations)
        common = shift.mean(0)
        assert (shift - common).square().mean() < 0.1 * common.square().mean()
        size = common.square().mean().sqrt() / world.posterior.std.square().mean().sqrt()
        assert 0.3 < float(size) < 0.7

    def test_collapse_is_onto_a_mode_of_each_observation(self, operator):
        world, samples = samples_of("collapsed", operator, n_images=40, n_samples=5)
        modes = samples.mean(1) - world.posterior.mean(world.observations)
        size = modes.square().mean().sqrt() / world.posterior.std.square().mean().sqrt()
        assert float(size) == pytest.approx(1, abs=0.1)

    def test_leak_is_centred_on_the_target(self, operator):
        world, samples = samples_of("leaking", operator)
        error = (samples.mean(1) - world.targets).square().mean().sqrt()
        assert error < 0.02 * world.posterior.std.square().mean().sqrt()

    def test_one_image_is_bad(self, operator):
        world, samples = samples_of("one_bad_image", operator)
        shift = samples.mean(1) - world.posterior.mean(world.observations)
        sizes = shift.square().mean((1, 2, 3)).sqrt()
        assert sizes.argmax() == BAD_IMAGE
        assert sizes[BAD_IMAGE] > 5 * sizes[1:].max()

    def test_one_value_is_nan(self, operator):
        _, samples = samples_of("one_nan", operator, n_samples=5)
        assert samples.isnan().nonzero().tolist() == [[BAD_IMAGE, 0, 0, 0, 0]]

    def test_eight_samples_differ(self, operator):
        _, samples = samples_of("duplicated_seeds", operator)
        assert all(len(rows.unique(dim=0)) == 8 for rows in samples)

    def test_independence_keeps_each_law_and_loses_the_correlation(self, operator):
        world, samples = samples_of("independent", operator, n_images=2, n_samples=1000)
        exact = world.sample(world.posterior, 1000).double()

        def correlation(of):
            deviation = of - of.mean(1, keepdim=True)
            if operator == "gray":
                first, second = deviation[..., :-1], deviation[..., 1:]
            else:
                first, second = deviation[:, :, 0], deviation[:, :, 1]
            return float((first * second).mean() / (first.square().mean()))

        assert correlation(exact) > 0.6
        assert abs(correlation(samples)) < 0.02
        assert (samples.mean((0, 1)) - exact.mean((0, 1))).abs().max() < 0.02
        assert torch.allclose(samples.std(1), exact.std(1), atol=0.008)


def test_independent_field_leaves_the_prior_s_law_of_a_value():
    other = replace(FIELD, length=0.05)
    assert torch.allclose(other.row_covariance, torch.eye(16, dtype=torch.float64), atol=1e-8)
