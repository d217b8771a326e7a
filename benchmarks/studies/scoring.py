"""What does scoring cost at the size of the study: time by part, and memory over many images?

A sampler that adds smooth noise to its observation is evaluated as `pytest benchmarks/` would, but
for LPIPS, whose trunk is its own cost. Parts are what `evaluation/scoring.py` calls, as Python's
profiler sees them on images after the first, and beside seconds how many times their floor of one
pass over the image's samples in float32 that is. Memory is the largest so far.

    OMP_NUM_THREADS=1 python benchmarks/studies/scoring.py [--images 1000] [--task colorization]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from functools import partial
from statistics import median

import torch
from torch.nn.functional import interpolate

from invbench.data import DataSet, Photo
from invbench.evaluation import Experiment, Settings, Subject, evaluate
from invbench.images import to_uint8
from invbench.machine import keep_freed_memory
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import Case
from invbench.problems import get_task


def smooth(size: int, cells: int, generator: torch.Generator) -> torch.Tensor:
    """Draw ``[1, 3, size, size]`` of mean 0 from a grid of ``cells`` x ``cells`` normal numbers."""
    grid = torch.randn(1, 3, cells, cells, generator=generator)
    return interpolate(grid, size=(size, size), mode="bilinear")


def photograph(index: int, size: int) -> Photo:
    generator = torch.Generator().manual_seed(index)
    noise = 0.02 * torch.randn(1, 3, size, size, generator=generator)
    pixels = to_uint8(0.5 + 0.2 * smooth(size, 16, generator) + noise)[0]
    return Photo(id=f"{index:04}", group=f"{index:04}", pixels=pixels)


def sample(size: int, observation: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    enlarged = interpolate(observation.expand(-1, 3, -1, -1), size=(size, size))
    noise = torch.cat([smooth(size, 64, generator) for generator in generators])
    return (enlarged + 0.05 * noise).clamp(0, 1)


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def pass_s(n_samples: int, size: int) -> float:
    """Return the median seconds that reading all samples of an image once takes."""
    samples, seconds = torch.zeros(n_samples, 3, size, size), []
    for _ in range(9):
        start = time.process_time()
        samples.sum()
        seconds.append(time.process_time() - start)
    return median(seconds)


def print_parts(profile: cProfile.Profile, n_images: int, once_s: float) -> None:
    """Print what functions of scoring.py call that takes a hundredth of their time or more."""
    parts: dict[str, float] = {}
    for (_, _, name), measured in pstats.Stats(profile).stats.items():
        for (file, _, caller), (*_, seconds) in measured[-1].items():
            if file.endswith("evaluation/scoring.py") and not name.startswith("_"):
                parts[name] = parts.get(name, 0) + seconds / n_images
            if name == "score_image" and caller == "_score":
                parts["all"] = seconds / n_images
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        if seconds > 0.01 * parts["all"]:
            print(f"{name:28} {seconds:6.3f} s an image, {seconds / once_s:5.1f} passes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--task", default="colorization")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every run does
    metrics = [one for one in validity_metrics(load_lpips(offline=True)) if "lpips" not in one.name]
    photographs = [photograph(index, options.size) for index in range(options.images)]
    experiment = Experiment(
        case=Case("smooth", options.task),
        task=get_task(options.task),
        subject=Subject(partial(sample, options.size)),
        data=DataSet("noise", photographs),
        settings=Settings(n_samples=options.samples, chunk_size=10),
        metrics=metrics,
    )
    profile = cProfile.Profile(time.process_time)

    def on_image(done: int, of: int) -> None:
        if done == 1:
            profile.enable()
        if done == min(of, 8):
            profile.disable()
        if done in (1, of) or done % 100 == 0:
            print(f"{done} images: {peak_mib()} MiB", flush=True)

    record = evaluate(experiment, on_image=on_image).record
    print(f"whole record, calibration included: {peak_mib()} MiB, {record.wall_s:.0f} s")
    print_parts(profile, min(options.images, 8) - 1, pass_s(options.samples, options.size))


if __name__ == "__main__":
    main()
