"""Every member of a pool is scored as if it were the target, and roles are tested exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from invbench.errors import InvalidImagesError
from invbench.uncertainty import (
    coverage,
    energy_score,
    ideal_coverage,
    interval,
    pool_distances,
    rank_histogram,
    role_coverage,
    role_energy,
    role_histograms,
    role_nearest,
    role_spread_and_error,
    role_test,
    spread_and_error,
)
from invbench.uncertainty.errors import (
    InvalidLossesError,
    InvalidSplitError,
    TooFewSamplesError,
)


def draw(n_images=3, n_samples=20, side=8, seed=0, levels=None):
    generator = torch.Generator().manual_seed(seed)
    pool = torch.rand(n_images, n_samples + 1, 3, side, side, generator=generator)
    if levels:
        pool = (pool * levels).round() / levels
    return pool[:, 1:], pool[:, 0]


def swapped(samples, target, member):
    """Let a member of the pool be the target."""
    pool = torch.cat([target[:, None], samples], 1)
    others = [k for k in range(pool.shape[1]) if k != member]
    return pool[:, others], pool[:, member]


class TestRoleCoverage:
    @pytest.mark.parametrize("rule", ["linear", "weibull", "order"])
    @pytest.mark.parametrize(("n_samples", "levels"), [(19, None), (20, None), (50, None), (20, 4)])
    def test_is_that_of_numpy_with_the_roles_swapped(self, rule, n_samples, levels):
        samples, target = draw(n_samples=n_samples, levels=levels)
        got = role_coverage(samples, target, rule=rule)
        tails = [0.05, 0.95]
        for member in (0, 1, 7, n_samples):
            others, truth = (a.double().numpy() for a in swapped(samples, target, member))
            if rule == "order":
                ranks = np.floor((n_samples + 1) * 0.05), np.ceil((n_samples + 1) * 0.95)
                sorted_ = np.sort(others, axis=1)
                low, high = (sorted_[:, int(rank) - 1] for rank in ranks)
            else:
                low, high = np.quantile(others, tails, axis=1, method=rule)
            expected = ((low - 1e-7 <= truth) & (truth <= high + 1e-7)).mean((1, 2, 3))
            assert got[:, member].numpy() == pytest.approx(expected, abs=1e-12)

    def test_of_the_target_is_coverage(self):
        samples, target = draw(levels=255)
        for rule in ("linear", "weibull"):
            expected = coverage(interval(samples, rule=rule), target)
            assert torch.equal(role_coverage(samples, target, rule=rule)[:, 0], expected)

    def test_averages_to_the_ideal_where_nothing_ties(self):
        samples, target = draw(n_images=40, side=16)
        for rule in ("linear", "weibull", "order"):
            mean = float(role_coverage(samples, target, rule=rule).mean())
            assert mean == pytest.approx(ideal_coverage(20, 0.9, rule), abs=0.003)

    def test_averages_to_more_where_values_tie(self):
        samples, target = draw(levels=2)
        assert float(role_coverage(samples, target).mean()) > 0.95

    def test_refuses_a_single_sample(self):
        samples, target = draw(n_samples=1)
        with pytest.raises(TooFewSamplesError):
            role_coverage(samples, target)


class TestDistances:
    def test_are_root_mean_square_differences(self):
        samples, target = draw()
        pool = torch.cat([target[:, None], samples], 1).double()
        expected = torch.cdist(pool.flatten(2), pool.flatten(2)) / 192**0.5
        assert torch.allclose(pool_distances(samples, target), expected, atol=1e-7)

    def test_of_averages_are_those_of_averaged_images(self):
        samples, target = draw()
        pool = torch.cat([target[:, None], samples], 1).double()
        blocks = pool.unflatten(-1, (2, 4)).mean(-1).unflatten(-2, (2, 4)).mean(-2)
        for gray, features in ((False, blocks), (True, blocks.mean(2, keepdim=True))):
            flat = features.flatten(2)
            expected = torch.cdist(flat, flat) / flat.shape[-1] ** 0.5
            got = pool_distances(samples, target, downsample=4, gray=gray)
            assert torch.allclose(got, expected, atol=1e-7)

    def test_refuses_blocks_that_do_not_fit(self):
        with pytest.raises(InvalidImagesError, match="squares of 3"):
            pool_distances(*draw(), downsample=3)

    @pytest.mark.parametrize("member", [0, 1, 20])
    def test_scores_of_a_member_are_those_with_the_roles_swapped(self, member):
        samples, target = draw()
        distances = pool_distances(samples, target)
        others, truth = swapped(samples, target, member)
        energy = energy_score(others, truth) / 192**0.5
        assert torch.allclose(role_energy(distances)[:, member], energy, atol=1e-7)
        expected = spread_and_error(others, truth)
        for got, value in zip(role_spread_and_error(distances), expected, strict=True):
            assert torch.allclose(got[:, member], value, atol=1e-7)
        nearest = (others - truth[:, None]).square().mean((2, 3, 4)).sqrt().amin(1).double()
        assert torch.allclose(role_nearest(distances)[:, member], nearest, atol=1e-6)


class TestRoleHistograms:
    def test_first_row_is_the_rank_histogram(self):
        samples, target = draw()
        generator = torch.Generator().manual_seed(0)
        got = role_histograms(samples, target, generator=generator)
        expected = rank_histogram(samples, target, generator=generator)
        assert torch.equal(got[:, 0], expected)
        assert (got.sum(1) == 192).all()
        assert (got.sum(2) == 192).all()

    def test_ties_go_to_every_rank_alike(self):
        same = torch.full((400, 5, 3, 2, 2), 0.5)
        got = role_histograms(same[:, 1:], same[:, 0], generator=torch.Generator().manual_seed(0))
        shares = got.double().mean(0)[0] / 12
        assert (shares - 0.2).abs().max() < 0.08


class TestRoleTest:
    def test_p_values_of_an_ideal_sampler_are_uniform(self):
        rng = np.random.default_rng(0)
        p = [
            role_test(rng.standard_normal((12, 21)), generator=rng, draws=199).p_low
            for _ in range(400)
        ]
        assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)
        assert np.mean(p) == pytest.approx(0.5, abs=0.05)

    def test_band_is_that_of_the_binomial(self):
        scores = np.zeros((40, 10))
        scores[:, :5] = 1
        test = role_test(scores, generator=np.random.default_rng(0), level=0.9)
        assert (test.low, test.high) == pytest.approx((15 / 40, 25 / 40))
        assert test.value == 1
        assert test.p_high == 1 / 5000
        assert test.p_value == 2 / 5000

    def test_value_beyond_the_band_is_what_is_improbable(self):
        rng = np.random.default_rng(0)
        for level in (0.5, 0.9, 0.95):
            for _ in range(100):
                test = role_test(rng.standard_normal((6, 9)), generator=rng, level=level, draws=99)
                assert (test.value < test.low or test.value > test.high) == (
                    test.p_value <= 1 - level + 1e-9
                )

    def test_few_draws_cannot_show_what_is_rare(self):
        test = role_test(np.eye(1, 5).repeat(9, 0), generator=np.random.default_rng(0), draws=9)
        assert (test.low, test.high) == (-math.inf, math.inf)

    def test_images_of_a_group_take_their_roles_together(self):
        scores = np.tile(np.arange(21.0), (12, 1))
        alone = role_test(scores, generator=np.random.default_rng(0))
        grouped = role_test(scores, [k // 4 for k in range(12)], generator=np.random.default_rng(0))
        ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
        assert ratio == pytest.approx(2, abs=0.1)

    def test_nothing_is_extreme_where_all_members_agree(self):
        test = role_test(np.full((5, 6), 0.1), generator=np.random.default_rng(0))
        assert test.p_value == 1

    def test_refuses_what_is_no_table_of_scores(self):
        rng = np.random.default_rng(0)
        for scores in (np.zeros(5), np.full((3, 4), np.nan), np.zeros((0, 3))):
            with pytest.raises(InvalidLossesError):
                role_test(scores, generator=rng)
        with pytest.raises(InvalidSplitError):
            role_test(np.zeros((3, 4)), ["a"], generator=rng)
