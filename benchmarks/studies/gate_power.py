"""How often does the gate raise a false alarm, and how much does it miss?

Run: python benchmarks/studies/gate_power.py

Differences between two models of other weights are drawn for the whole family of 120 rows, 24 cases
with five metrics, from a world without any change of the mean: images of one photograph are
correlated as differences between the shipped models are, metrics of a case have 60 % of their
variance in common, and every second photograph has two images. Differences are normal, or skewed
(lognormal, sigma 0.8): most images a little worse and few much better, or the reverse. No tolerance
helps: a row counts as soon as it is significant. Two promises are held against what is measured, by
Clopper-Pearson intervals that have to lie on the right side as a whole:

- false alarms: any row is called regressed in 5 % of all comparisons or fewer, in the family of 120
  rows and in smaller ones: one model on three tasks (15 rows), one case (5 rows), one row;
- power: from 20 photographs on, a loss of 1.5 times the printed minimum detectable effect in one
  row is called a regression in 80 % or more.

Shown and not judged: how often the sign flips alone would have alarmed (`suspect`), and how often a
row whose loss is exactly the tolerance is called no worse (nominal: 2.5 %).
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from scipy.stats import binomtest

from invbench.gate import MIN_PHOTOGRAPHS
from invbench.gate.flips import flip_test
from invbench.gate.groups import GroupSums, sum_by_group
from invbench.gate.statistics import both_tests, minimum_detectable_effect

WITHIN = np.array([0.42, 0.57, 0.43, 0.27, 0.25])  # psnr, ssim, lpips, coverage error, winkler
COMMON_SHARE = 0.6  # of the variance, common to the metrics of a case
SIGMA = 0.8  # of the lognormal differences
ALPHA, POWER = 0.05, 0.8
COUNTS = {"n_flips": 2000, "n_resamples": 2000}  # p resolves ALPHA, and the bootstrap's part of it
LOOKS = 100  # comparisons that critical values, spread and intervals are taken from
WORLDS = ("normal", "skewed, most worse", "skewed, most better")
PHOTOGRAPHS = (9, 12, 20, 48)


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
    sign = -1.0 if world == "skewed, most worse" else 1.0
    return sign * skewed.reshape(len(labels), -1)


def losses(groups, rng):
    """Return which rows both tests call worse, and which the sign flips.

    The bootstrap is spared where the flips call none so.
    """
    seed = int(rng.integers(2**32))
    flips = np.random.default_rng(seed)
    flipped = flip_test(groups, generator=flips, n_flips=COUNTS["n_flips"]).p_adjusted < ALPHA
    if not flipped.any():
        return flipped, flipped
    return both_tests(groups, alpha=ALPHA, seed=seed, **COUNTS).p < ALPHA, flipped


def without_change(rng, n, world, repeats):
    """Return how many comparisons called a row regressed, and how many one suspect."""
    regressed = suspect = 0
    for _ in range(repeats):
        worse, flipped = losses(a_family(rng, n, world), rng)
        regressed += bool(worse.any())
        suspect += bool((flipped & ~worse).any())
    return regressed, suspect


def look(rng, n, world):
    """Return what would be found in each row, and how often a loss of the tolerance passes."""
    critical, errors, passes = [], [], []
    for _ in range(LOOKS):
        groups = a_family(rng, n, world)
        found = both_tests(groups, alpha=ALPHA, seed=int(rng.integers(2**32)), **COUNTS)
        critical.append(found.critical)
        errors.append(groups.standard_errors)
        passes.append((found.resampled.intervals[:, 1] < 0).mean())
    spread = np.median(errors, axis=0)
    effects = minimum_detectable_effect(spread, n, critical=float(np.median(critical)), power=POWER)
    return effects, float(np.mean(passes))


def with_a_loss(rng, n, world, repeats, loss):
    """Return how often a loss in one row is called a regression."""
    found = 0
    for repeat in range(repeats):
        groups = a_family(rng, n, world)
        row = repeat % groups.sums.shape[1]
        sums = groups.sums.copy()
        sums[:, row] += loss[row] * groups.sizes[:, row]
        found += bool(losses(GroupSums(sums, groups.sizes), rng)[0][row])
    return found


def a_family(rng, n, world, rows=120):
    """Draw the differences of so many rows, by photograph."""
    table = draw(rng, n, world, -(-rows // len(WITHIN)))[:, :rows]
    return sum_by_group(table, photographs(n).tolist())


def interval(found, of):
    """Return the Clopper-Pearson interval of a rate."""
    bounds = binomtest(int(found), of).proportion_ci(0.95, "exact")
    return bounds.low, bounds.high


def shown(found, of):
    low, high = interval(found, of)
    return f"{found / of:.3f} [{low:.3f}, {high:.3f}]"


def line(*cells):
    """Print a row of a table, as it stands in docs/gate.md."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def examine(n, world, repeats, rng):
    """Print one line; return whether a promise was broken."""
    regressed, suspect = without_change(rng, n, world, repeats)
    effects, passes = look(rng, n, world)
    few = repeats // 5
    at_mde = with_a_loss(rng, n, world, few, effects)
    found = with_a_loss(rng, n, world, repeats // 2, 1.5 * effects)
    line(
        world,
        n,
        shown(regressed, repeats),
        f"{suspect / repeats:.3f}",
        f"{float(np.median(effects)):.2f}",
        f"{at_mde / few:.2f}",
        shown(found, repeats // 2),
        f"{passes:.3f}",
    )
    missed = n >= 20 and interval(found, repeats // 2)[0] < POWER
    return missed or interval(regressed, repeats)[1] > ALPHA


def examine_small(n, repeats, rng):
    """Print how often families of few rows alarm; return whether one does so too often."""
    alarms = []
    for rows in (1, 5, 15):
        found = [
            losses(a_family(rng, n, "skewed, most worse", rows), rng)[0].any()
            for _ in range(repeats)
        ]
        alarms.append(int(sum(found)))
    line(n, *(shown(found, repeats) for found in alarms))
    return any(interval(found, repeats)[1] > ALPHA for found in alarms)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000, help="comparisons for each rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    print(f"{options.repeats} comparisons for each rate, for power half as many; 95 % intervals\n")
    line("photographs", "1 row", "a case: 5 rows", "a model: 15 rows")
    rng = np.random.default_rng(options.seed)
    broken = [examine_small(n, 2 * options.repeats, rng) for n in (*PHOTOGRAPHS, MIN_PHOTOGRAPHS)]
    print()
    line(
        *("differences", "photographs", "false alarm, 120 rows", "suspect"),
        *("`mde`, in sd of an image", "found at `mde`", "found at 1.5 `mde`"),
        "a loss of the tolerance is called no worse",
    )
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng(options.seed + number + 1)
        broken += [examine(n, world, options.repeats, rng) for n in PHOTOGRAPHS]
    said = "BROKEN" if any(broken) else "kept"
    print(f"\npromises {said}, {time.process_time() - start:.0f} s of CPU")
    return int(any(broken))


if __name__ == "__main__":
    sys.exit(main())
