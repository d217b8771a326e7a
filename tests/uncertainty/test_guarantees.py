"""Calibration methods keep their promises in a world whose true risk is known."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom

from invbench.uncertainty import (
    crc,
    largest_acceptable_risk,
    rcps_hb,
    rcps_wsr,
    risk_curve,
    split_conformal_entry,
    split_conformal_image,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def draw_factors(n_images, seed=0, n_entries=192):
    """Draw an image's spread times correlated |normal| values: the true risk is known."""
    generator = rng(seed)
    spread = np.exp(0.5 * generator.standard_normal((n_images, 1)))
    common = generator.standard_normal((n_images, 1))
    own = generator.standard_normal((n_images, n_entries))
    return spread * np.abs(0.5**0.5 * common + 0.5**0.5 * own)


def true_risk(factor):
    log_spread = np.linspace(-8, 8, 801)
    missed = 2 * ndtr(-factor / np.exp(0.5 * log_spread))
    return np.trapezoid(missed * np.exp(-(log_spread**2) / 2), log_spread) / math.sqrt(math.tau)


def curve_of(n_images, seed=0):
    return risk_curve(draw_factors(n_images, seed), scaling="additive")


@pytest.fixture(scope="module")
def curves():
    return [curve_of(50, seed) for seed in range(200)]


class TestGuarantees:
    """Up to two hundred independent calibration sets; alpha = delta = 0.1, n = 50."""

    def risks(self, curves, method):
        return np.array([true_risk(method(curve).lambda_hat) for curve in curves])

    def refuted(self, risks):
        violations = int((risks > 0.1).sum())
        return binom.sf(violations - 1, len(risks), 0.1) < 0.001

    def test_rcps_keeps_its_promise(self, curves):
        assert not self.refuted(self.risks(curves, rcps_hb))
        assert not self.refuted(self.risks(curves[:100], partial(rcps_wsr, generator=rng())))

    def test_counting_pixels_breaks_it(self, curves):
        def by_pixel(curve):
            n_pixels = int(curve.n_entries.sum())
            acceptable = largest_acceptable_risk(n_pixels, 0.1, 0.1)
            return replace(rcps_hb(curve), lambda_hat=curve.smallest_factor(acceptable))

        assert self.refuted(self.risks(curves, by_pixel))

    @pytest.mark.parametrize("method", [crc, partial(split_conformal_entry, generator=rng())])
    def test_conformal_methods_keep_the_mean_and_no_more(self, curves, method):
        risks = self.risks(curves, method)
        standard_error = risks.std(ddof=1) / len(risks) ** 0.5
        assert risks.mean() <= 0.1 + 3 * standard_error
        assert risks.mean() > 0.07
        assert self.refuted(risks)

    def test_image_level_keeps_its_share_of_new_images(self, curves):
        fresh = curve_of(4000, seed=10**6)
        missed = [
            (fresh.losses(split_conformal_image(curve).lambda_hat) > 0.1).mean()
            for curve in curves[::4]
        ]
        # 0.098 in theory; the pool of new images adds a standard error of 0.005
        assert np.mean(missed) == pytest.approx(1 - 46 / 51, abs=0.025)
