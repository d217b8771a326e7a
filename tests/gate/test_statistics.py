"""Tests of many hypotheses agree with scipy, with every flip tried by itself, and with theory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, nct, permutation_test, t

from invbench.gate.statistics import (
    InvalidAlphaError,
    InvalidDifferencesError,
    holm,
    max_t,
    mean_intervals,
    minimum_detectable_effect,
    sign_flips,
    standard_errors,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def studentized(values, axis=-1):
    """The textbook's formula, on the values themselves."""
    n = values.shape[axis]
    return np.sqrt(n) * values.mean(axis=axis) / values.std(axis=axis, ddof=1)


def by_enumeration(differences):
    """Step-down max-T as it is defined, with every flip in a loop of its own."""
    observed = studentized(differences, axis=0)
    order = sorted(range(len(observed)), key=lambda j: -observed[j])
    flips = [
        studentized(np.array(signs)[:, None] * differences, axis=0)
        for signs in product([1, -1], repeat=len(differences))
    ]
    adjusted, so_far = np.empty(len(observed)), 0.0
    for rank, j in enumerate(order):
        rest = order[rank:]
        share = np.mean([max(flip[rest]) >= observed[j] - 1e-9 for flip in flips])
        so_far = max(so_far, share)
        adjusted[j] = so_far
    return adjusted


class TestMaxT:
    def test_one_hypothesis_agrees_with_scipy(self):
        differences = rng().normal(0.4, 1, (9, 1))
        expected = permutation_test(
            (differences[:, 0],),
            studentized,
            permutation_type="samples",
            alternative="greater",
            n_resamples=np.inf,
        ).pvalue
        result = max_t(differences, generator=rng())
        assert result.exact
        assert result.p[0] == result.p_adjusted[0] == expected
        assert result.t[0] == pytest.approx(studentized(differences[:, 0]))

    @pytest.mark.parametrize("seed", range(4))
    def test_several_agree_with_all_flips_tried_one_by_one(self, seed):
        common = rng(seed).normal(0.3, 1, (7, 1))
        differences = common + rng(seed + 10).standard_exponential((7, 5)) - 0.9
        result = max_t(differences, generator=rng())
        assert result.n_flips == 2**7
        assert result.p_adjusted == pytest.approx(by_enumeration(differences), abs=1e-12)

    def test_drawn_flips_agree_with_all_of_them(self):
        differences = rng().normal(0.5, 1, (12, 6))
        exact = max_t(differences, generator=rng())
        drawn = max_t(differences, generator=rng(), n_flips=4000)
        assert (exact.exact, drawn.exact, drawn.n_flips) == (True, False, 4001)
        assert drawn.p_adjusted == pytest.approx(exact.p_adjusted, abs=0.03)
        assert drawn.critical == pytest.approx(exact.critical, rel=0.05)

    def test_the_flip_that_changes_nothing_counts(self):
        drawn = max_t(np.full((30, 1), 1.0) + rng().normal(0, 0.1, (30, 1)), generator=rng())
        assert drawn.p[0] == 1 / 10_001

    def test_adjusted_lies_between_alone_and_holm(self):
        differences = rng().normal(0.3, 1, (12, 20))
        result = max_t(differences, generator=rng())
        assert (result.p_adjusted >= result.p).all()
        assert (result.p_adjusted <= holm(result.p) + 1e-12).all()
        assert (result.p_adjusted < holm(result.p)).any()

    def test_copies_of_a_hypothesis_cost_nothing(self):
        differences = rng().normal(0.5, 1, (10, 1))
        alone = max_t(differences, generator=rng())
        copies = max_t(np.repeat(differences, 50, axis=1), generator=rng())
        assert copies.p_adjusted == pytest.approx(np.full(50, alone.p[0]))

    def test_scale_does_not_matter_and_direction_does(self):
        differences = rng().normal(0.6, 1, (10, 3))
        result = max_t(differences, generator=rng())
        scaled = max_t(differences * [1e-9, 1.0, 1e9], generator=rng())
        assert scaled.p_adjusted == pytest.approx(result.p_adjusted)
        assert (max_t(-differences, generator=rng()).p > 0.5).any()

    def test_rows_that_lack_units_are_tested_on_those_they_have(self):
        differences = rng().normal(0.4, 1, (12, 2))
        holes = np.vstack([differences, np.full((1, 2), np.nan)])
        holes[:3, 1] = np.nan
        result = max_t(holes, generator=rng())
        assert result.p[0] == max_t(differences[:, :1], generator=rng()).p[0]
        assert result.p[1] == pytest.approx(max_t(differences[3:, 1:], generator=rng()).p[0])

    def test_no_difference_is_no_evidence(self):
        differences = np.zeros((12, 3))
        differences[:, 1] = rng().normal(1, 0.2, 12)
        result = max_t(differences, generator=rng())
        assert result.p.tolist() == [1, 2**-12, 1]
        assert result.p_adjusted.tolist() == [1, 2**-12, 1]
        assert result.family_size == 1
        nothing = max_t(np.zeros((5, 2)), generator=rng())
        assert (nothing.family_size, nothing.p.tolist()) == (0, [1, 1])

    def test_equal_differences_are_the_extreme_flip(self):
        result = max_t(np.full((12, 1), 1e-7), generator=rng())
        assert result.p[0] == 2**-12
        assert np.isfinite(result.t[0])

    def test_ties_count_as_reached(self):
        # every flip of four equal and two opposite differences that leaves the mean is a tie
        differences = np.array([[1.0], [1], [1], [1], [-1], [-1]]) / 3
        assert max_t(differences, generator=rng()).p[0] == pytest.approx((1 + 6 + 15) / 64)

    @pytest.mark.parametrize("alpha", [0.03, 0.05, 0.2])
    def test_critical_is_exceeded_by_less_than_alpha_of_the_flips(self, alpha):
        differences = rng(3).normal(0.2, 1, (8, 4))
        critical = max_t(differences, generator=rng(), alpha=alpha).critical
        maxima = np.array(
            [
                studentized(np.array(signs)[:, None] * differences, axis=0).max()
                for signs in product([1, -1], repeat=8)
            ]
        )
        assert np.mean(maxima > critical + 1e-9) < alpha <= np.mean(maxima > critical - 1e-9)

    def test_false_alarms_of_a_family_keep_to_alpha_and_single_tests_do_not(self):
        family, single = 0, 0
        for seed in range(200):
            noise = rng(seed).standard_exponential((2, 20, 72))
            result = max_t(noise[0] - noise[1], generator=rng(seed), n_flips=500)
            family += result.p_adjusted.min() < 0.05
            single += result.p.min() < 0.05
        assert binomtest(family, 200).proportion_ci(0.95, "exact").low <= 0.05
        assert single > 180

    @pytest.mark.parametrize(
        "differences",
        [[1.0, 2.0], [[1.0]], [[1.0], [np.inf]], [[1.0, 1.0], [1.0, np.nan]]],
        ids=["one axis", "one unit", "infinite", "one unit of a hypothesis"],
    )
    def test_bad_tables_are_named(self, differences):
        with pytest.raises(InvalidDifferencesError):
            max_t(differences, generator=rng())

    @pytest.mark.parametrize("alpha", [0, 1, 5, -0.1])
    def test_bad_rates_are_named(self, alpha):
        with pytest.raises(InvalidAlphaError, match=r"such as 0\.05"):
            max_t([[1.0], [2.0]], generator=rng(), alpha=alpha)


class TestFlips:
    def test_all_flips_are_different_and_the_first_changes_nothing(self):
        signs = np.concatenate(list(sign_flips(11, 10_000, rng())))
        assert signs.shape == (2048, 11)
        assert len(np.unique(signs, axis=0)) == 2048
        assert (signs[0] == 1).all()

    def test_drawn_flips_are_fair_and_come_in_chunks(self):
        chunks = list(sign_flips(40, 3000, rng()))
        signs = np.concatenate(chunks)
        assert signs.shape == (3001, 40)
        assert max(map(len, chunks)) <= 1024
        assert set(np.unique(signs)) == {-1.0, 1.0}
        assert np.abs(signs.mean(axis=0)).max() < 5 / 3001**0.5


class TestIntervals:
    def test_they_are_scipys_of_each_column(self):
        values = rng().standard_exponential((16, 3))
        found = mean_intervals(values, generator=rng(1))
        for column in range(3):
            expected = bootstrap(
                (values[:, column],), np.mean, n_resamples=4999, random_state=rng(1)
            ).confidence_interval
            assert found[column] == pytest.approx([expected.low, expected.high], rel=0.02)

    def test_they_cover(self):
        values = rng().normal(1.0, 1, (40, 1000))
        low, high = mean_intervals(values, generator=rng(), n_resamples=999).T
        assert np.mean((low <= 1) & (high >= 1)) == pytest.approx(0.94, abs=0.03)

    def test_columns_of_other_units_are_resampled_over_their_own(self):
        values = rng().normal(0, 1, (10, 2))
        padded = np.full((14, 2), np.nan)
        padded[:10, 0], padded[4:, 1] = values[:, 0], values[:, 1]
        found = mean_intervals(padded, generator=rng())
        expected = mean_intervals(values, generator=rng())
        assert found == pytest.approx(expected, abs=0.15)

    def test_equal_values_have_no_width(self):
        assert mean_intervals([[0.1], [0.1], [0.1]], generator=rng()).tolist() == [
            pytest.approx([0.1, 0.1])
        ]
        assert mean_intervals(np.zeros((3, 1)), generator=rng()).tolist() == [[0, 0]]

    def test_two_values_are_enough(self):
        low, high = mean_intervals([[0.0], [1.0]], generator=rng())[0]
        assert 0 <= low <= 0.5 <= high <= 1


class TestEffect:
    @pytest.mark.parametrize("n", [2, 12, 48, 300])
    @pytest.mark.parametrize("critical", [1.7, 4.4])
    def test_it_is_found_with_the_power_asked_for(self, n, critical):
        effect = minimum_detectable_effect(1.0, n, critical=critical, power=0.8)
        assert nct.sf(critical, n - 1, effect) == pytest.approx(0.8, abs=1e-5)

    def test_it_is_found_as_often_in_a_simulation(self):
        n, critical = 12, t.ppf(0.999, 11)
        effect = minimum_detectable_effect(1 / n**0.5, n, critical=critical)
        draws = rng().normal(effect, 1, (20_000, n))
        assert np.mean(studentized(draws) > critical) == pytest.approx(0.8, abs=0.01)

    def test_it_grows_with_the_standard_error(self):
        effects = minimum_detectable_effect([0.0, 1.0, 2.0], [12, 12, 12], critical=3.0)
        assert effects[0] == 0
        assert effects[2] == pytest.approx(2 * effects[1])


def test_standard_errors_are_the_textbooks():
    values = rng().normal(0, 1, (9, 2))
    expected = values.std(axis=0, ddof=1) / 3
    assert standard_errors(values) == pytest.approx(expected)


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []
