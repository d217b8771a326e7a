"""Error rates that can be kept, and what so many photographs would find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nct, norm, t

from invbench.gate.flips import flip_test
from invbench.gate.groups import sum_by_group
from invbench.gate.resampling import resample_test
from invbench.gate.statistics import (
    InvalidAlphaError,
    attainable_p,
    both_tests,
    check_alpha,
    holm,
    minimum_detectable_effect,
    photographs_needed,
)


class TestAlpha:
    @pytest.mark.parametrize("alpha", [0, 1, 2, 5, -0.1, float("nan")])
    def test_what_is_no_probability_is_named(self, alpha):
        with pytest.raises(InvalidAlphaError, match=r"such as 0\.05"):
            check_alpha(alpha)

    def test_what_no_loss_could_be_shown_at_is_refused(self):
        with pytest.raises(InvalidAlphaError, match="nothing could be shown"):
            check_alpha(0.001)
        check_alpha(0.002)
        check_alpha(0.5)

    def test_few_photographs_reach_only_so_far(self):
        assert attainable_p(8) == 1 / 256
        assert attainable_p(30) == 1 / 10_001


class TestBoth:
    def test_both_have_to_reject_the_bootstrap_at_a_tenth_of_the_rate(self):
        groups = sum_by_group(np.random.default_rng(1).normal(0.6, 1, (14, 6)))
        found = both_tests(groups, alpha=0.05, seed=3)
        flips = flip_test(groups, generator=np.random.default_rng(3)).p_adjusted
        resamples = resample_test(groups, generator=np.random.default_rng(3), alpha=0.1 * 0.05).test
        expected = np.maximum(flips, np.minimum(10 * resamples.p_adjusted, 1))
        assert found.p == pytest.approx(expected)
        assert (10 * resamples.p_adjusted > flips).any()
        assert found.critical == max(found.flipped.critical, resamples.critical)

    def test_few_skewed_differences_alarm_it_in_five_percent_at_most(self):
        """One row of nine photographs: the bootstrap at its own 5 % alarms in 8 %."""
        alarms = np.zeros(2)
        for seed in range(400):
            draws = np.exp(0.32) - np.exp(0.8 * np.random.default_rng(seed).standard_normal((9, 1)))
            found = both_tests(sum_by_group(draws), alpha=0.05, n_resamples=2000, n_flips=600)
            alarms += [found.p[0] < 0.05, found.resampled.test.p[0] < 0.05]
        assert alarms[0] <= 20
        assert alarms[1] > 30


class TestEffect:
    @pytest.mark.parametrize("n", [2, 12, 48, 300])
    @pytest.mark.parametrize("critical", [1.7, 4.4])
    def test_it_is_found_with_the_power_asked_for(self, n, critical):
        effect = minimum_detectable_effect(1.0, n, critical=critical, power=0.8)
        assert nct.sf(critical, n - 1, effect) == pytest.approx(0.8, abs=1e-5)

    def test_it_is_found_as_often_in_a_simulation(self):
        n, critical = 12, t.ppf(0.999, 11)
        effect = minimum_detectable_effect(1 / n**0.5, n, critical=critical)
        draws = np.random.default_rng(0).normal(effect, 1, (20_000, n))
        found = np.sqrt(n) * draws.mean(axis=1) / draws.std(axis=1, ddof=1)
        assert np.mean(found > critical) == pytest.approx(0.8, abs=0.01)

    def test_it_grows_with_the_standard_error(self):
        effects = minimum_detectable_effect([0.0, 1.0, 2.0], [12, 12, 12], critical=3.0)
        assert effects[0] == 0
        assert effects[2] == pytest.approx(2 * effects[1])


def test_so_many_photographs_tell_two_means_apart():
    n = photographs_needed(spread=2.0, distance=1.0, critical=3.0)
    assert norm.sf(3.0 - n**0.5 / 2) >= 0.8 > norm.sf(3.0 - (n - 1) ** 0.5 / 2)


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []
