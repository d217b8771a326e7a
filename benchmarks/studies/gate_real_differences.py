"""How often does the gate raise a false alarm on differences between real models?

Run: python benchmarks/studies/gate_real_differences.py

In each comparison the shipped models change places at random: the scores of every case are compared
with those of another model on the same task, for all 24 cases and all metrics at once. Differences
are centred, so that no model is better than another on average; what is left is how models do
differ, with its skewness, its few images that differ most, and whatever the images of a photograph
and the metrics of a case have in common. Photographs are then drawn with replacement. The rule is
the gate's whole rule, tolerances included. The promise: any row is called regressed in 5 % of
comparisons or fewer, the upper end of the interval included. Shown beside it: the same where every
photograph was drawn at least once (no test can know of a photograph that gained much and is not
there), if every image counted as a photograph of its own, and if the sign flips decided alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gate_power import ALPHA, COUNTS, LOOKS, PHOTOGRAPHS, interval, line, losses, shown

from invbench.gate import TOLERANCES, read_snapshot
from invbench.gate.groups import GroupSums, sum_by_group
from invbench.gate.identities import photographs
from invbench.gate.resampling import resample_test
from invbench.gate.scores import scores

BASELINE = Path(__file__).parents[2] / "fixtures" / "baselines" / "cpu" / "tiny.json"


def read(path):
    """Return scores ``[n_images, n_metrics]`` by task and model, tolerances and photographs."""
    snapshot = read_snapshot(path)
    tasks = {}
    for case, record in snapshot.cases.items():
        model, _, task = case.partition("-")
        columns = {name: column for name, column in scores(record).items() if name in TOLERANCES}
        tasks.setdefault(task, {})[model] = np.stack(
            [
                np.array(column.values) * (-1 if column.higher_is_better else 1)
                for column in columns.values()
            ],
            axis=1,
        )
        tolerances = np.array([TOLERANCES[name].loss for name in columns])
    return tasks, tolerances, photographs(record), list(columns)


def changed_places(tasks, rng):
    """Return centred differences ``[n_images, rows]`` of every model from another."""
    models = sorted(next(iter(tasks.values())))
    others = np.arange(len(models))
    while (others == np.arange(len(models))).any():
        others = rng.permutation(len(models))
    table = np.concatenate(
        [
            of_task[models[other]] - of_task[model]
            for of_task in tasks.values()
            for model, other in zip(models, others, strict=True)
        ],
        axis=1,
    )
    return table - table.mean(axis=0)


@dataclass(frozen=True)
class Finding:
    """What was said of one comparison without a change.

    Attributes:
        regressed: whether any row was called so.
        by_flips: whether the sign flips alone would have called one so.
        by_images: whether both tests would have, had each image counted as a photograph.
        no_worse: share of rows whose upper bound lies below their true mean, if it was looked at.
        complete: whether every photograph was drawn.
    """

    regressed: bool
    by_flips: bool
    by_images: bool
    no_worse: float | None
    complete: bool


def judge(table, groups, tolerances, n, rng, *, look):
    """Draw photographs with their images, and test them as the gate does."""
    sums = sum_by_group(table, groups)
    drawn = rng.integers(0, len(sums.sums), n)
    resample = GroupSums(sums.sums[drawn], sums.sizes[drawn])
    worse, flipped = losses(resample, rng)
    matters = resample.means > tolerances
    labels, names = np.array(groups), list(dict.fromkeys(groups))
    rows = np.concatenate([np.flatnonzero(labels == names[number]) for number in drawn])
    images, _ = losses(sum_by_group(table[rows]), rng)
    return Finding(
        regressed=bool((worse & matters).any()),
        by_flips=bool((flipped & matters).any()),
        by_images=bool((images & matters).any()),
        no_worse=_no_worse(resample, rng) if look else None,
        complete=len(set(drawn)) == len(names),
    )


def _no_worse(groups, rng):
    found = resample_test(groups, generator=rng, n_resamples=COUNTS["n_resamples"])
    return float((found.intervals[:, 1] < 0).mean())


def examine(n, tasks, tolerances, groups, repeats, rng):
    """Print one line; return whether the promise was broken."""
    found = []
    for repeat in range(repeats):
        table = changed_places(tasks, rng)
        repeated = np.tile(tolerances, table.shape[1] // len(tolerances))
        found.append(judge(table, groups, repeated, n, rng, look=repeat < LOOKS))
    regressed = sum(one.regressed for one in found)
    complete = [one.regressed for one in found if one.complete]
    line(
        n,
        shown(regressed, repeats),
        f"{sum(complete)} of {len(complete)}",
        f"{np.mean([one.by_flips for one in found]):.3f}",
        f"{np.mean([one.by_images for one in found]):.3f}",
        f"{np.mean([one.no_worse for one in found if one.no_worse is not None]):.3f}",
    )
    return interval(regressed, repeats)[1] > ALPHA


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="whose scores to use")
    parser.add_argument("--repeats", type=int, default=1000, help="comparisons for each rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    tasks, tolerances, groups, names = read(options.baseline)
    rows = sum(map(len, tasks.values())) * len(names)
    print(
        f"{len(groups)} images of {len(set(groups))} photographs, {rows} rows: {', '.join(names)}"
    )
    print(f"{options.repeats} comparisons; 95 % intervals\n")
    line(
        *("photographs", "false alarm", "where all photographs were drawn", "sign flips alone"),
        *("if each image counted", "a loss of the tolerance is called no worse"),
    )
    broken = []
    for n in PHOTOGRAPHS:
        rng = np.random.default_rng(options.seed + n)
        broken.append(examine(n, tasks, tolerances, groups, options.repeats, rng))
    said = "BROKEN" if any(broken) else "kept"
    print(f"\npromise {said}, {time.process_time() - start:.0f} s of CPU")
    return int(any(broken))


if __name__ == "__main__":
    sys.exit(main())
