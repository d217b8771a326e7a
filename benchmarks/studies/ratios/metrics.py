"""Print how many times faster the metrics are than scikit-image and the package lpips.

Every round runs each variant once, in rotating order; a ratio is the median over rounds of the
reference's time over the variant's in the same round, with its range. Inside the clock: from
images in [0, 1] (scikit-image: from 8-bit images, its exact path) to one number a sample; what
concerns the observation alone is included, and so is our check of the images. The trunk's weights
are random where the official ones are not at hand; its speed is the same.

    OMP_NUM_THREADS=1 python benchmarks/studies/ratios/metrics.py [--sizes 512 32 8] [--rounds 9]
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from functools import partial

import lpips
import numpy as np
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invbench.images import from_uint8
from invbench.machine import compare_speed, measure
from invbench.metrics import load_lpips, psnr, ssim

SAMPLES = 50
SHORTEST_ROUND_SECONDS = 0.05  # shorter ones would measure the scheduler
LPIPS_SAMPLES = {512: 10}  # the package takes seconds a round
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

Scores = Callable[[], "np.ndarray | torch.Tensor | list[float]"]


def photographs(size: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 8-bit samples ``[K, 3, size, size]`` near a photograph, and the photograph."""
    photograph = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    start = (512 - size) // 3
    photograph = photograph[:, start : start + size, start : start + size].contiguous()
    draws = torch.Generator().manual_seed(0)
    noise = 12 * torch.randn((samples, *photograph.shape), generator=draws)
    return (photograph + noise).round().clamp(0, 255).to(torch.uint8), photograph


def report(title: str, reference: Scores, variant: Scores, *, atol: float, rounds: int) -> None:
    """Time both, with the numbers of every round's variant held against the reference's."""
    expected = np.asarray(reference())
    errors: list[float] = []

    def checked() -> None:
        errors.append(float(np.abs(np.asarray(variant()) - expected).max()))
        assert errors[-1] <= atol, f"{title}: off by {errors[-1]:.1e}, more than {atol:.0e}"

    checked()
    repeats = math.ceil(SHORTEST_ROUND_SECONDS / statistics.median(measure(checked, rounds=5)))
    ratios = compare_speed(
        {"reference": repeated(reference, repeats), "invbench": repeated(checked, repeats)},
        reference="reference",
        rounds=rounds,
    )
    base, ours = (ratio.milliseconds / repeats for ratio in ratios)
    print(
        f"{title:34} {ratios[1].median:6.2f}x ({ratios[1].lowest:.2f}-{ratios[1].highest:.2f})"
        f"  {base:9.2f} -> {ours:8.2f} ms  error {max(errors):.1e}",
        flush=True,
    )


def repeated(function: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            function()

    return run


def compare(size: int, rounds: int) -> None:
    reobservations_uint8, observation_uint8 = photographs(size, SAMPLES)
    reobservations, observation = from_uint8(reobservations_uint8), from_uint8(observation_uint8)
    x, ys = observation_uint8.numpy(), list(reobservations_uint8.numpy())

    def scikit_psnr() -> list[float]:
        return [peak_signal_noise_ratio(x, y, data_range=255) for y in ys]

    def scikit_ssim(settings: dict[str, object]) -> list[float]:
        settings = {"data_range": 255, "channel_axis": 0} | settings
        return [structural_similarity(x, y, **settings) for y in ys]

    case = f"{SAMPLES} x {size}x{size}"
    ours = partial(psnr, reobservations, observation)
    report(f"psnr, {case}", scikit_psnr, ours, atol=1e-9, rounds=rounds)
    for window, settings in (("uniform", {}), ("gaussian", WANG)):
        if size >= 11 or window == "uniform":
            ours = partial(ssim, reobservations, observation, window=window)
            theirs = partial(scikit_ssim, settings)
            report(f"ssim {window}, {case}", theirs, ours, atol=1e-6, rounds=rounds)
    few = reobservations[: LPIPS_SAMPLES.get(size, SAMPLES)]
    compare_lpips(f"{len(few)} x {size}x{size}", few, observation, rounds)


def compare_lpips(
    case: str, reobservations: torch.Tensor, observation: torch.Tensor, rounds: int
) -> None:
    metric = load_lpips(net="alex", offline=True)
    stock = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    stock.net.load_state_dict(metric.model.net.state_dict())
    factor = metric.enlargement(*observation.shape[-2:])  # the package cannot read below 31 pixels

    def pairwise() -> list[float]:
        x, *ys = (
            image.repeat_interleave(factor, -1).repeat_interleave(factor, -2)[None]
            for image in (observation, *reobservations)
        )
        with torch.no_grad():
            return [stock(x, y, normalize=True).item() for y in ys]

    ours = partial(metric, reobservations, observation)
    report(f"{metric.name} alex, {case}", pairwise, ours, atol=1e-6, rounds=rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 32, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for size in options.sizes:
        compare(size, options.rounds)


if __name__ == "__main__":
    main()
