"""Print how many times faster the exact operators are than Pillow, at one thread.

Every round runs each variant once, in rotating order; a ratio is the median over rounds of Pillow's
time over ours in the same round, with its range. Inside the clock: from 8-bit images in
memory to 8-bit images in memory, in the layout that each side likes best ([H, W, 3] for Pillow,
[3, H, W] for ours). Pillow's time for JPEG depends on the content, ours does not.

    OMP_NUM_THREADS=1 python benchmarks/studies/ratios/operators.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from skimage import data

from invbench.machine import compare_speed
from invbench.operators import grayscale, jpeg_roundtrip, resize_bicubic

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = 50
PIXELS_PER_ROUND = 2**22  # small images are gone over several times, for the clock's sake


def photographs(size: int) -> np.ndarray:
    """Cut 8-bit squares ``[IMAGES, size, size, 3]`` from scikit-image's photographs."""
    rng = np.random.default_rng(0)
    sources = [data.astronaut(), data.retina(), data.immunohistochemistry()]
    squares = []
    for index in range(IMAGES):
        source = sources[index % len(sources)]
        top, left = rng.integers(0, np.array(source.shape[:2]) - size + 1)
        squares.append(source[top : top + size, left : left + size])
    return np.stack(squares)


def noise(size: int) -> np.ndarray:
    """Draw 8-bit noise ``[IMAGES, size, size, 3]``."""
    return np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), np.uint8)


def jpeg(image: Image.Image) -> Image.Image:
    """Send an image through a file in memory, at quality 1."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=1)
    return Image.open(file)


def report(
    title: str,
    pixels: np.ndarray,
    reference: Callable[[Image.Image], Image.Image],
    operator: Callable[[torch.Tensor], torch.Tensor],
    rounds: int,
) -> None:
    """Time both over the same images, every output of ours held against Pillow's."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    repeats = max(1, PIXELS_PER_ROUND // (IMAGES * pixels.shape[1] * pixels.shape[2]))

    def pillow() -> np.ndarray:
        return np.stack([np.asarray(reference(Image.fromarray(image))) for image in pixels])

    expected = torch.from_numpy(pillow())
    expected = expected.reshape(*expected.shape[:3], -1).permute(0, 3, 1, 2)
    outputs: list[torch.Tensor] = []

    def run_pillow() -> None:
        for _ in range(repeats):
            pillow()

    def run_ours() -> None:
        outputs.clear()
        for _ in range(repeats):
            outputs[:] = [operator(images)]

    variants = {"Pillow": run_pillow, "invbench": run_ours}
    base, ours = compare_speed(variants, reference="Pillow", rounds=rounds)
    assert torch.equal(outputs[0], expected), f"{title}: differs from Pillow"
    print(
        f"{title:42} {ours.median:5.2f}x ({ours.lowest:.2f}-{ours.highest:.2f})"
        f"  {base.milliseconds / repeats:8.2f} -> {ours.milliseconds / repeats:8.2f} ms",
        flush=True,
    )


def main() -> None:
    """Compare all operators at the sizes of the profiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)

    for size in (512, 128, 64):
        for kind, pixels in (("noise", noise(size)), ("photographs", photographs(size))):
            case = f"{IMAGES} {kind} {size}x{size}"
            report(
                f"JPEG, {case}",
                pixels,
                jpeg,
                lambda images: jpeg_roundtrip(images, quality=1),
                rounds,
            )
        small = size // 16
        report(
            f"bicubic to {small}x{small}, {case}",
            pixels,
            lambda image, small=small: image.resize((small, small), Image.Resampling.BICUBIC),
            lambda images, small=small: resize_bicubic(images, small, small),
            rounds,
        )
        report(f"gray, {case}", pixels, lambda image: image.convert("L"), grayscale, rounds)


if __name__ == "__main__":
    main()
