"""Checks that samples must pass next to their targets and observations, each with its band.

Some checks can never raise a false alarm: an exact sampler's numbers are finite, its samples have
the observation up to rounding, and no two of them agree. All others share the battery's rate of
false alarms, so that an exact sampler fails any of them with at most that probability, however the
checks depend on each other (Bonferroni). That is exact for bands from roles. Student's holds as
well as near-normality does, so checks with it get a smaller share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
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

    from torch import Tensor

    from invbench.sentinels.bands import Measured

RATE = 0.02
TOLERANCE = 1 / 255  # of reobservations: one 8-bit level, what rounding can do

Band = Literal["exact", "roles", "student", "kolmogorov"]

# At a nominal 0.2 %, Student's bands were left by exact samplers in 0.4 to 0.5 % of 1000 trials
_SHARES: dict[Band, float] = {"exact": 0, "roles": 1, "kolmogorov": 1, "student": 0.25}


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the checks look at.

    Attributes:
        samples: ``[N, K, 3, H, W]`` float32.
        targets: ``[N, 3, H, W]`` in [0, 1]; N images that do not depend on each other.
        observations: ``[N, c, h, w]``.
        operator: the forward process.
        posterior_std: the true posterior's standard deviation, ``[3, H, W]`` or
            ``[N, 3, H, W]``, where it is known and the posterior is Gaussian.
        seed: of whatever a check draws.
    """

    samples: Tensor
    targets: Tensor
    observations: Tensor
    operator: Callable[[Tensor], Tensor]
    posterior_std: Tensor | None = None
    seed: int = 0

    @property
    def n_samples(self) -> int:
        """K."""
        return self.samples.shape[1]

    @cached_property
    def reobservations(self) -> Tensor:
        """The operator applied to the samples, ``[N, K, c, h, w]``."""
        return self.operator(self.samples)

    @cached_property
    def distances(self) -> Tensor:
        """Distances within each image's pool, see `pool_distances`."""
        return pool_distances(self.samples, self.targets)

    @property
    def rng(self) -> np.random.Generator:
        """A generator in its first state."""
        return np.random.default_rng(self.seed)

    @property
    def generator(self) -> torch.Generator:
        """A generator in its first state."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to the evidence.

    Attributes:
        name: of the check.
        question: what it asks.
        band: where its band comes from. ``exact``: a tolerance, no false alarm is possible;
            ``roles``: `role_test`, exact for any posterior; ``student``: Student's t between or
            within images; ``kolmogorov``: the Kolmogorov-Smirnov law, too wide if anything.
        function: measures, given the evidence and the rate of false alarms it may have.
        needs_posterior: whether it needs `Evidence.posterior_std`.
    """

    name: str
    question: str
    band: Band
    function: Callable[[Evidence, float], Measured]
    needs_posterior: bool = False


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name.
        measured: value, band and p-value.
        flagged: whether it raises an alarm.
    """

    check: str
    measured: Measured
    flagged: bool


def examine(evidence: Evidence, *, rate: float = RATE) -> tuple[Finding, ...]:
    """Put all checks that apply to the evidence.

    If any sample is not finite or leaves [0, 1], no other check can be made.

    Args:
        evidence: samples, targets and observations.
        rate: probability that an exact sampler is flagged by any check.
    """
    first, *others = BATTERY
    found = _ask(first, evidence, 0)
    if found.flagged:
        return (found,)
    asked = [c for c in others if not (c.needs_posterior and evidence.posterior_std is None)]
    unit = rate / sum(_SHARES[check.band] for check in asked)
    return found, *(_ask(check, evidence, unit * _SHARES[check.band]) for check in asked)


def flags(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return the names of the checks that raised an alarm."""
    return tuple(finding.check for finding in findings if finding.flagged)


def _ask(check: Check, evidence: Evidence, share: float) -> Finding:
    measured = check.function(evidence, share)
    return Finding(check.name, measured, measured.p_value <= share)


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
    Check(
        name="finite",
        question="Which share of samples is not finite or leaves [0, 1]?",
        band="exact",
        function=_finite,
    ),
    Check(
        name="validity",
        question="How far is any reobserved value from the observation?",
        band="exact",
        function=_validity,
    ),
    Check(
        name="null_space_width",
        question="How wide are the intervals of reobservations, which do not vary?",
        band="exact",
        function=_null_space_width,
    ),
    Check(
        name="duplicates",
        question="Which share of an image's samples repeats an earlier one?",
        band="exact",
        function=_duplicates,
    ),
    Check(
        name="coverage",
        question="How much of the target do 5-95 % intervals cover?",
        band="roles",
        function=_coverage,
    ),
    Check(
        name="spread_skill",
        question="Do samples differ as much as their mean errs?",
        band="roles",
        function=_spread_skill,
    ),
    Check(
        name="rank_histogram",
        question="How uneven are the ranks of target values among samples?",
        band="roles",
        function=_rank_histogram,
    ),
    Check(
        name="bias",
        question="Do samples err in the same direction on all images?",
        band="roles",
        function=_bias,
    ),
    Check(
        name="energy",
        question="Is the target as near to the samples as they are to each other?",
        band="roles",
        function=_energy,
    ),
    Check(
        name="pixel_dependence",
        question="And averaged over squares of 4x4 pixels?",
        band="roles",
        function=partial(_dependence, downsample=4, gray=False),
    ),
    Check(
        name="channel_dependence",
        question="And averaged over channels?",
        band="roles",
        function=partial(_dependence, downsample=1, gray=True),
    ),
    Check(
        name="tarp",
        question="Is the target as far from a random image as samples are?",
        band="kolmogorov",
        function=_tarp,
    ),
    Check(
        name="leak",
        question="Is the target nearer to a sample than samples are to each other?",
        band="roles",
        function=_leak,
    ),
    Check(
        name="outlier",
        question="Is the target of any image out of its samples' reach?",
        band="student",
        function=_outlier,
    ),
    Check(
        name="width",
        question="Are intervals as wide as the known posterior's?",
        band="student",
        function=_width,
        needs_posterior=True,
    ),
)
