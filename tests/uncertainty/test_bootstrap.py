"""Bootstrap intervals over images: their coverage, groups, and functions of means."""

import math

import numpy as np
import pytest

from invbench.uncertainty import bootstrap_over_images
from invbench.uncertainty.errors import InvalidLevelError, InvalidLossesError, InvalidSplitError


def rng(seed=0):
    return np.random.default_rng(seed)


def estimate(values, groups=None, seed=0, **options):
    return bootstrap_over_images(values, groups, generator=rng(seed), **options)


def test_value_is_the_plain_mean():
    values = rng(1).normal(size=30)
    assert estimate(values).value == pytest.approx(values.mean())
    assert estimate(values).n == 30


def test_interval_is_that_of_the_normal_theory_for_normal_values():
    values = rng(1).normal(size=400)
    result = estimate(values)
    half = 1.96 * values.std() / 20
    assert result.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert result.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(150):
        result = estimate(rng(seed).exponential(size=40), seed=seed)
        covered += result.low <= 1 <= result.high
    assert 0.87 <= covered / 150 <= 0.99


def test_copies_within_a_group_add_no_information():
    values = rng(1).normal(size=20)
    alone = estimate(values)
    copied = estimate(np.repeat(values, 10), np.repeat(np.arange(20), 10))
    careless = estimate(np.repeat(values, 10))
    assert copied.n == 20
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    assert careless.high - careless.low < 0.5 * (alone.high - alone.low)


def test_groups_of_unequal_size_weigh_by_their_images():
    result = estimate([1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"])
    assert result.value == pytest.approx(2)
    assert result.n == 2


def test_functions_of_several_means_are_taken_after_averaging():
    variance, error = rng(1).gamma(2, size=(2, 50))
    result = estimate(np.stack([variance, error], axis=1), statistic=lambda v, e: np.sqrt(v / e))
    assert result.value == pytest.approx(math.sqrt(variance.mean() / error.mean()))
    assert result.low < result.value < result.high


def test_levels_nest():
    values = rng(1).normal(size=50)
    inner, outer = estimate(values, level=0.8), estimate(values, level=0.99)
    assert outer.low < inner.low < inner.high < outer.high


def test_equal_values_have_no_width():
    result = estimate(np.full(12, 0.25))
    assert (result.low, result.value, result.high) == (0.25, 0.25, 0.25)


def test_repeats_with_the_seed():
    values = rng(1).normal(size=30)
    assert estimate(values) == estimate(values)
    assert estimate(values).low != estimate(values, seed=1).low


def test_refuses_what_has_no_interval():
    with pytest.raises(InvalidSplitError):
        estimate([0.5])
    with pytest.raises(InvalidSplitError):
        estimate([0.5, 0.6], ["a", "a"])
    with pytest.raises(InvalidSplitError):
        estimate([0.5, 0.6], ["a", "b", "c"])
    with pytest.raises(InvalidLossesError):
        estimate([0.5, math.nan])
    with pytest.raises(InvalidLevelError):
        estimate([0.5, 0.6], level=95)


def test_a_statistic_that_no_image_moves_has_no_width():
    values = np.stack([np.zeros(6), np.arange(6.0)], axis=1)
    found = bootstrap_over_images(
        values, generator=np.random.default_rng(0), statistic=lambda a, b: np.sqrt(a / (b + 1))
    )
    assert (found.value, found.low, found.high) == (0, 0, 0)
