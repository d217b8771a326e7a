"""Needed factors against their definition: the smallest factor that covers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invbench.errors import InvalidImagesError
from invbench.uncertainty import HALF_LEVEL, Additive, Conffusion, Interval, interval
from invbench.uncertainty.errors import MismatchedImagesError


def image(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1)


def interval_of(lower, upper):
    return Interval(lower, upper, 0.9, "linear", 50)


def drawn(seed, n_images=3):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(n_images, 3, 4, 4, generator=generator)
    noise = torch.randn(n_images, 20, 3, 4, 4, generator=generator)
    samples = (target[:, None] + 0.1 * noise + 0.05).clamp(0, 1)
    return interval(samples), target, samples.mean(1)


def families(center):
    return [Additive(center), Additive(center, floor=HALF_LEVEL), Conffusion()]


class TestNeededFactors:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 10**6), which=st.integers(0, 2))
    def test_are_the_smallest_that_cover(self, seed, which):
        intervals, target, center = drawn(seed)
        scaling = families(center)[which]
        needed = scaling.needed_factors(intervals, target)
        finite = needed[torch.isfinite(needed)]
        for factor in finite.flatten()[::7].tolist():
            covered = scaling.scaled(intervals, factor).covers(target)
            # float32 cannot tell factors apart that differ by a few parts in a million
            assert covered[needed <= factor * (1 - 1e-4)].all()
            assert not covered[needed > factor * (1 + 1e-3) + 1e-4].any()

    def test_of_an_additive_family_divide_by_the_side_of_the_target(self):
        needed = Additive(image(0.5, 0.5, 0.5)).needed_factors(
            interval_of(image(0.4, 0.4, 0.4), image(0.7, 0.7, 0.7)), image(0.9, 0.3, 0.5)
        )
        assert needed.flatten().tolist() == pytest.approx([2, 2, 0])

    def test_of_a_mean_outside_of_the_quantiles_use_the_smallest_half_width(self):
        outside = interval_of(image(0.1), image(0.2))
        needed = Additive(image(0.3)).needed_factors(outside, image(0.4))
        assert needed.item() == pytest.approx(0.1 / 1e-6, rel=1e-4)

    def test_within_a_millionth_of_the_center_are_zero(self):
        target = image(0.5 + 5e-7)
        needed = Additive(image(0.5)).needed_factors(interval_of(image(0.5), image(0.5)), target)
        assert needed.item() == 0

    def test_with_a_floor_stay_moderate_where_samples_agree(self):
        collapsed = interval_of(image(0.5), image(0.5))
        target = image(0.5 + 1 / 255)
        center = image(0.5)
        assert Additive(center).needed_factors(collapsed, target).item() > 1000
        with_floor = Additive(center, floor=HALF_LEVEL).needed_factors(collapsed, target)
        assert with_floor.item() == pytest.approx(2, rel=1e-4)

    def test_of_the_conffusion_family_follow_its_conventions(self):
        lower, upper = image(0, 0.1, 0.2, 0.0, 0.9), image(0, 0.2, 0.4, 0.0, 0.95)
        target = image(0, 0.0, 0.8, 0.3, 1.0)
        needed = Conffusion().needed_factors(interval_of(lower, upper), target)
        assert needed.flatten().tolist() == pytest.approx([0, torch.inf, 2, torch.inf, 1 / 0.95])

    def test_ignore_a_constant_shift_if_additive_but_not_in_conffusion(self):
        intervals, target, center = drawn(5)
        shift = 0.25
        halved = [0.5 * one for one in (intervals.lower, intervals.upper, target, center)]
        lower, upper, truth, middle = halved
        moved = [one + shift for one in halved]
        before = interval_of(lower, upper)
        after = interval_of(moved[0], moved[1])
        assert torch.allclose(
            Additive(middle).needed_factors(before, truth),
            Additive(moved[3]).needed_factors(after, moved[2]),
            rtol=1e-3,
            atol=1e-4,
        )
        assert not torch.allclose(
            Conffusion().needed_factors(before, truth),
            Conffusion().needed_factors(after, moved[2]),
            rtol=0.01,
        )


class TestScaled:
    def test_by_one_restores_the_interval(self):
        intervals, _, _ = drawn(1)
        center = (intervals.lower + intervals.upper) / 2
        for scaling in (Additive(center), Conffusion()):
            same = scaling.scaled(intervals, 1)
            assert torch.allclose(same.lower, intervals.lower, atol=3e-6)
            assert torch.allclose(same.upper, intervals.upper, atol=3e-6)

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_by_infinity_is_everything(self, which):
        intervals, target, center = drawn(2)
        everything = families(center)[which].scaled(intervals, float("inf"))
        assert everything.covers(target).all()
        assert torch.equal(everything.width(), torch.ones_like(target))

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_takes_one_factor_for_each_image(self, which):
        intervals, _, center = drawn(3)
        scaling = families(center)[which]
        several = scaling.scaled(intervals, torch.tensor([1.0, 2.0, 3.0]))
        assert torch.equal(several.upper[1], scaling.scaled(intervals, 2.0).upper[1])
        assert torch.equal(several.lower[2], scaling.scaled(intervals, 3.0).lower[2])

    def test_keeps_black_ends_black_in_conffusion(self):
        black = interval_of(image(0.0), image(0.0))
        assert Conffusion().scaled(black, 5.0).upper.item() == 0
        assert Additive(image(0.0), floor=HALF_LEVEL).scaled(black, 5.0).upper.item() > 0

    def test_equals_the_published_calibrated_bounds(self, refs):
        stored = refs("uncertainty/uncertainty.safetensors")
        intervals = interval_of(stored["syn.lower_q05"], stored["syn.upper_q95"])
        scaled = Conffusion().scaled(intervals, float(stored["conffusion.lambda_hat"]))
        assert torch.allclose(scaled.lower, stored["conffusion.cal_lower"], rtol=0, atol=1e-6)
        assert torch.allclose(scaled.upper, stored["conffusion.cal_upper"], rtol=0, atol=1e-6)

    def test_names_tell_the_families_apart(self):
        names = [scaling.name for scaling in families(image(0.5))]
        assert names == ["additive", "additive+floor", "conffusion"]


class TestRefusals:
    def test_of_nan_in_any_image(self):
        intervals, target, center = drawn(4)
        broken = target.clone()
        broken[0, 0, 0, 0] = torch.nan
        for scaling, image_ in [
            (Additive(center), broken),
            (Additive(broken), target),
            (Conffusion(), broken),
        ]:
            with pytest.raises(InvalidImagesError, match="NaN"):
                scaling.needed_factors(intervals, image_)

    def test_of_shapes_that_would_broadcast(self):
        intervals, target, center = drawn(4)
        with pytest.raises(MismatchedImagesError):
            Additive(center[:1]).needed_factors(intervals, target)
        with pytest.raises(MismatchedImagesError):
            Conffusion().needed_factors(intervals, target[:1])
