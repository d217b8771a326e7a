"""Calibration on few images, and at the ends of its levels."""

from __future__ import annotations

import numpy as np
import pytest

from invbench.uncertainty import calibrate, risk_curve
from invbench.uncertainty.calibration import RiskCurve
from invbench.uncertainty.errors import InvalidLossesError

METHODS = (
    *("rcps_hb", "rcps_wsr", "crc", "split_conformal_image", "split_conformal_entry"),
    *("uncertified", "im2im_published", "conffusion_published"),
)
NEEDED = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]  # factors of two entries of three images


@pytest.mark.parametrize("method", METHODS)
def test_no_image_is_named(method):
    with pytest.raises(InvalidLossesError, match="no image"):
        calibrate(RiskCurve((), "additive"), method=method)
    full = risk_curve(NEEDED, scaling="additive")
    with pytest.raises(InvalidLossesError, match="no image"):
        calibrate(full.select([False, False, False]), method=method)
    with pytest.raises(InvalidLossesError, match="without entries"):
        RiskCurve((np.zeros(0, np.float32),), "additive")


@pytest.mark.parametrize("error", [1 - 1e-12, 1 - 1e-9, 0.999999, 0.75])
def test_an_error_that_is_nearly_certain_asks_for_the_smallest_score(error):
    curve = risk_curve(NEEDED, scaling="additive")
    entry = calibrate(
        curve,
        method="split_conformal_entry",
        alpha=error,
        generator=np.random.default_rng(0),
    )
    assert entry.lambda_hat <= np.float32(0.2)  # an entry of the first image
    # Half of the entries may be missed, so an image's score is the smaller of its two factors
    image = calibrate(curve, method="split_conformal_image", alpha=0.5, delta=error)
    assert image.lambda_hat == np.float32(0.1)


@pytest.mark.filterwarnings("error")
def test_factors_beyond_float32_are_infinite():
    curve = risk_curve([[1e39, 0.1], [1e300, 0.1]], scaling="additive")
    assert calibrate(curve, method="uncertified", alpha=0.5).lambda_hat == np.float32(0.1)
    assert calibrate(curve, method="uncertified", alpha=0.4).lambda_hat == np.inf


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [1e-12, 1e-6, 1 - 1e-6, 1 - 1e-12])
def test_levels_near_their_ends_give_a_factor_or_infinity(method, level):
    result = calibrate(
        risk_curve(NEEDED, scaling="additive"),
        method=method,
        alpha=level if level > 0.5 else 0.1,
        delta=level,
        generator=np.random.default_rng(0),
    )
    assert result.lambda_hat >= 0
    assert not (result.certified and level < 0.5)  # three images prove nothing that rare
