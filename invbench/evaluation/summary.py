"""From the scores of images to what a record says of validity, intervals and uncertainty."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from invbench.escaping import counted
from invbench.evaluation.estimates import CONFIDENCE, Values, estimate
from invbench.evaluation.scoring import LEVEL
from invbench.evaluation.targets import DIVERSITY, names_by
from invbench.runs import CalibrationVerdict, IntervalRecord, MetricRecord
from invbench.uncertainty import (
    RiskCurve,
    cross_calibrate,
    ideal_coverage,
    leave_one_group_out,
    rcps_hb,
    role_test,
    uncertified,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.evaluation.scoring import ImageScores
    from invbench.metrics import Metric
    from invbench.uncertainty import CrossCalibration, Rule

ALPHA = 0.1  # the risk that calibration allows: 1 - LEVEL
BAND = 1 - (1 - CONFIDENCE) / 2  # of each of the two bands that decide on calibration
PHOTOGRAPHS = 8  # fewer could hardly have rejected anything
FACTOR = 1.5  # of a spread that is wrong enough for a band to have to tell
SCALARS = (
    "coverage",
    "width",
    "winkler",
    "crps",
    "variance",
    "squared_error",
    "null_space_width",
    "duplicate_fraction",
)
VECTORS = ("risk_by_length", "role_coverage", "role_energy", "rank_histogram")
SPREAD = ("width", "null_space_width", "duplicate_fraction")
MEANS = ("winkler", "crps", "energy", "null_space_width", "duplicate_fraction")
QUARTERS = tuple(f"risk_length_quarter_{quarter}" for quarter in range(1, 5))
INTERVAL_SCORES = (*MEANS, "spread_skill", *QUARTERS)


def per_image(images: Sequence[ImageScores]) -> dict[str, NDArray[np.float64]]:
    """Collect each score of n images in one array, for the file of scores behind a record.

    Returns:
        name -> array, for what was measured: `SCALARS` are ``[n]``, "risk_by_length" is ``[n, 4]``,
        "role_coverage", "role_energy" and "rank_histogram" are ``[n, K+1]``; see
        `scoring.ImageScores`.
    """
    columns = {name: [getattr(image, name) for image in images] for name in (*SCALARS, *VECTORS)}
    return {
        name: np.array(values)
        for name, values in columns.items()
        if not any(value is None for value in values)
    }


def validity_record(metric: Metric, images: Sequence[ImageScores]) -> MetricRecord:
    """Average one metric: over the samples of each image, then over images.

    The standard error is that between images; a single image has none.
    """
    means = np.array([image.validity[metric.name].mean() for image in images])
    record = metric_record(
        means,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        version=metric.version,
        n_nonfinite=sum(image.n_nonfinite[metric.name] for image in images),
    )
    if metric.name != "psnr":
        return record
    return replace(record, squared_error_per_image=_squared_errors(images))


def metric_record(
    per_image: NDArray[np.float64],
    *,
    unit: str,
    higher_is_better: bool,
    version: str,
    n_nonfinite: int = 0,
) -> MetricRecord:
    """Average one number an image over images, with the standard error between them."""
    spread = per_image.std(ddof=1) / len(per_image) ** 0.5 if len(per_image) > 1 else None
    return MetricRecord(
        unit=unit,
        higher_is_better=higher_is_better,
        version=version,
        n_images=len(per_image),
        mean=float(per_image.mean()),
        stderr=None if spread is None else float(spread),
        n_nonfinite=n_nonfinite,
        per_image=tuple(per_image.tolist()),
    )


def target_records(
    metrics: Sequence[Metric], images: Sequence[ImageScores]
) -> dict[str, MetricRecord]:
    """Average what samples score against their target over images; see `against_target`."""
    columns = {name: np.array([i.target[name] for i in images]) for name in images[0].target}
    records = {}
    for metric in metrics:
        for name in names_by(metric.name):
            records[name] = metric_record(
                columns[name],
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
                version=metric.version,
            )
    records[DIVERSITY] = metric_record(
        columns[DIVERSITY], unit="", higher_is_better=True, version="1"
    )
    return records


def spread_records(arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, MetricRecord]:
    """Average over images what samples say of their spread without a target."""
    return {
        name: metric_record(arrays[name], unit="", higher_is_better=False, version="1")
        for name in SPREAD
        if name in arrays
    }


def _squared_errors(images: Sequence[ImageScores]) -> tuple[float, ...]:
    """Return the mean squared error behind the PSNR of each image, in levels of 255.

    .. math:: mean_k 255^2 10^{-psnr_k / 10}

    The cap of an infinite PSNR stands for an error of 7e-6, far below one level of one pixel.
    """
    ratios = (image.validity["psnr"] for image in images)
    return tuple(float((255**2 * 10 ** (-one / 10)).mean()) for one in ratios)


def interval_record(
    images: Sequence[ImageScores], groups: Sequence[str], *, n_samples: int, rule: Rule
) -> IntervalRecord:
    """Summarize intervals and uncertainty over images.

    Confidence intervals come from resampling photographs, with all the images cut from each, since
    images of one photograph are alike.

    Coverage and energy score stand beside the band in which each lies with probability 0.975 if the
    target could be any of the sampler's own samples (see `role_test`); `calibration_verdict` says
    what follows.

    Args:
        images: scored with targets and at least two samples.
        groups: the photograph that each image is of.
        n_samples: K.
        rule: of the interval's quantiles.
    """
    arrays = per_image(images)
    arrays["energy"] = arrays["role_energy"][:, 0]
    scores = {name: estimate(arrays[name], groups) for name in MEANS}
    scores["spread_skill"] = _spread_skill(arrays, groups, n_samples)
    for name, risks in zip(QUARTERS, arrays["risk_by_length"].T, strict=True):
        scores[name] = estimate(risks, groups)
    covered = estimate(arrays["coverage"], groups)
    coverages, energies = (
        role_test(arrays[name], groups, generator=np.random.default_rng(0), level=BAND)
        for name in ("role_coverage", "role_energy")
    )
    factors = tuple(image.needed_factors for image in images if image.needed_factors is not None)
    return IntervalRecord(
        level=LEVEL,
        rule=rule,
        n_samples=n_samples,
        ideal_coverage=ideal_coverage(n_samples, LEVEL, rule),
        coverage=float(arrays["coverage"].mean()),
        coverage_per_image=tuple(arrays["coverage"].tolist()),
        coverage_ci95=(covered["low"], covered["high"]),
        coverage_band=(coverages.low, coverages.high),
        energy_band=(energies.low, energies.high),
        mean_width=float(arrays["width"].mean()),
        width_per_image=tuple(arrays["width"].tolist()),
        winkler=float(arrays["winkler"].mean()),
        winkler_per_image=tuple(arrays["winkler"].tolist()),
        scores=scores,
        rank_histogram=tuple(arrays["rank_histogram"].mean(axis=0).tolist()),
        tarp_per_image=_tarp(images),
        calibration=_calibration(RiskCurve(factors, "additive"), groups),
    )


def _tarp(images: Sequence[ImageScores]) -> tuple[float, ...]:
    return tuple(image.tarp for image in images if image.tarp is not None)


def calibration_verdict(record: IntervalRecord, *, n_photographs: int) -> CalibrationVerdict:
    """Say whether samples are spread as the target is, or why that was not tested.

    An ideal sampler leaves either band with probability 0.05 at most. Coverage below its band, or a
    target that is farther from the samples than they are from each other, is ``under``: the sampler
    is too sure. The opposite is ``over``. Only a band that could have been left tells that a
    sampler is calibrated: with enough photographs, no sample that repeats another, some width, and
    so narrow that normal samples of 1.5 times too little or too much spread would leave it.
    """
    covered, energy = record.coverage, record.scores["energy"]["value"]
    (low, high), (near, far) = record.coverage_band or (0, 1), record.energy_band or (0, math.inf)
    if energy is None:
        return CalibrationVerdict(verdict="not tested", reason="no finite score")
    if covered < low or energy > far:
        return CalibrationVerdict(verdict="under")
    if covered > high or energy < near:
        return CalibrationVerdict(verdict="over")
    least, most = _coverage_of_wrong_spread(record.ideal_coverage)
    few = (
        f"{counted(n_photographs, 'photograph')} may show a fault, "
        f"only {PHOTOGRAPHS} or more that there is none"
    )
    reasons = {
        "duplicate samples": bool(record.scores["duplicate_fraction"]["value"]),
        "intervals of width 0": record.mean_width == 0 or low == high,
        few: n_photographs < PHOTOGRAPHS,
        "band too wide": not least < low <= high < most,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    return CalibrationVerdict(verdict="not tested" if reason else "calibrated", reason=reason)


def _coverage_of_wrong_spread(ideal: float) -> tuple[float, float]:
    """Return what intervals of normal samples cover if spread is `FACTOR` too small or large.

    >>> tuple(round(coverage, 3) for coverage in _coverage_of_wrong_spread(0.814))
    (0.622, 0.953)
    """
    normal = NormalDist()
    reach = normal.inv_cdf((1 + ideal) / 2)
    small, large = (2 * normal.cdf(reach * factor) - 1 for factor in (1 / FACTOR, FACTOR))
    return small, large


def _spread_skill(
    arrays: Mapping[str, NDArray[np.float64]], groups: Sequence[str], n_samples: int
) -> Values:
    """Bootstrap `spread_skill_ratio`; where no image has an error there is no ratio."""
    variance, error = arrays["variance"], arrays["squared_error"]
    if not error.any():
        return {"value": None, "low": None, "high": None}
    factor = (n_samples + 1) / n_samples

    def ratio(spread: NDArray[np.float64], skill: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(factor * spread / np.maximum(skill, math.ulp(0.0))))

    return estimate(np.stack([variance, error], axis=1), groups, ratio)


def calibrate_on_others(curve: RiskCurve, groups: Sequence[str]) -> CrossCalibration:
    """Calibrate the intervals of each photograph on all other photographs.

    This is the protocol of the published study. The factor is the one that reaches 90 % on the
    others; nothing is guaranteed of the photograph itself.

    Raises:
        InvalidSplitError: for fewer than two photographs.
    """
    return cross_calibrate(
        curve,
        leave_one_group_out(groups),
        groups=groups,
        calibrator=lambda seen: uncertified(seen, alpha=ALPHA),
    )


def _calibration(curve: RiskCurve, groups: Sequence[str]) -> dict[str, Any]:
    """Calibrate twice, with a guarantee and as the published study did.

    "guaranteed" uses all photographs and says what may be claimed of a new one; fewer than 22
    photographs are too few for any claim. "leave_one_photo_out" is `calibrate_on_others`.
    """
    record: dict[str, Any] = {
        "guaranteed": asdict(rcps_hb(curve.select(range(len(groups)), groups), alpha=ALPHA))
    }
    if len(set(groups)) > 1:
        crossed = calibrate_on_others(curve, groups)
        losses = np.concatenate(crossed.losses)
        record["leave_one_photo_out"] = {
            "coverage": float(1 - losses.mean()),
            "mean_lambda": float(crossed.factors(len(groups)).mean()),
        }
    return record
