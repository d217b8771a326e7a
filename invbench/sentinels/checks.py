"""The checks: each measures samples, and compares the number with an exact sampler's band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from invbench.sentinels import bands
from invbench.uncertainty import (
    duplicate_fraction,
    interval,
    mean_length,
    null_space_width,
    other_targets,
    pool_distances,
    role_coverage,
    role_energy,
    role_histograms,
    role_nearest,
    role_spread_and_error,
    tarp_fractions,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from invbench.sentinels.bands import Measured
    from invbench.sentinels.evidence import Evidence

TOLERANCE = 1 / 255  # of reobservations: one 8-bit level, what rounding can do

Band = Literal["exact", "roles", "student", "kolmogorov"]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A measurement of the evidence, with the band in which an exact sampler's lies.

    Attributes:
        name: of the check.
        question: what it asks of the samples.
        band: where its band comes from. ``exact``: a tolerance, no false alarm is possible;
            ``roles``: `role_test`, exact for any posterior; ``student``: Student's t between or
            within images; ``kolmogorov``: the Kolmogorov-Smirnov law, too wide if anything.
        function: ``(evidence, rate of false alarms) -> measurement``.
        needs_posterior: whether it can only be made where `Evidence.posterior_std` is known.
    """

    name: str
    question: str
    band: Band
    function: Callable[[Evidence, float], Measured]
    needs_posterior: bool = False


def _finite(evidence: Evidence, _: float) -> Measured:
    samples = evidence.samples
    wrong = ~((samples >= 0) & (samples <= 1))
    return bands.tolerated(float(wrong.flatten(2).any(-1).double().mean()), 0)


def _validity(evidence: Evidence, _: float) -> Measured:
    errors = evidence.reobservations - evidence.observations[:, None]
    return bands.tolerated(float(errors.abs().max()), TOLERANCE)


def _null_space_width(evidence: Evidence, _: float) -> Measured:
    reobservations = evidence.reobservations.clamp(0, 1)
    return bands.tolerated(float(null_space_width(reobservations).max()), TOLERANCE)


def _duplicates(evidence: Evidence, _: float) -> Measured:
    return bands.tolerated(float(duplicate_fraction(evidence.samples).max()), 0)


def _coverage(evidence: Evidence, rate: float) -> Measured:
    scores = role_coverage(evidence.samples, evidence.targets)
    return bands.roles(scores, rate, evidence.rng)


def _spread_skill(evidence: Evidence, rate: float) -> Measured:
    scores = torch.stack(role_spread_and_error(evidence.distances), -1)
    factor = (evidence.n_samples + 1) / evidence.n_samples

    def ratio(variance: np.ndarray, error: np.ndarray) -> np.ndarray:
        floored = np.maximum(error, np.finfo(np.float64).tiny)
        return np.asarray(np.sqrt(factor * variance / floored))

    return bands.roles(scores, rate, evidence.rng, statistic=ratio)


def _rank_histogram(evidence: Evidence, rate: float) -> Measured:
    counts = role_histograms(evidence.samples, evidence.targets, generator=evidence.generator)
    shares = counts.double() / counts[0, 0].sum()

    def unevenness(*shares: np.ndarray) -> np.ndarray:
        return np.asarray(sum(abs(share - 1 / len(shares)) for share in shares))

    return bands.roles(shares, rate, evidence.rng, statistic=unevenness, side="high")


def _bias(evidence: Evidence, rate: float) -> Measured:
    return bands.mean_residual(evidence.samples, evidence.targets, rate, evidence.rng)


def _energy(evidence: Evidence, rate: float) -> Measured:
    return bands.roles(role_energy(evidence.distances), rate, evidence.rng)


def _dependence(evidence: Evidence, rate: float, *, downsample: int, gray: bool) -> Measured:
    distances = pool_distances(evidence.samples, evidence.targets, downsample=downsample, gray=gray)
    return bands.roles(role_energy(distances), rate, evidence.rng)


def _tarp(evidence: Evidence, rate: float) -> Measured:
    references = other_targets(evidence.targets, generator=evidence.generator)
    fractions = tarp_fractions(evidence.samples, evidence.targets, references)
    return bands.uniform(fractions, evidence.n_samples, rate)


def _leak(evidence: Evidence, rate: float) -> Measured:
    return bands.roles(role_nearest(evidence.distances), rate, evidence.rng, side="low")


def _outlier(evidence: Evidence, rate: float) -> Measured:
    return bands.most_extreme(evidence.distances, rate)


def _width(evidence: Evidence, rate: float) -> Measured:
    std = torch.as_tensor(evidence.posterior_std)
    widths = mean_length(interval(evidence.samples))
    due = std.mean((-3, -2, -1)) * bands.normal_width(evidence.n_samples)
    return bands.mean_over_images(widths / due, 1.0, rate)


BATTERY = (
    Probe(
        name="finite",
        question="Which share of samples is not finite or leaves [0, 1]?",
        band="exact",
        function=_finite,
    ),
    Probe(
        name="validity",
        question="How far is any reobserved value from the observation?",
        band="exact",
        function=_validity,
    ),
    Probe(
        name="null_space_width",
        question="How wide are the intervals of reobservations, which do not vary?",
        band="exact",
        function=_null_space_width,
    ),
    Probe(
        name="duplicates",
        question="Which share of an image's samples repeats an earlier one?",
        band="exact",
        function=_duplicates,
    ),
    Probe(
        name="coverage",
        question="How much of the target do 5-95 % intervals cover?",
        band="roles",
        function=_coverage,
    ),
    Probe(
        name="spread_skill",
        question="Do samples differ as much as their mean errs?",
        band="roles",
        function=_spread_skill,
    ),
    Probe(
        name="rank_histogram",
        question="How uneven are the ranks of target values among samples?",
        band="roles",
        function=_rank_histogram,
    ),
    Probe(
        name="bias",
        question="Do samples err in the same direction on all images?",
        band="roles",
        function=_bias,
    ),
    Probe(
        name="energy",
        question="Is the target as near to the samples as they are to each other?",
        band="roles",
        function=_energy,
    ),
    Probe(
        name="pixel_dependence",
        question="And averaged over squares of 4x4 pixels?",
        band="roles",
        function=partial(_dependence, downsample=4, gray=False),
    ),
    Probe(
        name="channel_dependence",
        question="And averaged over channels?",
        band="roles",
        function=partial(_dependence, downsample=1, gray=True),
    ),
    Probe(
        name="tarp",
        question="Is the target as far from a random image as samples are?",
        band="kolmogorov",
        function=_tarp,
    ),
    Probe(
        name="leak",
        question="Is the target nearer to a sample than samples are to each other?",
        band="roles",
        function=_leak,
    ),
    Probe(
        name="outlier",
        question="Is the target of any image out of its samples' reach?",
        band="student",
        function=_outlier,
    ),
    Probe(
        name="width",
        question="Are intervals as wide as the known posterior's?",
        band="student",
        function=_width,
        needs_posterior=True,
    ),
)
