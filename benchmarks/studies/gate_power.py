"""How often does the gate raise a false alarm, and how much does it miss?

Run: python benchmarks/studies/gate_power.py

Differences between two models of other weights are drawn for the whole family of 120 rows, 24 cases
with five metrics, from a world without any change of the mean: images of one photograph are
correlated as differences between the shipped models are, metrics of a case have 60 % of their
variance in common, and every second photograph has two images. Differences are normal, or skewed
(lognormal, sigma 0.8): most images a little worse and few much better, or the reverse. No tolerance
helps: a row counts as soon as it is significant. Two promises are held against what is measured:

- false alarms: any of the 120 rows is called regressed in 5 % of all comparisons or fewer: the
  Clopper-Pearson interval contains 5 % or lies below;
- power: from 20 photographs on, a loss of 1.5 times the printed minimum detectable effect in one
  row is called a regression in 80 % or more.

Shown and not judged: how often the sign flips alone would have alarmed (`suspect`), how often a row
whose loss is exactly the tolerance is called no worse (nominal: 2.5 %), and the alarms of smaller
families: one model on three tasks (15 rows), one case (5 rows), one row.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from invbench.gate.flips import flip_test
from invbench.gate.groups import GroupSums, sum_by_group
from invbench.gate.judging import RESAMPLING_SHARE
from invbench.gate.resampling import resample_test
from invbench.gate.statistics import minimum_detectable_effect

WITHIN = np.array([0.42, 0.57, 0.43, 0.27, 0.25])  # psnr, ssim, lpips, coverage error, winkler
COMMON_SHARE = 0.6  # of the variance, common to the metrics of a case
SIGMA = 0.8  # of the lognormal differences
ALPHA, POWER = 0.05, 0.8
FLIPS, RESAMPLES = 2000, 999
WORLDS = ("normal", "most worse", "most better")


@dataclass
class Counts:
    """What was said of comparisons without a change."""

    regressed: int = 0
    suspect: int = 0
    no_worse: int = 0
    rows: int = 0


def photographs(n):
    """Name the photograph of each image; every second one has two."""
    return np.concatenate([np.arange(n), np.arange(n)[::2]])


def draw(rng, n, world, n_cases):
    """Draw ``[images, 5 n_cases]`` differences of mean 0 and variance 1; positive is worse."""
    labels = photographs(n)
    within = WITHIN
    if world != "normal":  # so that the lognormal has the correlation, not its logarithm
        within = np.log1p(WITHIN * np.expm1(SIGMA**2)) / SIGMA**2

    def noise(count):
        common = rng.standard_normal((count, n_cases, 1))
        own = rng.standard_normal((count, n_cases, len(WITHIN)))
        return COMMON_SHARE**0.5 * common + (1 - COMMON_SHARE) ** 0.5 * own

    z = within**0.5 * noise(n)[labels] + (1 - within) ** 0.5 * noise(len(labels))
    if world == "normal":
        return z.reshape(len(labels), -1)
    deviation = (np.expm1(SIGMA**2) * np.exp(SIGMA**2)) ** 0.5
    skewed = (np.exp(SIGMA * z) - np.exp(SIGMA**2 / 2)) / deviation
    sign = -1.0 if world == "most worse" else 1.0
    return sign * skewed.reshape(len(labels), -1)


def both_tests(groups, rng):
    """Return the two tests, and which rows both call worse."""
    flipped = flip_test(groups, generator=rng, n_flips=FLIPS, alpha=ALPHA)
    share = RESAMPLING_SHARE * ALPHA
    resampled = resample_test(groups, generator=rng, n_resamples=RESAMPLES, alpha=share)
    by_flips = flipped.p_adjusted < ALPHA
    return flipped, resampled, by_flips & (resampled.test.p_adjusted < share)


def without_change(rng, n, world, repeats):
    """Count verdicts, and return the median critical value and standard errors as well."""
    counts, critical, errors = Counts(), [], []
    for _ in range(repeats):
        groups = sum_by_group(draw(rng, n, world, 24), photographs(n).tolist())
        flipped, resampled, worse = both_tests(groups, rng)
        counts.regressed += bool(worse.any())
        counts.suspect += bool(((flipped.p_adjusted < ALPHA) & ~worse).any())
        counts.no_worse += int((resampled.intervals[:, 1] < 0).sum())
        counts.rows += len(worse)
        critical.append(max(flipped.critical, resampled.test.critical))
        errors.append(groups.standard_errors)
    return counts, float(np.median(critical)), np.median(errors, axis=0)


def with_a_loss(rng, n, world, repeats, loss):
    """Return how often a loss in one row is called a regression."""
    found = 0
    for repeat in range(repeats):
        groups = sum_by_group(draw(rng, n, world, 24), photographs(n).tolist())
        row = repeat % groups.sums.shape[1]
        sums = groups.sums.copy()
        sums[:, row] += loss[row] * groups.sizes[:, row]
        found += bool(both_tests(GroupSums(sums, groups.sizes), rng)[2][row])
    return found


def interval(found, of):
    """Return the Clopper-Pearson interval of a rate."""
    bounds = binomtest(int(found), of).proportion_ci(0.95, "exact")
    return bounds.low, bounds.high


def shown(found, of):
    low, high = interval(found, of)
    return f"{found / of:.3f} [{low:.3f}, {high:.3f}]"


def examine(n, world, repeats, rng):
    """Print one line; return whether a promise was broken."""
    counts, critical, errors = without_change(rng, n, world, repeats)
    effect = minimum_detectable_effect(errors, n, critical=critical, power=POWER)
    found = {
        factor: with_a_loss(rng, n, world, repeats // 2, factor * effect) for factor in (1.0, 1.5)
    }
    alarms_broken = interval(counts.regressed, repeats)[0] > ALPHA
    power_broken = n >= 20 and interval(found[1.5], repeats // 2)[1] < POWER
    columns = (
        f"{world:<12}{n:>4}",
        shown(counts.regressed, repeats),
        f"{counts.suspect / repeats:.3f}",
        f"{counts.no_worse / counts.rows:.3f}",
        f"{float(np.median(effect)):.2f}",
        f"{found[1.0] / (repeats // 2):.2f}",
        shown(found[1.5], repeats // 2),
        "BROKEN" if alarms_broken or power_broken else "kept",
    )
    print(" | ".join(columns), flush=True)
    return alarms_broken or power_broken


def examine_small(n, repeats, rng):
    """Print how often a family of few rows alarms under skewness: one row, a case, three cases."""
    alarms = []
    for rows in (1, len(WITHIN), 3 * len(WITHIN)):
        found = 0
        for _ in range(repeats):
            table = draw(rng, n, "most worse", -(-rows // len(WITHIN)))[:, :rows]
            groups = sum_by_group(table, photographs(n).tolist())
            found += bool(both_tests(groups, rng)[2].any())
        alarms.append(shown(found, repeats))
    print(" | ".join([f"{n:>4}", *alarms]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400, help="comparisons for each rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    print(f"{options.repeats} comparisons for each rate, half as many for power; 95 % intervals")
    print(
        "differences, photographs | regressed, 120 rows | suspect | "
        "a loss of the tolerance passes | MDE in sd of an image | power at MDE | at 1.5 MDE"
    )
    broken = []
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng(options.seed + number)
        broken += [examine(n, world, options.repeats, rng) for n in (9, 12, 20, 48)]
    print("alarms of small families, most worse: photographs | 1 row | 5 rows | 15 rows")
    rng = np.random.default_rng(options.seed + 1)
    for n in (9, 12, 20, 48):
        examine_small(n, 3 * options.repeats // 2, rng)
    print(f"{time.process_time() - start:.0f} s of CPU")
    return int(any(broken))


if __name__ == "__main__":
    sys.exit(main())
