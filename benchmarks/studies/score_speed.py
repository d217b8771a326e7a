"""Print how much CPU time `invbench score` takes, beside scikit-image and the package lpips.

Both read samples from PNG files, reobserve them and score PSNR, SSIM and LPIPS. The reference is
what one writes by hand: Pillow for the operator, scikit-image and the package's LPIPS, with the
same weights, pair by pair. `invbench score` runs as its command line does and also computes
intervals' widths, the spread of reobservations, duplicates and digests, and stores a run. Its
clock includes the loading of LPIPS, the reference's does not. The two take turns; a ratio is the
median over rounds, with its range. The scores of both are compared. How long Pillow takes to decode
the files is said apart: both need it, so it bounds the ratio.

    OMP_NUM_THREADS=1 python benchmarks/studies/score_speed.py [--images 8] [--samples 50]
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import lpips
import numpy as np
import torch
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invbench.cli import main as invbench
from invbench.images import from_uint8, to_uint8, write_png
from invbench.metrics import load_lpips
from invbench.problems import get_task
from invbench.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def write_samples(folder: Path, task: str, *, images: int, samples: int, size: int) -> None:
    """Write noisy photographs as samples, with the observations of the photographs."""
    sources = [data.astronaut(), data.retina(), data.immunohistochemistry()]
    rng = np.random.default_rng(0)
    for index in range(images):
        source = sources[index % len(sources)]
        top, left = rng.integers(0, np.array(source.shape[:2]) - size + 1)
        square = np.ascontiguousarray(source[top : top + size, left : left + size])
        pixels = torch.from_numpy(square).permute(2, 0, 1).contiguous()
        observation = to_uint8(get_task(task).operator(from_uint8(pixels)))
        write_png(folder / "observations" / f"{index}.png", observation)
        for k in range(samples):
            noisy = pixels + torch.from_numpy(rng.normal(0, 8, pixels.shape))
            name = folder / "samples" / "model" / str(index) / f"{k:03}.png"
            write_png(name, noisy.round().clamp(0, 255).to(torch.uint8))


def reobserve(image: Image.Image, task: str) -> np.ndarray:
    """Apply a task with Pillow; gray becomes three equal channels."""
    if task == "sr16":
        size = (image.width // 16, image.height // 16)
        return np.array(image.resize(size, Image.Resampling.BICUBIC))
    if task == "colorization":
        return np.array(image.convert("L").convert("RGB"))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=1)
    return np.array(Image.open(stream).convert("RGB"))


def by_hand(folder: Path, task: str, stock: lpips.LPIPS, factor: int) -> dict[str, list[float]]:
    """Score every sample with scikit-image and the package lpips."""

    def tensor(pixels: np.ndarray) -> Tensor:
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        return image.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    scores: dict[str, list[float]] = {"psnr": [], "ssim": [], "lpips": []}
    for place in sorted((folder / "samples" / "model").iterdir()):
        file = folder / "observations" / f"{place.name}.png"
        x = np.array(Image.open(file).convert("RGB"))
        for path in sorted(place.iterdir()):
            y = reobserve(Image.open(path), task)
            scores["psnr"].append(float(peak_signal_noise_ratio(x, y)))
            scores["ssim"].append(float(structural_similarity(x, y, channel_axis=-1)))
            with torch.no_grad():
                scores["lpips"].append(stock(tensor(x), tensor(y), normalize=True).item())
    return scores


def decode(folder: Path) -> None:
    """Read all samples and do nothing with them."""
    for path in (folder / "samples").rglob("*.png"):
        Image.open(path).load()


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(task: str, options: argparse.Namespace) -> None:
    metric = load_lpips(offline=True)
    stock = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    stock.net.load_state_dict(metric.model.net.state_dict())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        amounts = {"images": options.images, "samples": options.samples, "size": options.size}
        write_samples(folder, task, **amounts)
        side = options.size // (16 if task == "sr16" else 1)
        factor = metric.enlargement(side, side)
        run = ["--observations", str(folder / "observations"), "-o", str(folder / "run"), "--fresh"]
        score = ["score", str(folder / "samples"), "--task", task, *run, "--offline"]
        expected: dict[str, list[float]] = {}

        def ours() -> None:
            with redirect_stdout(io.StringIO()):
                assert invbench([*score, "--device", "cpu"]) == 0

        def theirs() -> None:
            expected.update(by_hand(folder, task, stock, factor))

        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for index in range(options.rounds):
            turns = [("ours", ours), ("theirs", theirs)]
            for name, function in turns if index % 2 == 0 else reversed(turns):
                seconds[name].append(cpu_seconds(function))
        decoding = cpu_seconds(lambda: decode(folder))
        found = RunStore(folder / "run").read_scores(f"model-{task}")
    names = {name.partition("_")[0]: name for name in found}
    errors = {
        name: float(np.abs(found[names[name]].ravel() - np.minimum(values, 100)).max())
        for name, values in expected.items()
    }
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    files = options.images * options.samples
    print(
        f"{task}: {files} files of {options.size}x{options.size}, "
        f"{statistics.median(seconds['theirs']):.1f} -> {statistics.median(seconds['ours']):.1f} s "
        f"CPU, {statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f}), of which "
        f"{decoding:.1f} s are Pillow's decoding, errors "
        + ", ".join(f"{name} {error:.1e}" for name, error in errors.items()),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=["sr16", "colorization", "decompression"])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.reconfigure(line_buffering=True)
    for task in options.tasks:
        compare(task, options)


if __name__ == "__main__":
    main()
