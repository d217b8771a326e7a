"""Checks measure what they say, and their bands are those of an exact sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, kstest, ttest_1samp

from invbench.data.synthetic import GaussianField
from invbench.operators import LinearGray
from invbench.sentinels import (
    BATTERY,
    SENTINELS,
    Evidence,
    GaussianPosterior,
    World,
    bands,
    examine,
    flags,
    world_evidence,
)
from invbench.uncertainty import pool_distances

POSTERIOR = GaussianPosterior(GaussianField(8, 8, std=0.07, length=2.0), LinearGray(8, 8))
BY_NAME = {sentinel.name: sentinel for sentinel in SENTINELS}
CHECKS = {check.name: check for check in BATTERY}


def evidence(name="exact", *, seed=0, n_images=24, n_samples=10):
    world = World.draw(POSTERIOR, n_images, seed=seed)
    return world_evidence(world, BY_NAME[name], n_samples=n_samples)


def rng():
    return np.random.default_rng(0)


class TestExamine:
    def test_an_exact_sampler_is_rarely_blamed(self):
        worlds = 40
        blamed = sum(bool(flags(examine(evidence(seed=seed)))) for seed in range(worlds))
        assert binom.sf(blamed - 1, worlds, 0.02) > 0.001

    def test_shares_the_rate_among_the_checks_that_can_err(self):
        findings = {f.check: f.measured for f in examine(evidence(), rate=0.095)}
        assert math.isclose(
            findings["coverage"].low, CHECKS["coverage"].function(evidence(), 0.01).low
        )
        limit = CHECKS["outlier"].function(evidence(), 0.0025).high
        assert math.isclose(findings["outlier"].high, limit)
        assert list(findings) == list(CHECKS)

    def test_without_a_known_posterior_there_is_no_width_to_compare(self):
        given = evidence()
        blind = Evidence(given.samples, given.targets, given.observations, given.operator)
        assert [f.check for f in examine(blind)] == [name for name in CHECKS if name != "width"]

    def test_what_is_not_finite_ends_the_examination(self):
        (finding,) = examine(evidence("one_nan"))
        assert finding.flagged
        assert finding.measured.value == pytest.approx(1 / 240)
        given = evidence()
        given.samples[0, 0, 0, 0, 0] = 1.01
        assert flags(examine(given)) == ("finite",)

    def test_every_declared_check_exists(self):
        assert {name for s in SENTINELS for name in s.flagged_by} <= set(CHECKS)
        assert [s.name for s in SENTINELS if not s.flagged_by] == ["exact"]
        assert len({s.name for s in SENTINELS}) == len(SENTINELS) == 13

    def test_value_beyond_its_band_is_what_is_flagged(self):
        for name in ("underdispersed", "leaking", "biased"):
            for finding in examine(evidence(name, n_images=48)):
                measured = finding.measured
                beyond = not measured.low <= measured.value <= measured.high
                assert beyond == finding.flagged, (name, finding)


class TestBands:
    def test_tolerance_is_exceeded_by_nan(self):
        assert bands.tolerated(0.5, 0.5).p_value == 1
        assert bands.tolerated(0.51, 0.5).p_value == 0
        assert bands.tolerated(math.nan, 0.5).p_value == 0

    def test_mean_over_images_is_scipys_t_test(self):
        values = torch.from_numpy(rng().normal(1.2, 0.3, 30))
        found = bands.mean_over_images(values, 1.0, 0.05)
        assert found.p_value == pytest.approx(ttest_1samp(values, 1.0).pvalue)
        edge = bands.mean_over_images(values - found.value + found.high, 1.0, 0.05)
        assert edge.p_value == pytest.approx(0.05)

    @pytest.mark.parametrize("n_samples", [10, 50])
    def test_normal_width_is_numpys(self, n_samples):
        draws = rng().standard_normal((200_000 // n_samples, n_samples))
        low, high = np.quantile(draws, [0.05, 0.95], axis=1)
        spread = (high - low).std() / len(draws) ** 0.5
        assert bands.normal_width(n_samples) == pytest.approx((high - low).mean(), abs=4 * spread)

    def test_mean_residual_is_that_of_a_loop(self):
        given = evidence()
        found = bands.mean_residual(given.samples, given.targets, 0.05, rng())
        residuals = (given.targets - given.samples.mean(1)).double().mean(0)
        blocks = residuals.unflatten(-1, (4, 2)).mean(-1).unflatten(-2, (4, 2)).mean(-2)
        assert found.value == pytest.approx(float(blocks.square().mean().sqrt()), rel=1e-4)

    def test_bias_has_uniform_p_values_for_an_exact_sampler(self):
        p_values = []
        for seed in range(60):
            given = evidence(seed=seed, n_images=12)
            p_values.append(bands.mean_residual(given.samples, given.targets, 0.05, rng()).p_value)
        assert kstest(p_values, "uniform").pvalue > 0.001

    def test_most_extreme_finds_the_odd_image(self):
        given = evidence(n_samples=20)
        usual = bands.most_extreme(pool_distances(given.samples, given.targets), 0.02)
        assert abs(usual.value) < usual.high
        targets = given.targets.clone()
        targets[5] = 1 - targets[5]
        far = bands.most_extreme(pool_distances(given.samples, targets), 0.02)
        assert far.value > far.high
        targets[5] = given.samples[5].mean(0)
        near = bands.most_extreme(pool_distances(given.samples, targets), 0.02)
        assert near.value < near.low

    def test_most_extreme_is_a_prediction_interval(self):
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(2000, 12, 3, 8, 8, generator=generator)
        p_values = [
            bands.most_extreme(pool_distances(pool[None, 1:], pool[None, 0]), 0.05).p_value
            for pool in noise[:400]
        ]
        assert kstest(p_values, "uniform").pvalue > 0.001

    def test_leak_looks_at_one_side_only(self):
        over = CHECKS["leak"].function(evidence("overdispersed", n_images=48), 0.01)
        under = CHECKS["leak"].function(evidence("underdispersed", n_images=48), 0.01)
        assert over.p_value < 0.01
        assert under.p_value > 0.5


@pytest.mark.parametrize(
    ("name", "check", "expected"),
    [
        ("underdispersed", "width", 0.7),
        ("overdispersed", "width", 1.3),
        ("underdispersed", "spread_skill", 0.7),
        ("overdispersed", "spread_skill", 1.3),
        ("leaking", "spread_skill", 21**0.5),
        ("duplicated_seeds", "duplicates", 12 / 20),
        ("copying", "duplicates", 19 / 20),
        ("collapsed", "width", 0.1),
        ("exact", "coverage", 0.9 * 19 / 21),
        ("leaking", "coverage", 1.0),
    ],
)
def test_value_is_that_of_theory(name, check, expected):
    found = CHECKS[check].function(evidence(name, n_images=96, n_samples=20), 0.01)
    tolerance = 0.35 if check == "duplicates" else 0.05
    assert found.value == pytest.approx(expected, rel=tolerance)
