"""The published procedures are reproduced, faults included."""

import numpy as np
import pytest
import torch

from invbench.uncertainty import (
    Additive,
    Conffusion,
    Interval,
    calibrate,
    conffusion_metrics,
    conffusion_published,
    im2im_published,
    risk_curve,
)


def synthetic(refs):
    stored = refs("uncertainty/uncertainty.safetensors")
    intervals = Interval(stored["syn.lower_q05"], stored["syn.upper_q95"], 0.9, "linear", 50)
    return stored, intervals, Additive(stored["syn.mean"])


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


class TestPublished:
    @pytest.mark.parametrize("n", [20, 25, 40, 60])
    def test_im2im_is_reproduced(self, refs, n):
        stored, intervals, scaling = synthetic(refs)
        needed = scaling.needed_factors(intervals, stored["syn.gt"])[:n]
        curve = risk_curve(needed, scaling=scaling.name)
        result = im2im_published(curve)
        close(result.lambda_hat, stored[f"im2im.lambda_hat_n{n}"])
        close(curve.losses(result.lambda_hat), stored[f"im2im.per_image_risk_at_lhat_n{n}"])
        assert result.reason == ("grid exhausted" if n < 40 else "published bound is not valid")

    def test_conffusion_is_reproduced(self, refs):
        stored, intervals, _ = synthetic(refs)
        needed = Conffusion().needed_factors(intervals, stored["syn.gt"])
        result = conffusion_published(risk_curve(needed, scaling="conffusion"))
        close(result.lambda_hat, stored["conffusion.lambda_hat"])
        assert result.n == 60 * 192
        assert not result.certified

    def test_both_return_the_top_of_the_grid_at_zero_risk(self, refs):
        stored = refs("uncertainty/uncertainty.safetensors")
        perfect = risk_curve(np.zeros((60, 192)), scaling="additive")
        for method, key in ((im2im_published, "im2im"), (conffusion_published, "conffusion")):
            result = method(perfect)
            close(result.lambda_hat, stored[f"{key}.lambda_hat_zero_risk"])
            assert result.reason == "grid exhausted"

    def test_conffusion_returns_the_top_for_a_degenerate_sampler(self, refs):
        stored = refs("uncertainty/uncertainty.safetensors")
        hopeless = risk_curve(np.full((60, 192), 1.5), scaling="conffusion")
        result = conffusion_published(hopeless)
        close(result.lambda_hat, stored["conffusion.lambda_hat_degenerate"])
        assert result.empirical_risk == 1

    def test_conffusion_widens_intervals_that_were_wide_enough(self):
        factors = np.zeros((60, 192))
        factors[:, 0] = 100
        result = conffusion_published(risk_curve(factors, scaling="conffusion"))
        assert result.lambda_hat > 1.3
        assert result.reason == "grid exhausted"

    def test_are_never_certified(self):
        factors = np.random.default_rng(0).gamma(2, size=(60, 50))
        for method in ("im2im_published", "conffusion_published"):
            assert not calibrate(risk_curve(factors, scaling="additive"), method=method).certified


class TestConffusionMetrics:
    def test_of_the_synthetic_intervals_are_reproduced(self, refs):
        stored = refs("uncertainty/uncertainty.safetensors")
        lower, upper = stored["conffusion.cal_lower"], stored["conffusion.cal_upper"]
        got = conffusion_metrics(
            Interval(lower, upper, 0.9, "linear", 50),
            stored["syn.gt"],
            stored["conffusion.metrics.jitter"],
        )
        for name in ("risk", "size_mean", "size_median"):
            close(getattr(got, name), stored[f"conffusion.metrics.{name}"])
        close(got.stratified_risk, stored["conffusion.metrics.stratified_risk"])

    def test_put_a_size_on_an_edge_into_the_lower_bin(self):
        # five sizes, so that the quartiles are the second, third and fourth of them
        upper = torch.tensor([1, 2, 3, 4, 5]).reshape(5, 1, 1, 1) / 8
        intervals = Interval(torch.zeros(5, 1, 1, 1), upper, 0.9, "linear", 50)
        target = torch.tensor([0.0, 1, 0, 1, 1]).reshape(5, 1, 1, 1)
        got = conffusion_metrics(intervals, target, torch.zeros(5, 1))
        assert got.stratified_risk == (0.5, 0, 1, 1)
