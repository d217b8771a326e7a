"""How much faster are quantiles than numpy's, and how long do all scores of one pair take?

Run: OMP_NUM_THREADS=1 python benchmarks/studies/ratios/intervals.py
"""

from __future__ import annotations

import resource
import sys
import time
from functools import partial

import numpy as np
import torch

from invbench.evaluation import interval_record, score_image
from invbench.images import from_uint8
from invbench.machine import compare_speed, measure
from invbench.operators import PillowGray
from invbench.uncertainty import (
    Additive,
    bootstrap_over_images,
    calibrate,
    coverage,
    crps,
    duplicate_fraction,
    energy_score,
    interval,
    interval_score,
    mean_length,
    null_space_width,
    other_targets,
    rank_histogram,
    risk_curve,
    size_stratified_risk,
    spread_and_error,
    tarp_fractions,
)


def draw_samples(n_images, n_samples, side):
    """Draw 8-bit samples ``[n_images, n_samples, 3, side, side]`` with smooth means."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(n_images, 1, 3, side // 8, side // 8, generator=generator)
    mean = mean.repeat_interleave(8, -1).repeat_interleave(8, -2)
    noise = torch.randn(n_images, n_samples, 3, side, side, generator=generator)
    return (255 * (mean + 0.1 * noise).clamp(0, 1)).round().to(torch.uint8)


def compare_quantiles(rounds=7):
    """Print ratios to numpy on one image's samples, and what they cost in memory."""
    bytes_samples = draw_samples(1, 50, 512)[0]
    float_samples = from_uint8(bytes_samples)
    for rule in ("linear", "weibull"):
        for name, samples in (("uint8", bytes_samples), ("float32", float_samples)):
            array = samples.numpy()
            variants = {
                "np.quantile": partial(np.quantile, array, [0.05, 0.95], axis=0, method=rule),
                "interval": partial(interval, samples, level=0.9, rule=rule),
            }
            _, ratio = compare_speed(variants, reference="np.quantile", rounds=rounds)
            print(
                f"50x3x512x512 {name:<8}{rule:<8} {ratio.median:5.1f}x np.quantile "
                f"({ratio.lowest:.1f} to {ratio.highest:.1f}), {ratio.milliseconds:.0f} ms"
            )


def score_everything(samples, target):
    """Compute every interval and sampler score, two calibrations and a bootstrap."""
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    intervals = interval(samples, rule="weibull")
    scaling = Additive(from_uint8(samples).mean(-4) if samples.ndim == 4 else _means(samples))
    if samples.ndim == 5:
        curve = risk_curve(scaling.needed_factors(intervals, target), scaling=scaling.name)
        calibrate(curve, method="rcps_hb")
        calibrate(curve, method="rcps_wsr", generator=rng)
        tarp_fractions(samples, target, other_targets(target, generator=generator))
        bootstrap_over_images(coverage(intervals, target), generator=rng)
    mean_length(intervals)
    interval_score(intervals, target)
    size_stratified_risk(intervals, target, generator=generator)
    crps(samples, target)
    energy_score(samples, target)
    energy_score(samples, target, downsample=4)
    energy_score(samples, target, patch=8)
    spread_and_error(samples, target)
    rank_histogram(samples, target, generator=generator)
    duplicate_fraction(samples)
    null_space_width(samples[..., ::8, ::8])


def _means(samples):
    return torch.stack([from_uint8(rows).mean(0) for rows in samples])


def main():
    threads = torch.get_num_threads()
    start = time.strftime("%H:%M")
    print(f"{start}, {threads} thread(s), torch {torch.__version__}, numpy {np.__version__}")
    score_large_image()
    compare_quantiles()

    samples = draw_samples(49, 50, 64)
    target = from_uint8(samples[:48, 0].roll(1, 0))
    for name, work in (("a pair's record", score_pair), ("all scores", score_everything)):
        start, cpu_start = time.perf_counter(), time.process_time()
        work(samples[:48], target)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        print(
            f"{name}, 48 images, K=50, 3x64x64: {seconds:.2f} s, {cpu:.2f} s of computing on "
            f"all cores"
        )
    return 0


def score_pair(samples, target):
    """Do for each image, and then for all, what the evaluation of a pair does besides metrics."""
    operator = PillowGray()
    images = [
        score_image(from_uint8(rows), operator(truth), operator=operator, metrics=(), target=truth)
        for rows, truth in zip(samples, target, strict=True)
    ]
    groups = [str(index // 2) for index in range(len(images))]
    return interval_record(images, groups, n_samples=samples.shape[1], rule="linear")


def score_large_image():
    """Print time and memory of one large image; first of all, as peak memory never falls."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randint(0, 256, (50, 3, 512, 512), dtype=torch.uint8, generator=generator)
    target = from_uint8(samples[0].flip(-1))
    for name, work in (
        ("a pair's record", lambda *pair: score_pair(*(images[None] for images in pair))),
        ("all scores", score_everything),
    ):
        before = _peak_bytes()
        (seconds,) = measure(partial(work, samples, target))
        print(
            f"{name}, one image, K=50, 3x512x512: {seconds:.2f} s; peak memory of the process "
            f"{before / 2**20:.0f} MiB before, {_peak_bytes() / 2**20:.0f} MiB after"
        )


def _peak_bytes():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
