"""What is measured on one image: validity of its samples, its intervals and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError
from invbench.evaluation.targets import SCORE_CAPS, against_target
from invbench.images import to_uint8, trusted
from invbench.uncertainty import (
    Additive,
    FactorStore,
    coverage,
    crps,
    duplicate_fraction,
    interval,
    interval_score,
    mean_length,
    null_space_width,
    pool_distances,
    rank_histogram,
    role_coverage,
    role_energy,
    role_spread_and_error,
    size_stratified_risk,
    tarp_fractions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.evaluation.noise_fit import NoiseFit
    from invbench.metrics import Metric
    from invbench.operators import Operator
    from invbench.uncertainty import Interval, Rule, SortedFactors

LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Measurements on one image.

    Attributes:
        validity: metric name -> one score a sample, ``[K]``; infinite PSNR enters as 100 dB.
        chi_squared: one a sample, ``[K]``, where the observation has noise.
        n_nonfinite: metric name -> how many scores were not finite.
        width: mean over pixels and channels of upper - lower; None for a single sample.
        coverage: fraction of the target's values inside their interval, if there is a target.
        winkler: mean interval score, if there is a target.
        null_space_width: mean interval length of the reobservations; None for a single sample.
        duplicate_fraction: share of samples that repeat an earlier one; None for a single sample.
        crps: mean fair score, if there is a target.
        role_energy: fair score of the image as one vector, over the root of its length, with the
            target as target, then the K scores that result if a sample trades places with it,
            ``[K+1]``.
        variance: mean sample variance, with a target.
        squared_error: mean squared error of the sample mean, with a target.
        risk_by_length: share of the target's values outside their interval, ``[4]``: among the
            quarter of the values with the shortest intervals, up to that with the longest.
        role_coverage: the coverage of the target, then the K coverages that result if a sample
            trades places with the target, ``[K+1]``.
        rank_histogram: shares of the target's values by their rank among the samples, ``[K+1]``.
        tarp: share of samples nearer to another photograph than the target is, see
            `uncertainty.tarp_fractions`; None without another photograph.
        target: what samples score against the target, see `targets.against_target`.
        needed_factors: for every value of the target, the least factor by which its interval must
            be scaled to cover it. Calibration needs nothing else.
    """

    validity: Mapping[str, NDArray[np.float64]]
    n_nonfinite: Mapping[str, int]
    chi_squared: NDArray[np.float64] | None = None
    width: float | None = None
    coverage: float | None = None
    winkler: float | None = None
    null_space_width: float | None = None
    duplicate_fraction: float | None = None
    crps: float | None = None
    variance: float | None = None
    squared_error: float | None = None
    risk_by_length: NDArray[np.float64] | None = None
    role_coverage: NDArray[np.float64] | None = None
    role_energy: NDArray[np.float64] | None = None
    rank_histogram: NDArray[np.float64] | None = None
    tarp: float | None = None
    target: Mapping[str, float] = field(default_factory=dict)
    needed_factors: SortedFactors | None = None


def score_image(
    samples: Tensor,
    observation: Tensor,
    *,
    operator: Operator,
    metrics: Sequence[Metric],
    target: Tensor | None = None,
    other: Tensor | None = None,
    rule: Rule = "linear",
    noise_fit: NoiseFit | None = None,
    n_samples: int | None = None,
    store: FactorStore | None = None,
) -> ImageScores:
    """Score the samples of one image.

    Args:
        samples: ``[K, 3, H, W]``, multiples of 1/255 in [0, 1], as are all other images but the
            observation.
        observation: ``[c, h, w]`` in [0, 1].
        operator: the forward process.
        metrics: what to compare by: reobservations and observation, samples and target.
        target: ``[3, H, W]`` in [0, 1]; without it there is no coverage.
        other: another photograph of the target's size, for TARP.
        rule: of the interval's quantiles; `weibull` needs 19 samples.
        noise_fit: with it, reobservations are held against the noise, and not scored by `metrics`.
        n_samples: how many of the first samples intervals and all that is said of spread are made
            from; all by default. Scores of single samples are those of all.
        store: where the needed factors go; one for all images holds them on disk if they are many.

    Raises:
        InvalidImagesError: if reobservations do not have the observation's shape.
    """
    given = [images for images in (target, other) if images is not None]
    with trusted(samples, *given):
        reobservations = operator(samples)
        if reobservations.shape[1:] != observation.shape:
            raise InvalidImagesError(
                f"samples {tuple(samples.shape[1:])} reobserve as "
                f"{tuple(reobservations.shape[1:])}, the observation is {tuple(observation.shape)}"
            )
        known = (reobservations, observation) if noise_fit is None else ()  # noise leaves [0, 1]
        with trusted(*known):
            found = _validity(reobservations, observation, metrics, noise_fit)
            if target is not None:
                found = replace(found, target=against_target(samples, target, metrics))
            few = to_uint8(samples[:n_samples])  # comparing bytes is faster, and exact
            if len(few) < 2:
                return found
            null_space = null_space_width(reobservations[:n_samples], level=LEVEL, rule=rule)
            intervals = interval(few, level=LEVEL, rule=rule)
            found = replace(
                found,
                width=float(mean_length(intervals)),
                null_space_width=float(null_space),
                duplicate_fraction=float(duplicate_fraction(few)),
            )
            if target is None:
                return found
            if other is not None:
                found = replace(found, tarp=float(tarp_fractions(few, target, other)))
            center = samples[:n_samples].mean(dim=0)
            factors = Additive(center).needed_factors(intervals, target).flatten().cpu().numpy()
            factors.sort()
            found = replace(found, needed_factors=(store or FactorStore()).keep(factors))
            return _with_target(found, few, target, intervals)


def _validity(
    reobservations: Tensor,
    observation: Tensor,
    metrics: Sequence[Metric],
    noise_fit: NoiseFit | None,
) -> ImageScores:
    """Hold reobservations against the observation, or against its noise."""
    validity, n_nonfinite = {}, {}
    for metric in metrics if noise_fit is None else (noise_fit.metric(),):
        scores = metric.function(reobservations, observation)
        n_nonfinite[metric.name] = int((~torch.isfinite(scores)).sum())
        capped = scores.clamp(max=SCORE_CAPS.get(metric.name, torch.inf))
        validity[metric.name] = capped.double().cpu().numpy()
    fit = None
    if noise_fit is not None:
        fit = noise_fit.chi_squared(reobservations, observation).cpu().numpy()
    return ImageScores(validity, n_nonfinite, fit)


def _with_target(
    scores: ImageScores, samples: Tensor, target: Tensor, intervals: Interval
) -> ImageScores:
    """Add what a target tells about the samples and their intervals."""
    truth = to_uint8(target)
    distances = pool_distances(samples, truth)
    variance, squared_error = role_spread_and_error(distances)
    risks = size_stratified_risk(intervals, target, generator=torch.Generator().manual_seed(0))
    roles = role_coverage(samples, truth, level=LEVEL, rule=intervals.rule)
    ranks = rank_histogram(samples, truth, generator=torch.Generator().manual_seed(0)).double()
    return replace(
        scores,
        coverage=float(coverage(intervals, target)),
        winkler=float(interval_score(intervals, target)),
        crps=float(crps(samples, target)),
        variance=float(variance[0]),
        squared_error=float(squared_error[0]),
        risk_by_length=risks.cpu().numpy(),
        role_coverage=roles.cpu().numpy(),
        role_energy=role_energy(distances).cpu().numpy(),
        rank_histogram=(ranks / ranks.sum()).cpu().numpy(),
    )
