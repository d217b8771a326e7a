"""The verdict on a row. Two questions, by whether the two runs have the same weights.

The same weights and seeds draw the same samples: scores agree but for rounding, and whatever
changed more than that is named, image by image. No statistics is needed. Of other weights only
means can be compared: all their rows are tested together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from invbench.escaping import counted
from invbench.gate.groups import sum_by_group
from invbench.gate.resampling import LEVEL
from invbench.gate.statistics import (
    attainable_p,
    both_tests,
    can_be_resampled,
    minimum_detectable_effect,
    photographs_needed,
)
from invbench.gate.tolerances import LOST_DEVIATIONS, LOST_TOLERANCES, TOLERANCES
from invbench.gate.verdicts import Comparison, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from invbench.gate.pairs import Fact, Mismatch, PairedScores

MIN_PHOTOGRAPHS = 8  # a bootstrap of fewer has hardly any resamples that differ
POWER = 0.8  # at the minimum detectable effect
_NORMAL_MAD = 1.4826  # times the median absolute deviation of a normal distribution is its sd
_ONE_ROW = float(norm.ppf(0.5 + LEVEL / 2))  # what the interval of a single row is made with


def judge_same(pair: PairedScores) -> Comparison:
    """Judge scores of the same weights and seeds: equal but for another machine's rounding.

    An image that differs by more is changed, whatever the mean says. The row is improved if no
    changed image is worse.
    """
    changed = np.flatnonzero(np.abs(pair.worse) > TOLERANCES[pair.metric].drift)
    lost = _lost(pair)
    if not changed.size:
        return _row(pair, Verdict.IDENTICAL)
    if lost.size:
        return _row(pair, Verdict.LOST, images=lost)
    better = bool((pair.worse[changed] < 0).all())
    return _row(pair, Verdict.IMPROVED if better else Verdict.CHANGED, images=changed)


def judge_others(pairs: Sequence[PairedScores], *, alpha: float, seed: int) -> list[Comparison]:
    """Judge scores of other weights: test the means of all rows together.

    A row is regressed if `statistics.both_tests` say that its mean got worse, and it got worse by
    more than is tolerated. If only the sign flips say so it is suspect. It is no worse if the upper
    end of its confidence interval is below the tolerance; as that is asked of each row by itself,
    no correction is due.

    Args:
        pairs: what is tested; a metric without a tolerance has no place here.
        alpha: family-wise error rate.
        seed: of flips and resamples.
    """
    rows = [_untested(pair, alpha) for pair in pairs]
    tested = [pair for pair, row in zip(pairs, rows, strict=True) if row is None]
    found = iter(_tested(tested, alpha=alpha, seed=seed) if tested else ())
    return [next(found) if row is None else row for row in rows]


def judge_fact(fact: Fact) -> Comparison:
    """Compare exactly: any growth is a regression."""
    change = fact.candidate - fact.baseline
    verdict = Verdict.IDENTICAL if change == 0 else Verdict.IMPROVED
    return Comparison(
        case=fact.case,
        metric=fact.name,
        n=1,
        baseline=fact.baseline,
        candidate=fact.candidate,
        estimate=change,
        tolerance=0,
        verdict=Verdict.REGRESSED if change > 0 else verdict,
    )


def incomparable(mismatch: Mismatch) -> Comparison:
    """Name what cannot be compared."""
    return Comparison(
        case=mismatch.case,
        metric=mismatch.metric,
        verdict=Verdict.INCOMPARABLE,
        reason=mismatch.reason,
    )


def table_of(pairs: Sequence[PairedScores]) -> tuple[NDArray[np.float64], list[str]]:
    """Lay the differences of pairs out as ``[n_images, n_pairs]``, NaN where one lacks an image.

    A photograph is one unit for all models, metrics and tasks that it occurs in: whatever their
    scores have in common, flips and resamples keep.

    Returns:
        The table, and the photograph that each of its rows is of.
    """
    keys = [list(zip(pair.photographs, pair.images, strict=True)) for pair in pairs]
    rows = {key: row for row, key in enumerate(dict.fromkeys(key for some in keys for key in some))}
    table = np.full((len(rows), len(pairs)), np.nan)
    for column, pair in enumerate(pairs):
        table[[rows[key] for key in keys[column]], column] = pair.worse
    return table, [photograph for photograph, _ in rows]


def _untested(pair: PairedScores, alpha: float) -> Comparison | None:
    """Return the row of a pair that needs no test, or has too few photographs for one."""
    n = _n_photographs(pair)
    lost = _lost(pair)
    if not _n_differing(pair):
        return _row(pair, Verdict.IDENTICAL)
    if n >= MIN_PHOTOGRAPHS and attainable_p(n) < alpha:
        return None
    if lost.size:
        return _row(pair, Verdict.LOST, images=lost)
    reason = (
        f"{counted(n, 'photograph')}, a test needs {MIN_PHOTOGRAPHS}"
        if n < MIN_PHOTOGRAPHS
        else f"{n} photographs reach p = {attainable_p(n):.2g} at best, alpha is {alpha:g}"
    )
    return _row(pair, Verdict.UNDERPOWERED, reason=reason)


def _tested(pairs: Sequence[PairedScores], *, alpha: float, seed: int) -> list[Comparison]:
    """Return the rows of pairs with enough photographs.

    A row in which few photographs differ is left to the sign flips, see `can_be_resampled`.
    """
    groups = sum_by_group(*table_of(pairs))
    resampled = np.array(
        [can_be_resampled(_n_photographs(pair), _n_differing(pair), alpha=alpha) for pair in pairs]
    )
    worse, better = (
        both_tests(side, alpha=alpha, seed=seed, resampled=resampled)
        for side in (groups, replace(groups, sums=-groups.sums))
    )
    tolerances = np.array([TOLERANCES[pair.metric].loss for pair in pairs])
    errors = groups.standard_errors
    effects = np.maximum(  # it has to be significant, and more than tolerated
        minimum_detectable_effect(errors, groups.n_groups, critical=worse.critical, power=POWER),
        tolerances + norm.ppf(POWER) * errors,
    )
    return [
        _decided(
            pair,
            shown=bool(worse.p[column] < alpha),
            better=bool(better.p[column] < alpha),
            critical=worse.critical,
            spread=float(errors[column] * np.sqrt(groups.n_groups[column])),
            alpha=alpha,
            ci95=tuple(worse.resampled.intervals[column].tolist()),
            p_flips=float(worse.flipped.p_adjusted[column]),
            p_resampled=float(worse.resampled.test.p_adjusted[column]),
            mde=float(effects[column]),
        )
        for column, pair in enumerate(pairs)
    ]


def _decided(
    pair: PairedScores,
    *,
    shown: bool,
    better: bool,
    critical: float,
    spread: float,
    alpha: float,
    **numbers: Any,
) -> Comparison:
    """Return the row of a tested pair.

    Args:
        pair: what was tested.
        shown: whether both tests say that it got worse.
        better: whether both say that it got better.
        critical: what t has to exceed for both to say so.
        spread: standard deviation between photographs.
        alpha: family-wise error rate.
        numbers: of the row.
    """
    estimate, tolerance = float(pair.worse.mean()), TOLERANCES[pair.metric].loss
    upper, lost = numbers["ci95"][1], _lost(pair)
    if shown and estimate > tolerance:
        return _row(pair, Verdict.REGRESSED, **numbers)
    if lost.size:
        return _row(pair, Verdict.LOST, images=lost, **numbers)
    if numbers["p_flips"] < alpha and estimate > tolerance:
        needed = photographs_needed(spread, estimate, critical)
        reason = f"shown if differences are symmetric; about {needed} photographs would settle it"
        numbers |= {"photographs_needed": needed, "reason": reason}
        return _row(pair, Verdict.SUSPECT, **numbers)
    if better and estimate < -tolerance:
        return _row(pair, Verdict.IMPROVED, **numbers)
    if upper < tolerance:
        return _row(pair, Verdict.NO_WORSE, **numbers)
    if estimate > tolerance:
        needed = photographs_needed(spread, estimate, critical)
    else:
        margin = max(tolerance - estimate, 0.01 * tolerance)
        needed = photographs_needed(spread, margin, _ONE_ROW)
    reason = f"a loss of {upper:.3g} is not excluded; about {needed} photographs would decide"
    return _row(pair, Verdict.UNRESOLVED, **numbers, photographs_needed=needed, reason=reason)


def _n_photographs(pair: PairedScores) -> int:
    return len(set(pair.photographs))


def _n_differing(pair: PairedScores) -> int:
    """Count the photographs with an image that differs by more than rounding."""
    differs = np.abs(pair.worse) > TOLERANCES[pair.metric].drift
    return len({pair.photographs[index] for index in np.flatnonzero(differs)})


def _lost(pair: PairedScores) -> NDArray[np.int64]:
    """Return the images that lost far more than is tolerated, and than others of the row vary by.

    The latter is measured from the median by the median absolute deviation, which up to half of the
    images can spoil without moving it.
    """
    from_median = pair.worse - np.median(pair.worse)
    deviation = _NORMAL_MAD * np.median(np.abs(from_median))
    large = pair.worse > LOST_TOLERANCES * TOLERANCES[pair.metric].loss
    return np.flatnonzero(large & (from_median > LOST_DEVIATIONS * deviation))


def _row(
    pair: PairedScores, verdict: Verdict, *, images: NDArray[np.int64] | None = None, **numbers: Any
) -> Comparison:
    """Return a row with the pair's means, and the images that it names, the largest loss first."""
    named: dict[str, Any] = {}
    if images is not None:
        worst_first = images[np.argsort(-pair.worse[images], kind="stable")]
        named["images"] = tuple(pair.images[i] for i in worst_first)
        named["largest_loss"] = float(pair.worse[images].max())
    return Comparison(
        case=pair.case,
        metric=pair.metric,
        unit=pair.unit,
        n=_n_photographs(pair),
        baseline=float(pair.baseline.mean()),
        candidate=float(pair.candidate.mean()),
        estimate=float(pair.worse.mean()),
        tolerance=TOLERANCES[pair.metric].loss,
        verdict=verdict,
        **named,
        **numbers,
    )
