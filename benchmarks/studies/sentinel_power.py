"""How surely do the checks find a planted defect, and how often do they blame an exact sampler?

Run: python benchmarks/studies/sentinel_power.py

In many independent worlds, each with fresh targets, every sentinel's samples go through the
battery. Power counts the worlds in which a check flagged the sentinel that ought to; a false alarm
is an exact sampler flagged by any check. Goals: power of at least 0.95 for every defect, false
alarms at a rate of at most 0.02; a goal is missed if the estimated power is lower, or the false
alarms could come about with probability below 0.025 at that rate.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from scipy.stats import beta

from invbench.data.synthetic import GaussianField
from invbench.operators import LinearBicubic, LinearGray
from invbench.sentinels import (
    SENTINELS,
    GaussianPosterior,
    World,
    examine,
    flags,
    world_evidence,
)
from invbench.sentinels.battery import RATE

POWER = 0.95
STD = 0.07


def posteriors(side):
    """Build the two posteriors; fields are as smooth, by their size, as the default one of 32."""
    field = GaussianField(side, side, std=STD, length=side / 4)
    for operator in (LinearBicubic(side, side, 4), LinearGray(side, side)):
        yield GaussianPosterior(field, operator)


def clopper_pearson(hits, n, level=0.95):
    """Return the exact confidence interval of a probability."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, hits, n - hits + 1) if hits else 0.0
    high = beta.isf(tail, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def count_flags(posterior, sentinel, *, seeds, n_images, n_samples):
    """Count in how many worlds each check flags, and any that ought to (any at all if exact)."""
    by_check = Counter()
    hits = 0
    for seed in range(seeds):
        world = World.draw(posterior, n_images, seed=seed)
        found = flags(examine(world_evidence(world, sentinel, n_samples=n_samples)))
        by_check.update(found)
        hits += bool(set(found) & set(sentinel.flagged_by) if sentinel.flagged_by else found)
    return hits, by_check


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="worlds for each defect")
    parser.add_argument("--exact-seeds", type=int, default=1000, help="worlds for the exact one")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--operator", choices=("bicubic", "gray"), help="one of the two worlds")
    names = [sentinel.name for sentinel in SENTINELS]
    parser.add_argument("--sentinels", nargs="*", choices=names, default=names)
    parser.add_argument("--side", type=int, default=16, help="of the images, a multiple of 8")
    options = parser.parse_args()
    start = time.monotonic()
    print(
        f"{options.images} images of {options.side}x{options.side}, K={options.samples}; "
        "95 % Clopper-Pearson intervals"
    )
    missed = 0
    for posterior in posteriors(options.side):
        if not posterior.operator.name.startswith(options.operator or ""):
            continue
        print(f"\n{posterior.operator.name:<18}{'flagged':>12}  rate  (95 %)          by check, %")
        for sentinel in SENTINELS:
            if sentinel.name not in options.sentinels:
                continue
            seeds = options.seeds if sentinel.flagged_by else options.exact_seeds
            hits, by_check = count_flags(
                posterior,
                sentinel,
                seeds=seeds,
                n_images=options.images,
                n_samples=options.samples,
            )
            low, high = clopper_pearson(hits, seeds)
            short = hits < POWER * seeds if sentinel.flagged_by else low > RATE
            missed += short
            shares = " ".join(f"{c} {100 * n / seeds:.3g}" for c, n in by_check.most_common())
            print(
                f"{sentinel.name:<18}{f'{hits}/{seeds}':>12}  {hits / seeds:.3f} "
                f"({low:.3f}-{high:.3f}) {'MISSED' if short else 'met   '}  {shares}",
                flush=True,
            )
    print(f"\n{missed} goals missed; {time.monotonic() - start:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
