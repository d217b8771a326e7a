"""How much faster or slower a candidate samples.

Rounds within one process share its luck: where memory lies, which clock the device runs at. A test
on rounds finds a difference between any two processes. So the unit is the process, and its median
round. With fewer than `MIN_PROCESSES` on either side, or on two machines, ratios are shown and
nothing is concluded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import bootstrap, ttest_ind

from invbench.errors import InvalidRecordError
from invbench.gate.statistics import holm

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from invbench.gate.snapshots import Snapshot, Timing

MIN_PROCESSES = 5
FLOOR = 0.05  # a smaller relative change is never called one
SPREADS = 3  # nor one within so many standard deviations between processes of the baseline


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Throughput of the candidate in units of the baseline's.

    Attributes:
        case: id.
        baseline_key: environment of the baseline's timing.
        candidate_key: environment of the candidate's.
        n_processes: on either side.
        ratio: of samples a second; above 1 is faster. None if one side was not timed.
        ci95: its 95 % interval: between processes where there are two or more on either side,
            else between rounds, which leaves out what differs from process to process.
        p_adj: two-sided, adjusted for all cases tested.
        tolerance: relative change that the ratio has to exceed.
        verdict: what is said; "untested" says nothing.
        reason: why it was not tested.
    """

    case: str
    baseline_key: str | None
    candidate_key: str | None
    n_processes: tuple[int, int]
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    p_adj: float | None = None
    tolerance: float | None = None
    verdict: Literal["slower", "faster", "same", "untested"] = "untested"
    reason: str | None = None


def compare_timings(
    baseline: Snapshot,
    candidate: Snapshot,
    *,
    alpha: float = 0.05,
    cases: Collection[str] | None = None,
    seed: int = 0,
) -> tuple[Speed, ...]:
    """Compare the throughput of every case that was timed.

    On one environment key and with enough processes, Welch's t-test is made on the logarithms of
    process medians, adjusted for the number of cases by Holm's method. A case is slower or faster
    if that is significant, and the change is above the floor: 5 %, or three standard deviations
    between the baseline's own processes.

    Args:
        baseline: what was.
        candidate: what is.
        alpha: family-wise error rate.
        cases: ids to restrict the comparison to.
        seed: of the resamples.

    Raises:
        InvalidRecordError: if a round took no time or a process has no round.
    """
    generator = np.random.default_rng(seed)
    speeds, p = [], {}
    for case in sorted(baseline.timings.keys() | candidate.timings.keys()):
        if cases is not None and case not in cases:
            continue
        before, after = baseline.timings.get(case), candidate.timings.get(case)
        if before is None or after is None:
            speeds.append(_one_sided(case, before, after))
            continue
        speed, chance = _two_sided(case, before, after, generator)
        speeds.append(speed)
        if speed.reason is None:
            p[case] = chance
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    return tuple(
        _judged(speed, float(adjusted[speed.case]), alpha) if speed.case in adjusted else speed
        for speed in speeds
    )


def _one_sided(case: str, before: Timing | None, after: Timing | None) -> Speed:
    """Return the row of a case that only one side timed."""
    return Speed(
        case=case,
        baseline_key=before.environment_key if before else None,
        candidate_key=after.environment_key if after else None,
        n_processes=(len(before.seconds) if before else 0, len(after.seconds) if after else 0),
        reason=f"not timed in the {'candidate' if before else 'baseline'}",
    )


def _two_sided(
    case: str, before: Timing, after: Timing, generator: np.random.Generator
) -> tuple[Speed, float]:
    """Return the row of a case that both sides timed, not judged yet, and its p-value."""
    rates = (_log_rates(before, case), _log_rates(after, case))
    difference, interval, chance = _difference(rates, (before, after), generator)
    reason = _untested(before, after)
    speed = Speed(
        case=case,
        baseline_key=before.environment_key,
        candidate_key=after.environment_key,
        n_processes=(len(before.seconds), len(after.seconds)),
        ratio=float(np.exp(difference)),
        ci95=interval,
        tolerance=None if reason else float(np.expm1(_floor(rates[0]))),
        reason=reason,
    )
    return speed, chance


def _judged(speed: Speed, p_adjusted: float, alpha: float) -> Speed:
    change = np.log(speed.ratio or 1.0)
    matters = abs(change) > np.log1p(speed.tolerance or 0.0)
    verdict: Literal["slower", "faster", "same"] = "same"
    if p_adjusted < alpha and matters:
        verdict = "slower" if change < 0 else "faster"
    return replace(speed, p_adj=p_adjusted, verdict=verdict)


def _untested(before: Timing, after: Timing) -> str | None:
    if before.environment_key != after.environment_key:
        return "other environment"
    fewest = min(len(before.seconds), len(after.seconds))
    if fewest < MIN_PROCESSES:
        return f"{fewest} process{'es' * (fewest > 1)}, a test needs {MIN_PROCESSES}"
    return None


def _log_rates(timing: Timing, case: str) -> NDArray[np.float64]:
    """Return the logarithm of samples a second in the median round of each process."""
    for process in timing.seconds:
        if not process or not np.isfinite(process).all() or min(process) <= 0:
            raise InvalidRecordError(f"{case}: a process without rounds, or rounds without seconds")
    if not timing.seconds:
        raise InvalidRecordError(f"{case}: timed, but by no process")
    medians = [np.median(process) for process in timing.seconds]
    return np.log(timing.samples_per_round / np.array(medians, dtype=np.float64))


def _floor(rates: NDArray[np.float64]) -> float:
    return float(max(np.log1p(FLOOR), SPREADS * rates.std(ddof=1)))


def _difference(
    rates: tuple[NDArray[np.float64], NDArray[np.float64]],
    timings: tuple[Timing, Timing],
    generator: np.random.Generator,
) -> tuple[float, tuple[float, float] | None, float]:
    """Return the difference of log rates, the interval of the ratio, and a p-value."""
    before, after = rates
    difference = float(after.mean() - before.mean())
    if min(map(len, rates)) == 1:
        return difference, _between_rounds(difference, timings, generator), 1.0
    if max(np.ptp(before), np.ptp(after)) == 0:
        ratio = float(np.exp(difference))
        return difference, (ratio, ratio), float(difference == 0)
    test = ttest_ind(after, before, equal_var=False)
    interval = test.confidence_interval(0.95)
    return (
        difference,
        (float(np.exp(interval.low)), float(np.exp(interval.high))),
        float(test.pvalue),
    )


def _between_rounds(
    difference: float, timings: tuple[Timing, Timing], generator: np.random.Generator
) -> tuple[float, float] | None:
    """Return the interval of the ratio from rounds, where one side has a single process."""
    rounds = [np.log(np.concatenate(timing.seconds)) for timing in timings]
    if min(map(len, rounds)) == 1:
        return None

    def shift(
        before: NDArray[np.float64], after: NDArray[np.float64], axis: int = -1
    ) -> NDArray[np.float64]:
        return np.asarray(np.median(before, axis=axis) - np.median(after, axis=axis))

    found = bootstrap(
        rounds,
        shift,
        vectorized=True,
        n_resamples=1999,
        method="percentile",  # medians have no smooth influence to accelerate with
        random_state=generator,
    ).confidence_interval
    moved = difference - float(shift(rounds[0], rounds[1]))
    return float(np.exp(found.low + moved)), float(np.exp(found.high + moved))
