"""The verdict on every case and metric, and on the run.

A row is a regression if the sign-flip test over all rows says that the mean got worse, at a
family-wise error rate of alpha, and it got worse by more than matters. The test asks about these
images: could a change without effect have moved the scores so? If so, swapping the two runs on an
image changes nothing, and the error rate holds exactly. Of another model that is as good on average
but in another way (most images a little worse, few much better) the test may say that it is worse;
the tolerance then decides. Rows with fewer than `MIN_IMAGES` images are untested and do not pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import false_discovery_control, norm

from invbench.gate.pairs import ALL_METRICS, Fact, Mismatch, Pair, pair_runs
from invbench.gate.statistics import (
    N_FLIPS,
    check_alpha,
    max_t,
    mean_intervals,
    minimum_detectable_effect,
    standard_errors,
)
from invbench.gate.verdicts import Comparison, GateReport, Mode, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from invbench.gate.snapshots import Snapshot
    from invbench.gate.timings import Speed

MIN_IMAGES = 12  # below 11, no p-value is under 5 % of 72: 2**-10 > 0.05 / 72 > 2**-11
POWER = 0.8  # at the minimum detectable effect

# By how much a mean may get worse before it matters: values to start from, none above the slack of
# thresholds.toml, which has to bear other hardware too. Coverage: one in a hundred of the target's
# values. Winkler, in units of intensity: an interval that is wider by as much costs as much.
# They also absorb what another CPU changes in the last digits, which is systematic, so significant.
TOLERANCES = {
    "psnr": 0.25,
    "ssim": 0.005,
    "lpips": 0.005,
    "lpips_random": 0.005,
    "coverage_error": 0.01,
    "winkler": 0.01,
}


def compare(
    baseline: Snapshot,
    candidate: Snapshot,
    *,
    mode: Mode = "regression",
    alpha: float = 0.05,
    allow_missing: bool = False,
    cases: Collection[str] | None = None,
    without: Collection[str] = (),
    speeds: Sequence[Speed] = (),
    n_flips: int = N_FLIPS,
    seed: int = 0,
) -> GateReport:
    """Judge a candidate against a baseline, image by image.

    Args:
        baseline: what was.
        candidate: what is.
        mode: ``regression`` fails what is shown to be worse. ``noninferiority`` also fails what is
            not shown to be no worse than tolerated: the upper end of the confidence interval has to
            stay below the tolerance, for each row; as all have to, no correction is due. ``warn``
            and ``off`` judge as ``regression`` does and fail nothing.
        alpha: family-wise error rate of the rows that are called regressed.
        allow_missing: whether the candidate may lack cases of the baseline.
        cases: ids to restrict the comparison to, if not all.
        without: metrics to leave out, which the report says.
        speeds: from `compare_timings`, to be part of the verdict.
        n_flips: sign flips.
        seed: of flips and resamples; the same runs get the same report.

    Raises:
        InvalidAlphaError: if alpha is not within (0, 1).
    """
    check_alpha(alpha)
    pairing = pair_runs(baseline, candidate, cases=cases, without=without)
    mismatches = list(pairing.mismatches)
    if not allow_missing:
        mismatches += [
            Mismatch(case, ALL_METRICS, "missing in the candidate") for case in pairing.missing
        ]
    mismatches += [
        Mismatch(pair.case, pair.metric, "no tolerance; state one in gate.TOLERANCES")
        for pair in pairing.pairs
        if pair.metric not in TOLERANCES
    ]
    tested, n_resamples, family_size = _test(
        [pair for pair in pairing.pairs if pair.metric in TOLERANCES],
        mode=mode,
        alpha=alpha,
        n_flips=n_flips,
        seed=seed,
    )
    rows = [*tested, *map(_judge_fact, pairing.facts), *map(_incomparable, mismatches)]
    return GateReport(
        baseline=baseline.name,
        candidate=candidate.name,
        mode=mode,
        alpha=alpha,
        n_resamples=n_resamples,
        family_size=family_size,
        rows=tuple(sorted(rows, key=lambda row: row.case)),
        missing_cases=tuple(pairing.missing),
        new_cases=tuple(pairing.new),
        unmeasured_cases=tuple(pairing.unmeasured),
        selected=cases is not None,
        notes=(*pairing.notes, *_notes(baseline, candidate, without)),
        speeds=tuple(speeds),
    )


def table_of(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Lay the differences of pairs out as ``[n_images, n_pairs]``, NaN where one lacks an image.

    An image is one row for all models, metrics and tasks that it occurs in: whatever their scores
    have in common, the flips of its sign keep.
    """
    units = {unit: row for row, unit in enumerate(dict.fromkeys(u for p in pairs for u in p.units))}
    table = np.full((len(units), len(pairs)), np.nan)
    for column, pair in enumerate(pairs):
        table[[units[unit] for unit in pair.units], column] = pair.worse
    return table


def _test(
    pairs: Sequence[Pair], *, mode: Mode, alpha: float, n_flips: int, seed: int
) -> tuple[list[Comparison], int, int]:
    """Test all pairs together; return their rows, the flips and the size of the family."""
    large = [pair for pair in pairs if len(pair.units) >= MIN_IMAGES]
    rows = [_small(pair, seed) for pair in pairs if len(pair.units) < MIN_IMAGES]
    if not large:
        return rows, 0, 0
    table = table_of(large)
    counts = [len(pair.units) for pair in large]
    tolerances = np.array([TOLERANCES[pair.metric] for pair in large])
    options: dict[str, Any] = {"n_flips": n_flips, "alpha": alpha}
    worse = max_t(table, generator=np.random.default_rng(seed), **options)
    better = max_t(-table, generator=np.random.default_rng(seed), **options)
    intervals = mean_intervals(table, generator=np.random.default_rng(seed))
    errors = standard_errors(table)
    effects = np.maximum(  # it has to be significant, and more than tolerated
        minimum_detectable_effect(errors, counts, critical=worse.critical, power=POWER),
        tolerances + norm.ppf(POWER) * errors,
    )
    q = false_discovery_control(worse.p)
    for column, pair in enumerate(large):
        numbers = _means(pair) | {
            "ci95": (float(intervals[column, 0]), float(intervals[column, 1])),
            "p": float(worse.p[column]),
            "p_adj": float(worse.p_adjusted[column]),
            "q": float(q[column]),
            "mde": float(effects[column]),
        }
        improved = float(better.p_adjusted[column]) < alpha
        rows.append(_judged(numbers, improved=improved, mode=mode, alpha=alpha))
    return rows, worse.n_flips, worse.family_size


def _judged(numbers: dict[str, Any], *, improved: bool, mode: Mode, alpha: float) -> Comparison:
    """Return the row of a tested pair, with its verdict."""
    estimate, tolerance = numbers["estimate"], numbers["tolerance"]
    reason = None
    if numbers["identical"]:
        verdict = Verdict.IDENTICAL
    elif numbers["p_adj"] < alpha and estimate > tolerance:
        verdict = Verdict.REGRESSED
    elif mode == "noninferiority" and numbers["ci95"][1] >= tolerance:
        verdict = Verdict.UNDERPOWERED
        reason = f"a loss of {numbers['ci95'][1]:.3g} is not excluded"
    elif improved and estimate < -tolerance:
        verdict = Verdict.IMPROVED
    else:
        verdict = Verdict.PASS
    return _row(numbers, verdict, reason)


def _small(pair: Pair, seed: int) -> Comparison:
    """Return the row of a pair with too few images for a test."""
    numbers = _means(pair)
    if numbers["identical"]:
        return _row(numbers, Verdict.IDENTICAL)
    if len(pair.units) > 1:
        low, high = mean_intervals(pair.worse[:, None], generator=np.random.default_rng(seed))[0]
        numbers["ci95"] = (float(low), float(high))
    reason = f"{len(pair.units)} images, a test needs {MIN_IMAGES}"
    return _row(numbers, Verdict.UNDERPOWERED, reason)


def _means(pair: Pair) -> dict[str, Any]:
    return {
        "case": pair.case,
        "metric": pair.metric,
        "n": len(pair.units),
        "baseline": float(pair.baseline.mean()),
        "candidate": float(pair.candidate.mean()),
        "estimate": float(pair.worse.mean()),
        "tolerance": TOLERANCES[pair.metric],
        "identical": not pair.worse.any(),
    }


def _row(numbers: dict[str, Any], verdict: Verdict, reason: str | None = None) -> Comparison:
    shown = {key: value for key, value in numbers.items() if key != "identical"}
    return Comparison(**shown, verdict=verdict, reason=reason)


def _judge_fact(fact: Fact) -> Comparison:
    """Compare exactly: any growth is a regression."""
    change = fact.candidate - fact.baseline
    return Comparison(
        case=fact.case,
        metric=fact.name,
        n=1,
        baseline=fact.baseline,
        candidate=fact.candidate,
        estimate=change,
        tolerance=0,
        verdict=Verdict.REGRESSED
        if change > 0
        else Verdict.IMPROVED
        if change < 0
        else Verdict.IDENTICAL,
    )


def _incomparable(mismatch: Mismatch) -> Comparison:
    return Comparison(
        case=mismatch.case,
        metric=mismatch.metric,
        verdict=Verdict.INCOMPARABLE,
        reason=mismatch.reason,
    )


def _notes(baseline: Snapshot, candidate: Snapshot, without: Collection[str]) -> list[str]:
    notes = [f"left out: {', '.join(sorted(without))}"] if without else []
    if baseline.device != candidate.device:
        notes.append(f"devices differ: {baseline.device} -> {candidate.device}")
    return notes
