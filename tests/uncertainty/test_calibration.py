"""Calibration against brute force and its own definitions."""

import math

import numpy as np
import pytest
import torch

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.uncertainty import (
    Additive,
    Conffusion,
    RiskCurve,
    calibrate,
    crc,
    hoeffding_bentkus,
    im2im_published,
    interval,
    largest_acceptable_risk,
    rcps_hb,
    rcps_wsr,
    risk_curve,
    split_conformal_entry,
    split_conformal_image,
    uncertified,
    wsr,
)
from invbench.uncertainty.errors import (
    InvalidLevelError,
    InvalidLossesError,
    MissingGeneratorError,
)

CERTIFYING = {
    "rcps_hb": 22,
    "rcps_wsr": 25,
    "crc": 9,
    "split_conformal_image": 9,
    "split_conformal_entry": 9,
}


def rng(seed=0):
    return np.random.default_rng(seed)


def draw_factors(n_images, seed=0, n_entries=192):
    generator = rng(seed)
    spread = np.exp(0.5 * generator.standard_normal((n_images, 1)))
    common = generator.standard_normal((n_images, 1))
    own = generator.standard_normal((n_images, n_entries))
    return spread * np.abs(0.5**0.5 * common + 0.5**0.5 * own)


def curve_of(n_images, seed=0):
    return risk_curve(draw_factors(n_images, seed), scaling="additive")


class TestRiskCurve:
    def test_losses_are_the_share_of_entries_that_scaled_intervals_miss(self):
        generator = torch.Generator().manual_seed(0)
        target = torch.rand(5, 3, 4, 4, generator=generator)
        samples = (target[:, None] + 0.2 * torch.randn(5, 20, 3, 4, 4, generator=generator)).clamp(
            0, 1
        )
        intervals = interval(samples)
        for scaling in (Additive(samples.mean(1)), Conffusion()):
            needed = scaling.needed_factors(intervals, target)
            curve = risk_curve(needed, scaling=scaling.name)
            for factor in (0.93, 1.07, 1.71):
                missed = ~scaling.scaled(intervals, factor).covers(target)
                expected = missed.double().mean((1, 2, 3)).numpy()
                assert np.abs(curve.losses(factor) - expected).max() < 1e-12

    def test_losses_never_grow_with_the_factor(self):
        losses = curve_of(7).losses_at(np.linspace(0, 5, 50))
        assert losses.shape == (50, 7)
        assert (np.diff(losses, axis=0) <= 0).all()

    def test_losses_at_many_factors_are_those_at_each(self):
        curve = curve_of(7)
        several = curve.losses_at([0.5, 1.0, 3.0])
        assert np.allclose(several[1], curve.losses(1.0), rtol=0, atol=1e-15)

    def test_an_infinite_factor_misses_nothing(self):
        curve = risk_curve([[1.0, math.inf], [math.inf, math.inf]], scaling="conffusion")
        assert curve.losses(1e30).tolist() == [0.5, 1.0]
        assert curve.losses(math.inf).tolist() == [0.0, 0.0]
        assert curve.smallest_factor(0.7) == math.inf

    @pytest.mark.parametrize("risk", [0.0, 0.01, 0.1, 0.5, 0.999, 1.0])
    def test_smallest_factor_is_an_order_statistic_of_all_entries(self, risk):
        factors = draw_factors(6).astype(np.float32)
        pooled = np.append(0, np.sort(factors.ravel()))
        n_missable = math.floor(risk * factors.size + 1e-9)
        expected = pooled[len(pooled) - 1 - n_missable]
        assert risk_curve(factors, scaling="additive").smallest_factor(risk) == expected

    def test_groups_are_merged_into_one_unit(self):
        factors = draw_factors(4)
        merged = risk_curve(factors, scaling="additive").select([0, 1, 3], ["a", "b", "b", "a"])
        assert len(merged) == 2
        expected = (factors[[0, 3]] > 1).mean()
        assert merged.losses(1.0).tolist() == [
            pytest.approx(expected),
            pytest.approx((factors[1] > 1).mean()),
        ]

    def test_refuses_to_select_nothing(self):
        with pytest.raises(InvalidLossesError, match="no image"):
            curve_of(3).select([])

    def test_refuses_nan_and_single_rows(self):
        for factors in ([[0.1, math.nan]], [[-0.1, 0.2]], [0.1, 0.2], np.zeros((0, 3))):
            with pytest.raises(InvalidLossesError):
                risk_curve(factors, scaling="additive")


class TestEveryMethod:
    @pytest.mark.parametrize(("method", "needed"), CERTIFYING.items())
    def test_says_how_many_images_it_needs(self, method, needed):
        perfect = np.zeros((needed, 10))
        enough = calibrate(risk_curve(perfect, scaling="additive"), method=method, generator=rng())
        assert enough.certified
        assert enough.reason == ""
        assert enough.images_needed == needed
        few = calibrate(risk_curve(perfect[1:], scaling="additive"), method=method, generator=rng())
        assert not few.certified
        assert few.reason == "n too small"
        assert few.lambda_hat == math.inf
        assert few.images_needed == needed

    @pytest.mark.parametrize("method", CERTIFYING)
    def test_returns_the_smallest_factor_for_risk_zero(self, method):
        result = calibrate(
            risk_curve(np.zeros((40, 10)), scaling="additive"), method=method, generator=rng()
        )
        assert result.lambda_hat == 0
        assert result.empirical_risk == 0
        assert result.certified

    @pytest.mark.parametrize("method", CERTIFYING)
    @pytest.mark.parametrize("family", ["additive", "conffusion"])
    def test_does_not_certify_identical_samples(self, method, family):
        generator = torch.Generator().manual_seed(0)
        target = torch.rand(60, 3, 4, 4, generator=generator)
        samples = (target + 0.1).clamp(max=1)[:, None].repeat(1, 20, 1, 1, 1)
        samples[:, :, :, 0] = 0
        scaling = Additive(samples.mean(1)) if family == "additive" else Conffusion()
        needed = scaling.needed_factors(interval(samples), target)
        result = calibrate(risk_curve(needed, scaling=family), method=method, generator=rng())
        assert not result.certified
        assert result.reason == "degenerate interval"

    @pytest.mark.parametrize("method", CERTIFYING)
    def test_certifies_what_its_bound_confirms(self, method):
        result = calibrate(curve_of(60), method=method, generator=rng())
        limit = result.delta if method == "split_conformal_image" else result.alpha
        assert result.certified
        assert result.empirical_risk <= result.bound <= limit + 1e-12 or "conformal" in method
        assert result.n == 60
        assert result.scaling == "additive"

    @pytest.mark.parametrize("method", [*CERTIFYING, "uncertified"])
    def test_ignores_where_pixels_stand(self, method):
        factors = draw_factors(50)
        shuffled = rng(1).permuted(factors, axis=1)
        first, second = (
            calibrate(risk_curve(f, scaling="additive"), method=method, generator=rng(2))
            for f in (factors, shuffled)
        )
        assert first == second

    @pytest.mark.parametrize("method", ["rcps_hb", "crc", "split_conformal_image"])
    def test_ignores_the_order_of_images(self, method):
        factors = draw_factors(50)
        first, second = (
            calibrate(risk_curve(f, scaling="additive"), method=method)
            for f in (factors, factors[::-1])
        )
        assert first.lambda_hat == second.lambda_hat

    @pytest.mark.parametrize("method", ["rcps_wsr", "split_conformal_entry"])
    def test_that_draws_at_random_needs_a_generator(self, method):
        with pytest.raises(MissingGeneratorError, match="default_rng"):
            calibrate(curve_of(30), method=method)
        first, second = (calibrate(curve_of(30), method=method, generator=rng(3)) for _ in range(2))
        assert first == second

    def test_has_a_name_that_is_checked(self):
        with pytest.raises(UnknownNameError, match="rcps_hb"):
            calibrate(curve_of(30), method="rcps")

    def test_has_levels_within_the_open_interval(self):
        for method in (rcps_hb, crc, split_conformal_image, uncertified, im2im_published):
            for levels in ({"alpha": 0.0}, {"alpha": 10.0}, {"delta": 1.0}):
                with pytest.raises(InvalidLevelError):
                    method(curve_of(30), **levels)

    def test_is_fed_by_factors_that_refuse_nan(self):
        target = torch.full((2, 3, 4, 4), torch.nan)
        with pytest.raises(InvalidImagesError, match="NaN"):
            Conffusion().needed_factors(interval(torch.rand(2, 20, 3, 4, 4)), target)


class TestRcps:
    def test_hb_equals_a_scan_of_a_fine_grid_with_real_intervals(self):
        generator = torch.Generator().manual_seed(0)
        target = 0.3 + 0.4 * torch.rand(40, 1, 6, 6, generator=generator)
        noise = 0.05 * torch.randn(40, 20, 1, 6, 6, generator=generator)
        samples = (target + 0.07 * torch.randn(40, 1, 1, 1, generator=generator))[:, None] + noise
        samples = samples.clamp(0, 1)
        intervals = interval(samples)
        scaling = Additive(samples.mean(1))
        result = rcps_hb(
            risk_curve(scaling.needed_factors(intervals, target), scaling=scaling.name)
        )
        step = 0.01
        factor = 8.0
        while True:
            risk = 1 - scaling.scaled(intervals, factor - step).covers(target).double().mean()
            if hoeffding_bentkus(float(risk), 40, 0.1) > 0.1:
                break
            factor -= step
        assert factor - step < result.lambda_hat <= factor

    def test_hb_uses_up_the_acceptable_risk(self):
        curve = curve_of(50)
        result = rcps_hb(curve)
        limit = largest_acceptable_risk(50, 0.1, 0.1)
        assert limit - 1 / (50 * 192) <= result.empirical_risk <= limit
        assert result.bound == pytest.approx(hoeffding_bentkus(result.empirical_risk, 50, 0.1))

    def test_wsr_stops_at_its_first_failure(self):
        curve = curve_of(50)
        result = rcps_wsr(curve, generator=rng(4))
        order = rng(4).permutation(50)
        assert wsr(curve.losses(result.lambda_hat)[order], 0.1) == result.bound <= 0.1
        assert wsr(curve.losses(result.lambda_hat / 1.0021)[order], 0.1) > 0.1

    def test_wsr_is_less_conservative_than_hb(self):
        curve = curve_of(100)
        assert rcps_wsr(curve, generator=rng()).lambda_hat < rcps_hb(curve).lambda_hat

    def test_wsr_may_change_with_the_order_of_images(self):
        curve = curve_of(50)
        factors = {rcps_wsr(curve, generator=rng(seed)).lambda_hat for seed in range(5)}
        assert len(factors) > 1

    def test_tighter_demands_give_wider_intervals(self):
        curve = curve_of(200)
        base = rcps_hb(curve).lambda_hat
        assert rcps_hb(curve, alpha=0.05).lambda_hat > base
        assert rcps_hb(curve, delta=0.01).lambda_hat > base


class TestConformal:
    def test_crc_is_the_smallest_factor_that_meets_its_inequality(self):
        curve = curve_of(50)
        result = crc(curve)
        assert result.bound == pytest.approx((50 * result.empirical_risk + 1) / 51)
        assert result.bound <= 0.1
        just_below = np.nextafter(np.float32(result.lambda_hat), np.float32(0))
        assert (50 * curve.losses(just_below).mean() + 1) / 51 > 0.1

    def test_image_level_takes_a_high_quantile_of_image_scores(self):
        factors = draw_factors(50).astype(np.float32)
        scores = [np.sort(row)[192 - 1 - 19] for row in factors]
        result = split_conformal_image(risk_curve(factors, scaling="additive"))
        assert result.lambda_hat == sorted(scores)[46 - 1]
        assert result.bound == pytest.approx(1 - 46 / 51)

    def test_entry_level_takes_a_high_quantile_of_one_entry_each(self):
        factors = np.repeat(np.arange(50.0)[:, None], 7, axis=1)
        result = split_conformal_entry(risk_curve(factors, scaling="additive"), generator=rng())
        assert result.lambda_hat == 45

    def test_uncertified_meets_alpha_on_the_set_and_promises_nothing(self):
        curve = curve_of(5)
        result = uncertified(curve, alpha=0.2)
        assert 0.2 - 1 / (5 * 192) <= result.empirical_risk <= 0.2
        assert not result.certified
        assert result.reason == "no guarantee asked for"


def test_curves_of_a_selection_keep_their_scaling():
    assert RiskCurve(curve_of(3).units, "conffusion").select([0, 2]).scaling == "conffusion"
