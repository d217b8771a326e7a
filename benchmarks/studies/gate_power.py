"""How often does the gate raise a false alarm, and how much does it miss?

Run: python benchmarks/studies/gate_power.py

Runs of 24 cases with three metrics are drawn from a world in which a score is the image's own, plus
noise of the sampling that is skewed (exponential) and in part common to the metrics of a case; the
image's own makes up 95 % of the variance. The gate has to keep two promises without tolerances:

- false alarms: between two runs of one model, any of the 72 rows is called worse in 5 % of all
  comparisons or fewer: the Clopper-Pearson interval contains 5 % or lies below;
- power: a shift of 1.5 times the minimum detectable effect in one row is found in 80 % or more; one
  of exactly that size is found in about 80 %.

Shown and not judged: false alarms where two models are equally good on average but differences are
skewed by themselves. Sign flips are exact for symmetric differences only: if most images got a
little worse and few much better, the test says that images got worse, and only the tolerance speaks
against it. Also how often, in the gate of non-inferiority, a loss of just the tolerance passes.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from scipy.stats import binomtest

from invbench.gate import max_t, mean_intervals, minimum_detectable_effect

N_CASES, N_METRICS = 24, 3
OWN_SHARE = 0.95  # of the variance of a score, the image's own: the correlation of the pair
COMMON_SHARE = 0.6  # of the noise, common to the metrics of a case
ALPHA, POWER = 0.05, 0.8
FLIPS = 2000
SPREAD = (2 * (1 - OWN_SHARE)) ** 0.5  # standard deviation of a difference


def draw_noise(rng, n_images):
    """Draw ``[n_images, 72]`` centered exponential noise, variance 1, correlated within a case."""
    common = rng.exponential(size=(n_images, N_CASES, 1)) - 1
    own = rng.exponential(size=(n_images, N_CASES, N_METRICS)) - 1
    noise = COMMON_SHARE**0.5 * common + (1 - COMMON_SHARE) ** 0.5 * own
    return noise.reshape(n_images, -1)


def same_model(rng, n_images):
    """Draw the differences of two runs of one model."""
    noise = draw_noise(rng, n_images) - draw_noise(rng, n_images)
    return (1 - OWN_SHARE) ** 0.5 * noise


def retrained(rng, n_images, sign):
    """Draw differences of mean zero that are skewed by themselves."""
    return sign * SPREAD * draw_noise(rng, n_images)


def smallest_p(differences, rng):
    """Return the smallest adjusted p-value of a comparison, and that of its first row."""
    result = max_t(differences, generator=rng, n_flips=FLIPS, alpha=ALPHA)
    return result.p_adjusted.min(), result.p_adjusted[0], result.critical


def rate(hits):
    """Return a rate with its Clopper-Pearson interval."""
    interval = binomtest(int(sum(hits)), len(hits)).proportion_ci(0.95, "exact")
    return float(np.mean(hits)), interval.low, interval.high


def shown(name, found, statement=""):
    value, low, high = found
    print(f"  {name:<34}{value:>7.3f}  [{low:.3f}, {high:.3f}]  {statement}")


def examine(n_images, repeats, rng):
    """Print the rates for one number of images; return whether a promise was broken."""
    null = [smallest_p(same_model(rng, n_images), rng) for _ in range(repeats)]
    critical = float(np.median([result[2] for result in null]))
    effect = minimum_detectable_effect(SPREAD / n_images**0.5, n_images, critical=critical).item()
    print(f"{n_images} images; minimum detectable effect {effect:.3f} (scores have a spread of 1)")

    alarms = rate([smallest < ALPHA for smallest, _, _ in null])
    broken = alarms[1] > ALPHA
    shown("false alarms, same model", alarms, "BROKEN" if broken else "kept: <= 0.05")
    for factor in (1.0, 1.5):
        found = []
        for _ in range(repeats):
            differences = same_model(rng, n_images)
            differences[:, 0] += factor * effect
            found.append(smallest_p(differences, rng)[1] < ALPHA)
        power = rate(found)
        missed = factor > 1 and power[0] < POWER
        statement = ("BROKEN" if missed else "kept: >= 0.8") if factor > 1 else "expected: 0.8"
        shown(f"power at {factor} times that effect", power, statement)
        broken |= missed
    for sign, side in ((1, "worse"), (-1, "better")):
        skewed = [
            smallest_p(retrained(rng, n_images, sign), rng)[0] < ALPHA for _ in range(repeats)
        ]
        shown(f"false alarms, skewed to the {side}", rate(skewed), "not promised")

    tolerance = SPREAD / n_images**0.5
    losses = np.concatenate([same_model(rng, n_images) for _ in range(10)], axis=1) + tolerance
    upper = mean_intervals(losses, generator=rng)[:, 1]
    shown("a loss of the tolerance passes", rate(upper < tolerance), "nominal: 0.025")
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400, help="comparisons for each rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    start = time.monotonic()
    print(f"{options.repeats} comparisons of {N_CASES} cases x {N_METRICS} metrics; 95 % intervals")
    broken = [examine(n_images, options.repeats, rng) for n_images in (12, 20, 48)]
    print(f"{time.monotonic() - start:.0f} s")
    return int(any(broken))


if __name__ == "__main__":
    sys.exit(main())
