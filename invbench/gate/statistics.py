"""Paired tests of many hypotheses at once. Knows arrays, and nothing of images or runs.

Everywhere ``differences`` is ``[n_units, n_hypotheses]``: candidate minus baseline, positive where
the candidate is worse, NaN where a hypothesis was not measured on a unit. A unit is what is
independent of the others, an image; all its differences change sign together, so whatever
dependence there is between hypotheses is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import nctdtrinc
from scipy.stats import bootstrap

from invbench.errors import InvbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

N_FLIPS = 10_000
N_RESAMPLES = 4999
_CHUNK = 1024  # flips that are in memory at once
# Flips that tie in exact arithmetic differ by rounding: the cosine of a column with the signs is
# good to some 1e-16, so that t, cut off where the cosine is within 1e-10 of 1, is good to 1e-6.
_UNEXPLAINED = 2e-10
_TIE = 1e-6


class InvalidDifferencesError(InvbenchError, ValueError):
    """Differences are not a table of numbers with two or more units to each hypothesis."""


class InvalidAlphaError(InvbenchError, ValueError):
    """An error rate is not a probability within (0, 1)."""


@dataclass(frozen=True, eq=False)
class MaxT:
    """What the sign-flip test says of each hypothesis, one-sided.

    Attributes:
        t: the studentized mean of each hypothesis; 0 where all differences are 0.
        p: of each hypothesis by itself.
        p_adjusted: the smallest family-wise error rate at which it is rejected.
        critical: what the largest t has to exceed to be rejected at the given rate.
        n_flips: flips that were looked at, the one that changes nothing included.
        exact: whether those were all there are.
        family_size: hypotheses that were tested: those with a difference other than 0.
    """

    t: NDArray[np.float64]
    p: NDArray[np.float64]
    p_adjusted: NDArray[np.float64]
    critical: float
    n_flips: int
    exact: bool
    family_size: int


def max_t(
    differences: ArrayLike,
    *,
    generator: np.random.Generator,
    n_flips: int = N_FLIPS,
    alpha: float = 0.05,
) -> MaxT:
    """Test whether means are positive, with strong control of the family-wise error rate.

    If swapping candidate and baseline on any unit changes nothing in distribution, every flip of
    the units' signs is as likely as the one observed. The p-value of a hypothesis is the share of
    flips whose studentized mean ``sqrt(n) mean / sd`` reaches its own; the adjusted one is the
    share in which the largest of all those that rank at or below it does (step-down max-T,
    Westfall and Young 1993, algorithm 4.1). If there are no more than ``n_flips`` flips, all are
    looked at and the test is exact; otherwise that many are drawn, and the observed one counted
    among them, which keeps it valid.

    Hypotheses whose differences are all 0 have p = 1 and do not count in the family.

    Args:
        differences: ``[n_units, n_hypotheses]``, NaN where not measured.
        generator: draws the flips.
        n_flips: how many.
        alpha: family-wise error rate that ``critical`` belongs to.

    Raises:
        InvalidDifferencesError: if a difference is infinite, or a hypothesis has fewer than two.
        InvalidAlphaError: if alpha is not within (0, 1).

    Example:
        >>> result = max_t([[1.0, 0.1], [1.1, -0.2], [0.9, 0.1], [1.2, 0.0], [1.0, 0.0]],
        ...                generator=np.random.default_rng(0))
        >>> result.exact, result.p.tolist()  # 2 to the power of 5 flips; one is as extreme
        (True, [0.03125, 0.625])
    """
    check_alpha(alpha)
    table, counts = _checked(differences)
    tested = np.flatnonzero(np.nan_to_num(table).any(axis=0))
    t, p, p_adjusted = np.zeros(len(counts)), np.ones(len(counts)), np.ones(len(counts))
    if tested.size == 0:
        return MaxT(t, p, p_adjusted, 0.0, 1, exact=True, family_size=0)
    cosines, counts = _cosines(table[:, tested], counts[tested]), counts[tested]
    observed = _studentized(cosines.sum(axis=0), counts)

    order = np.argsort(-observed, kind="stable")
    cosines, counts = cosines[:, order], counts[order]
    reached = observed[order] - _TIE * np.abs(observed[order])
    alone, among, largest = np.zeros(len(order)), np.zeros(len(order)), []
    for signs in sign_flips(len(table), n_flips, generator):
        flipped = _studentized(signs @ cosines, counts)
        largest_from = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        alone += (flipped >= reached).sum(axis=0)
        among += (largest_from >= reached).sum(axis=0)
        largest.append(largest_from[:, 0])

    maxima = np.sort(np.concatenate(largest))[::-1]
    total = len(maxima)
    t[tested] = observed
    p[tested[order]] = alone / total
    p_adjusted[tested[order]] = np.maximum.accumulate(among / total)
    critical = float(maxima[max(int(np.ceil(alpha * total)) - 1, 0)])
    exact = 2 ** len(table) <= n_flips
    return MaxT(t, p, p_adjusted, critical, total, exact=exact, family_size=len(order))


def sign_flips(
    n_units: int, n_flips: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield chunks ``[c, n_units]`` of 1 and -1, the first row all 1.

    All ``2**n_units`` rows if they are no more than ``n_flips``, else one of ones and ``n_flips``
    random ones.
    """
    if 2**n_units <= n_flips:
        for start in range(0, 2**n_units, _CHUNK):
            codes = np.arange(start, min(start + _CHUNK, 2**n_units))[:, None]
            yield np.where(codes >> np.arange(n_units) & 1, -1.0, 1.0)
        return
    yield np.ones((1, n_units))
    for start in range(0, n_flips, _CHUNK):
        size = (min(_CHUNK, n_flips - start), n_units)
        yield np.where(generator.integers(0, 2, size, np.int8), -1.0, 1.0)


def mean_intervals(
    differences: ArrayLike,
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
) -> NDArray[np.float64]:
    """Return confidence intervals ``[n_hypotheses, 2]`` of means, over units.

    They are bias-corrected and accelerated (Efron 1987). Where all differences are the same there
    is nothing to resample, and the interval is that difference.

    Args:
        differences: ``[n_units, n_hypotheses]``, NaN where not measured.
        generator: draws the resamples; those of columns measured on the same units are common.
        level: two-sided confidence.
        n_resamples: how many.

    Raises:
        InvalidDifferencesError: as `max_t`.
    """
    table, counts = _checked(differences)
    measured = ~np.isnan(table)
    means = np.nan_to_num(table).sum(axis=0) / counts
    intervals = np.stack([means, means], axis=1)
    spread = np.nanmax(table, axis=0) - np.nanmin(table, axis=0)
    vary = spread > 1e-12 * np.nanmax(np.abs(table), axis=0)
    for units in np.unique(measured[:, vary], axis=1).T:
        columns = np.flatnonzero(vary & (measured == units[:, None]).all(axis=0))
        # `random_state` rather than `rng`: scipy 1.14 does not know the new name
        found = bootstrap(
            (table[units][:, columns],),
            np.mean,
            axis=0,
            vectorized=True,
            n_resamples=n_resamples,
            batch=100,
            confidence_level=level,
            method="BCa",
            random_state=generator,
        ).confidence_interval
        intervals[columns] = np.stack([found.low, found.high], axis=1)
    return intervals


def standard_errors(differences: ArrayLike) -> NDArray[np.float64]:
    """Return the standard error of the mean of each hypothesis, over units."""
    table, counts = _checked(differences)
    deviations = np.nanstd(table, axis=0, ddof=1)
    return np.asarray(deviations / np.sqrt(counts))


def minimum_detectable_effect(
    standard_error: ArrayLike, n_units: ArrayLike, *, critical: float, power: float = 0.8
) -> NDArray[np.float64]:
    """Return the mean difference that a t-test against ``critical`` finds with a given power.

    With mean ``delta`` in standard errors, t follows the noncentral t distribution with n - 1
    degrees of freedom; delta is where that exceeds ``critical`` with probability ``power``. For
    many units it is ``critical`` plus the normal quantile of ``power``.

    Args:
        standard_error: of each mean.
        n_units: behind each mean, at least 2.
        critical: as in `MaxT`.
        power: probability of finding it.

    Example:
        >>> float(minimum_detectable_effect(1.0, 10**6, critical=3.0).round(2))
        3.84
    """
    freedom = np.asarray(n_units, dtype=np.float64) - 1
    noncentrality = nctdtrinc(freedom, 1 - power, critical)
    return np.asarray(noncentrality * np.asarray(standard_error))


def check_alpha(alpha: float) -> None:
    """Refuse an error rate that is not one.

    Raises:
        InvalidAlphaError: if it is not within (0, 1).
    """
    if not 0 < alpha < 1:
        raise InvalidAlphaError(f"alpha {alpha}; expected a probability, such as 0.05")


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number, whatever their dependence (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _checked(differences: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the table, and how many units each hypothesis was measured on."""
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or np.isinf(table).any():
        raise InvalidDifferencesError(
            f"differences {table.shape}; expected finite numbers or NaN, [units, hypotheses]"
        )
    counts = (~np.isnan(table)).sum(axis=0)
    if (counts < 2).any():
        raise InvalidDifferencesError(
            f"hypothesis {int(np.argmin(counts))} has {int(counts.min())} units; a test needs two"
        )
    return table, counts


def _cosines(table: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scale columns so that their product with signs is the cosine of the angle between the two."""
    filled = np.nan_to_num(table)
    filled = filled / np.abs(filled).max(axis=0)  # squares of tiny numbers would vanish
    return np.asarray(filled / np.linalg.norm(filled, axis=0) / np.sqrt(counts))


def _studentized(cosines: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``sqrt(n) mean / sd`` for cosines ``[..., n_hypotheses]``; flips keep the norm."""
    unexplained = np.maximum(1 - cosines**2, _UNEXPLAINED)
    return np.asarray(np.sqrt(counts - 1) * cosines / np.sqrt(unexplained))
