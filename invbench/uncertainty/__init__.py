"""Is a sampler's uncertainty right? Intervals, their calibration, and scores.

From samples to a certified interval:

>>> import torch
>>> generator = torch.Generator().manual_seed(0)
>>> target = 0.5 + 0.1 * torch.randn(60, 3, 8, 8, generator=generator).clamp(-4, 4)
>>> samples = 0.5 + 0.05 * torch.randn(60, 20, 3, 8, 8, generator=generator).clamp(-4, 4)
>>> intervals = interval(samples, level=0.9, rule="weibull")
>>> scaling = Additive(center=samples.mean(1))
>>> curve = risk_curve(scaling.needed_factors(intervals, target), scaling=scaling.name)
>>> result = calibrate(curve.select(range(40)), method="rcps_hb", alpha=0.1, delta=0.1)
>>> result.certified, bool(curve.select(range(40, 60)).losses(result.lambda_hat).mean() < 0.1)
(True, True)
"""

from invbench.uncertainty.bootstrap import Estimate, bootstrap_over_images
from invbench.uncertainty.bounds import (
    hoeffding_bentkus,
    hoeffding_bentkus_conffusion_published,
    hoeffding_bentkus_im2im_published,
    largest_acceptable_risk,
    wsr,
)
from invbench.uncertainty.calibration import Calibration, RiskCurve, risk_curve
from invbench.uncertainty.factors import FactorStore, SortedFactors
from invbench.uncertainty.interval_scores import (
    ConffusionMetrics,
    channel_coverage,
    conffusion_metrics,
    coverage,
    gradient_magnitude,
    interval_score,
    mean_length,
    miscoverage_map,
    null_space_width,
    size_stratified_risk,
    stratified_risk,
    worst_stratum,
)
from invbench.uncertainty.intervals import Interval, ideal_coverage, interval
from invbench.uncertainty.methods import (
    calibrate,
    crc,
    rcps_hb,
    rcps_wsr,
    split_conformal_entry,
    split_conformal_image,
    uncertified,
)
from invbench.uncertainty.published import conffusion_published, im2im_published
from invbench.uncertainty.quantiles import Rule, pixel_quantiles, position
from invbench.uncertainty.role_test import RoleTest, band_of, role_test
from invbench.uncertainty.roles import (
    pool_distances,
    role_coverage,
    role_energy,
    role_histograms,
    role_nearest,
    role_spread_and_error,
)
from invbench.uncertainty.sampler_scores import (
    crps,
    duplicate_fraction,
    energy_score,
    rank_histogram,
    reliability_index,
    spread_and_error,
    spread_skill_ratio,
)
from invbench.uncertainty.scaling import HALF_LEVEL, Additive, Conffusion, Scaling
from invbench.uncertainty.splits import (
    CrossCalibration,
    Split,
    cross_calibrate,
    grouped_cross_fitting,
    leave_one_group_out,
    random_splits,
)
from invbench.uncertainty.tarp import other_targets, tarp_coverage, tarp_fractions, tarp_test

__all__ = [
    "HALF_LEVEL",
    "Additive",
    "Calibration",
    "Conffusion",
    "ConffusionMetrics",
    "CrossCalibration",
    "Estimate",
    "FactorStore",
    "Interval",
    "RiskCurve",
    "RoleTest",
    "Rule",
    "Scaling",
    "SortedFactors",
    "Split",
    "band_of",
    "bootstrap_over_images",
    "calibrate",
    "channel_coverage",
    "conffusion_metrics",
    "conffusion_published",
    "coverage",
    "crc",
    "cross_calibrate",
    "crps",
    "duplicate_fraction",
    "energy_score",
    "gradient_magnitude",
    "grouped_cross_fitting",
    "hoeffding_bentkus",
    "hoeffding_bentkus_conffusion_published",
    "hoeffding_bentkus_im2im_published",
    "ideal_coverage",
    "im2im_published",
    "interval",
    "interval_score",
    "largest_acceptable_risk",
    "leave_one_group_out",
    "mean_length",
    "miscoverage_map",
    "null_space_width",
    "other_targets",
    "pixel_quantiles",
    "pool_distances",
    "position",
    "random_splits",
    "rank_histogram",
    "rcps_hb",
    "rcps_wsr",
    "reliability_index",
    "risk_curve",
    "role_coverage",
    "role_energy",
    "role_histograms",
    "role_nearest",
    "role_spread_and_error",
    "role_test",
    "size_stratified_risk",
    "split_conformal_entry",
    "split_conformal_image",
    "spread_and_error",
    "spread_skill_ratio",
    "stratified_risk",
    "tarp_coverage",
    "tarp_fractions",
    "tarp_test",
    "uncertified",
    "worst_stratum",
    "wsr",
]
