"""The bootstrap agrees with resamples drawn in a loop, and keeps to its rate under skewness."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from invbench.gate.flips import flip_test
from invbench.gate.groups import sum_by_group
from invbench.gate.resampling import resample_test, studentized_resamples


def rng(seed=0):
    return np.random.default_rng(seed)


def resampled(differences, groups=None, **options):
    return resample_test(sum_by_group(differences, groups), generator=rng(), **options)


def mostly_a_little_worse(seed, shape):
    """Draw skewed differences of mean zero: most a little above, few far below."""
    return np.exp(0.32) - np.exp(0.8 * rng(seed).standard_normal(shape))


def test_each_resample_is_the_t_of_the_photographs_drawn():
    groups = list("aabcccddefgh")
    values = rng().exponential(1, (12, 3))
    sums = sum_by_group(values, groups)
    found = studentized_resamples(sums, generator=rng(5), n_resamples=20)
    drawn = rng(5).multinomial(8, np.full(8, 1 / 8), 20)
    names = sorted(set(groups))
    for weights, t in zip(drawn, found, strict=True):
        rows, labels = [], []
        for copy, name in enumerate(np.repeat(names, weights)):
            own = values[[group == name for group in groups]]
            rows.append(own)
            labels += [copy] * len(own)
        one = sum_by_group(np.concatenate(rows), labels)
        assert t == pytest.approx((one.means - values.mean(axis=0)) / one.standard_errors)


def test_a_resample_of_equal_photographs_has_the_floor_s_spread():
    values = np.array([[0.0], [0.0], [0.0], [0.0], [4.0]])
    found = studentized_resamples(sum_by_group(values), generator=rng(), n_resamples=500)
    spread = values.std() * 5**0.5  # root of the sum of squares
    expected = -5 * 0.8 / np.sqrt(5 / 4) / (0.03 * spread)
    assert found.min() == pytest.approx(expected)


def test_p_counts_the_sample_itself_and_the_resamples_that_reach_it():
    values = rng(1).normal(0.5, 1, (12, 1))
    sums = sum_by_group(values)
    draws = studentized_resamples(sums, generator=rng(), n_resamples=999)
    t = sums.means / sums.standard_errors
    found = resampled(values, n_resamples=999).test
    assert found.p[0] == pytest.approx((1 + (draws >= t).sum()) / 1000)
    assert found.t == pytest.approx(t)


def test_images_of_a_photograph_are_drawn_together():
    values = np.repeat(rng(2).normal(0.4, 1, (10, 1)), 8, axis=0)
    together = resampled(values, np.repeat(range(10), 8).tolist())
    once = resampled(values[::8])
    assert together.test.p_adjusted == pytest.approx(once.test.p_adjusted)
    assert together.intervals == pytest.approx(once.intervals)
    assert resampled(values).test.p[0] < 0.2 * once.test.p[0]


def test_a_family_is_adjusted_for_its_size_and_copies_cost_nothing():
    values = rng(3).normal(0.6, 1, (12, 1))
    alone = resampled(values).test
    copies = resampled(np.repeat(values, 30, axis=1)).test
    others = resampled(np.hstack([values, rng(4).normal(0, 1, (12, 30))])).test
    assert copies.p_adjusted == pytest.approx(np.full(30, alone.p[0]))
    assert others.p_adjusted[0] > 3 * alone.p[0]


def test_skewness_does_not_alarm_it_as_it_does_the_sign_flips():
    alarms = np.zeros(2)
    for seed in range(120):
        groups = sum_by_group(mostly_a_little_worse(seed, (20, 60)))
        flips = flip_test(groups, generator=rng(seed), n_flips=500)
        found = resample_test(groups, generator=rng(seed), n_resamples=500).test
        alarms += [flips.p_adjusted.min() < 0.05, found.p_adjusted.min() < 0.05]
    assert alarms[0] > 40
    assert binomtest(int(alarms[1]), 120).proportion_ci(0.95, "exact").low <= 0.05


class TestIntervals:
    def test_they_are_the_wider_of_student_s_and_the_bootstrap_s(self):
        values = rng().exponential(1, (15, 4))
        sums = sum_by_group(values)
        draws = studentized_resamples(sums, generator=rng())
        low, high = resampled(values).intervals.T
        usual = student.ppf(0.975, 14)
        upper = np.maximum(usual, -np.quantile(draws, 0.025, axis=0))
        lower = np.maximum(usual, np.quantile(draws, 0.975, axis=0))
        assert high == pytest.approx(sums.means + upper * sums.standard_errors)
        assert low == pytest.approx(sums.means - lower * sums.standard_errors)

    @pytest.mark.parametrize("seed", range(2))
    def test_the_upper_end_is_rarely_below_the_mean(self, seed):
        """Few much worse, the hard direction: a loss of just the tolerance must not pass."""
        values = -mostly_a_little_worse(seed, (20, 2000))
        assert np.mean(resampled(values, n_resamples=999).intervals[:, 1] < 0) < 0.075
        usual = student.ppf(0.975, 19) * values.std(axis=0, ddof=1) / 20**0.5
        assert np.mean(values.mean(axis=0) + usual < 0) > 0.08  # Student's alone would

    def test_equal_differences_have_no_width_and_are_evidence(self):
        found = resampled(np.full((9, 1), 0.1), list("aabcdefgh"))
        assert found.intervals == pytest.approx(np.array([[0.1, 0.1]]))
        assert found.test.p[0] == 1 / 10_000
        nothing = resampled(np.zeros((9, 1)))
        assert (nothing.test.p[0], nothing.intervals.tolist()) == (1, [[0, 0]])

    def test_columns_of_other_photographs_are_resampled_over_their_own(self):
        values = rng().normal(0, 1, (10, 2))
        padded = np.full((14, 2), np.nan)
        padded[:10, 0], padded[4:, 1] = values[:, 0], values[:, 1]
        expected = resampled(values).intervals
        assert resampled(padded).intervals == pytest.approx(expected, rel=0.25)
