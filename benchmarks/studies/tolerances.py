"""What loss of a score goes with 0.25 dB?

Run: python benchmarks/studies/tolerances.py

0.25 dB are 2.9 % of a root mean squared error, and so of scores in units of intensity: of CRPS and
the Winkler score that much of their median over the shipped pairs is tolerated. For scores without
such a unit the pairs are regressed by least squares, each task with a mean of its own: SSIM and
LPIPS of reobservations on their PSNR, the distance of coverage from an ideal sampler's on CRPS.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from invbench.gate import read_snapshot

BASELINE = Path(__file__).parents[2] / "fixtures" / "baselines" / "cpu" / "tiny.json"
DECIBELS = 0.25
PARTS = 10 ** (DECIBELS / 20) - 1  # of a root mean squared error


def read(path):
    """Return each score of all pairs, of mean 0 within its task, and the medians."""
    columns, tasks = {}, []
    for case, record in read_snapshot(path).cases.items():
        if case.startswith("reference-"):
            continue
        interval = record.interval
        errors = np.abs(np.array(interval.coverage_per_image) - interval.ideal_coverage)
        found = {name: record.validity[name].mean for name in ("psnr", "ssim", "lpips")}
        found |= {"winkler": interval.winkler, "crps": interval.scores["crps"]["value"]}
        for name, value in (found | {"coverage_error": errors.mean()}).items():
            columns.setdefault(name, []).append(value)
        tasks.append(case.partition("-")[2])
    medians = {name: float(np.median(values)) for name, values in columns.items()}
    same = np.array(tasks)[:, None] == np.array(tasks)
    within = {name: values - same @ values / same.sum(1) for name, values in columns.items()}
    return within, medians


def slope(y, x):
    """Return the slope of a regression, and the share of variance that it explains."""
    found = float(x @ y / (x @ x))
    return found, found**2 * float(x @ x / (y @ y))


def main():
    within, medians = read(Path(sys.argv[1]) if len(sys.argv) > 1 else BASELINE)
    print("| score | goes with 0.25 dB | how |\n|---|---:|---|")
    for name in ("crps", "winkler"):
        print(f"| {name} | {PARTS * medians[name]:.4f} | {PARTS:.1%} of {medians[name]:.4f} |")
    by = {"ssim": ("psnr", DECIBELS), "lpips": ("psnr", DECIBELS)}
    by["coverage_error"] = "crps", PARTS * medians["crps"]
    for name, (other, step) in by.items():
        found, explained = slope(within[name], within[other])
        print(f"| {name} | {abs(found) * step:.4f} | by {other}, R² {explained:.2f} |")


if __name__ == "__main__":
    main()
