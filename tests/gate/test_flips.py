"""The sign-flip test agrees with scipy, with every flip tried by itself, and with theory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from invbench.gate.flips import flip_test, sign_flips
from invbench.gate.groups import sum_by_group
from invbench.gate.statistics import holm


def rng(seed=0):
    return np.random.default_rng(seed)


def flips_of(differences, groups=None, **options):
    return flip_test(sum_by_group(differences, groups), generator=rng(), **options)


def studentized(values, axis=-1):
    """The textbook's formula, on the values themselves."""
    n = values.shape[axis]
    return np.sqrt(n) * values.mean(axis=axis) / values.std(axis=axis, ddof=1)


def every_flip(differences, groups):
    """Yield t of every flip of whole photographs, from the definition."""
    names = sorted(set(groups))
    for signs in product([1, -1], repeat=len(names)):
        of_image = np.array([signs[names.index(group)] for group in groups])[:, None]
        flipped = sum_by_group(of_image * differences, groups)
        yield flipped.means / flipped.standard_errors


def by_enumeration(differences, groups):
    """Step-down max-T as it is defined, with every flip in a loop of its own."""
    flips = list(every_flip(differences, groups))
    observed = flips[0]
    order = sorted(range(len(observed)), key=lambda j: -observed[j])
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
        result = flips_of(differences)
        assert result.n_draws == 2**9
        assert result.p[0] == result.p_adjusted[0] == expected
        assert result.t[0] == pytest.approx(studentized(differences[:, 0]))

    @pytest.mark.parametrize("groups", [list("abcdefg"), list("aabbccddefg"), list("aaabcdefffg")])
    @pytest.mark.parametrize("seed", range(2))
    def test_several_agree_with_all_flips_tried_one_by_one(self, groups, seed):
        n = len(groups)
        common = rng(seed).normal(0.3, 1, (n, 1))
        differences = common + rng(seed + 10).standard_exponential((n, 5)) - 0.9
        result = flips_of(differences, groups)
        assert result.n_draws == 2**7
        assert result.p_adjusted == pytest.approx(by_enumeration(differences, groups), abs=1e-12)

    def test_images_of_a_photograph_flip_together(self):
        """Ten copies of five photographs that all got worse are five witnesses, not fifty."""
        differences = np.repeat([[1.0], [1.1], [0.9], [1.2], [1.0]], 10, axis=0)
        assert flips_of(differences, np.repeat(range(5), 10).tolist()).p[0] == 2**-5
        assert flips_of(differences).p[0] < 2**-5

    def test_drawn_flips_agree_with_all_of_them(self):
        differences = rng().normal(0.5, 1, (12, 6))
        exact, drawn = flips_of(differences), flips_of(differences, n_flips=4000)
        assert (exact.n_draws, drawn.n_draws) == (2**12, 4001)
        assert drawn.p_adjusted == pytest.approx(exact.p_adjusted, abs=0.03)
        assert drawn.critical == pytest.approx(exact.critical, rel=0.05)

    def test_the_flip_that_changes_nothing_counts(self):
        drawn = flips_of(np.full((30, 1), 1.0) + rng().normal(0, 0.1, (30, 1)))
        assert drawn.p[0] == 1 / 10_001

    def test_adjusted_lies_between_alone_and_holm(self):
        result = flips_of(rng().normal(0.3, 1, (12, 20)))
        assert (result.p_adjusted >= result.p).all()
        assert (result.p_adjusted <= holm(result.p) + 1e-12).all()
        assert (result.p_adjusted < holm(result.p)).any()

    def test_copies_of_a_hypothesis_cost_nothing(self):
        differences = rng().normal(0.5, 1, (10, 1))
        alone, copies = flips_of(differences), flips_of(np.repeat(differences, 50, axis=1))
        assert copies.p_adjusted == pytest.approx(np.full(50, alone.p[0]))

    def test_scale_does_not_matter_and_direction_does(self):
        differences = rng().normal(0.6, 1, (10, 3))
        result = flips_of(differences)
        assert flips_of(differences * [1e-9, 1.0, 1e9]).p_adjusted == pytest.approx(
            result.p_adjusted
        )
        assert (flips_of(-differences).p > 0.5).any()

    def test_rows_that_lack_units_are_tested_on_those_they_have(self):
        differences = rng().normal(0.4, 1, (12, 2))
        holes = np.vstack([differences, np.full((1, 2), np.nan)])
        holes[:3, 1] = np.nan
        result = flips_of(holes)
        assert result.p[0] == flips_of(differences[:, :1]).p[0]
        assert result.p[1] == pytest.approx(flips_of(differences[3:, 1:]).p[0])

    def test_no_difference_is_no_evidence(self):
        differences = np.zeros((12, 3))
        differences[:, 1] = rng().normal(1, 0.2, 12)
        result = flips_of(differences)
        assert result.p.tolist() == [1, 2**-12, 1]
        assert result.p_adjusted.tolist() == [1, 2**-12, 1]
        assert result.family_size == 1
        nothing = flips_of(np.zeros((5, 2)))
        assert (nothing.family_size, nothing.p.tolist()) == (0, [1, 1])

    @pytest.mark.parametrize("groups", [list("abcdefghijkl"), list("aabcdefghijk")])
    def test_equal_differences_are_the_extreme_flip(self, groups):
        result = flips_of(np.full((12, 1), 1e-7), groups)
        assert result.p[0] == 2.0 ** -len(set(groups))
        assert np.isfinite(result.t[0])

    def test_ties_count_as_reached(self):
        # every flip of four equal and two opposite differences that leaves the mean is a tie
        differences = np.array([[1.0], [1], [1], [1], [-1], [-1]]) / 3
        assert flips_of(differences).p[0] == pytest.approx((1 + 6 + 15) / 64)

    @pytest.mark.parametrize("alpha", [0.03, 0.05, 0.2])
    def test_critical_is_exceeded_by_less_than_alpha_of_the_flips(self, alpha):
        differences = rng(3).normal(0.2, 1, (8, 4))
        critical = flips_of(differences, alpha=alpha).critical
        maxima = np.array([max(t) for t in every_flip(differences, list(range(8)))])
        assert np.mean(maxima > critical + 1e-9) < alpha <= np.mean(maxima > critical - 1e-9)

    def test_false_alarms_of_a_family_keep_to_alpha_and_single_tests_do_not(self):
        family, single = 0, 0
        for seed in range(200):
            noise = rng(seed).standard_exponential((2, 20, 72))
            result = flips_of(noise[0] - noise[1], n_flips=500)
            family += result.p_adjusted.min() < 0.05
            single += result.p.min() < 0.05
        assert binomtest(family, 200).proportion_ci(0.95, "exact").low <= 0.05
        assert single > 180


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
