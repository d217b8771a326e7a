"""Our operators and metrics beside those of others, for `gpu.py` and `cpu.py`.

Pillow works on the CPU, from 8-bit images in memory to 8-bit images in memory; ours have theirs on
the device. The metrics of all are given float32 images on the device, and no sum is brought back.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from invbench.images import from_uint8
from invbench.machine import compare_speed
from invbench.metrics import load_lpips, psnr, ssim
from invbench.operators import grayscale, jpeg_roundtrip, resize_bicubic
from invbench.uncertainty import interval

Pair = tuple[Callable[[], object], Callable[[], object]]
MOST_LPIPS = 10  # images of its package in a call, which keeps all layers of all of them


def compare(name: str, *, size: int, samples: int, device: torch.device) -> dict[str, Any]:
    """Return how many times faster ours is than a peer.

    Raises:
        ImportError: if the peer is not installed.
    """
    images = np.random.default_rng(0).integers(0, 256, (samples, size, size, 3), np.uint8)
    reference, ours = (PEERS | MORE_PEERS)[name](images, device)
    base, found = compare_speed({"peer": reference, "ours": ours}, reference="peer", rounds=5)
    return {
        "ratio": found.median,
        "range": [found.lowest, found.highest],
        "peer_ms": base.milliseconds,
        "ours_ms": found.milliseconds,
    }


def by_pillow(function: Callable[[Image.Image], Image.Image], images: np.ndarray) -> None:
    for image in images:
        np.asarray(function(Image.fromarray(image)))


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=1)
    return Image.open(file)


def reduce_image(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 16, image.height // 16), Image.Resampling.BICUBIC)


def gray(image: Image.Image) -> Image.Image:
    return image.convert("L")


def torchmetrics_psnr(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    from torchmetrics.functional.image import peak_signal_noise_ratio

    reduced = {"reduction": "none", "dim": (1, 2, 3)}
    return peak_signal_noise_ratio(y, x.expand_as(y), data_range=1.0, **reduced)


def torchmetrics_ssim(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure

    plain = {"gaussian_kernel": False, "kernel_size": 7, "reduction": "none"}
    return structural_similarity_index_measure(y, x.expand_as(y), data_range=1.0, **plain)


def kornia_ssim(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    from kornia.metrics import ssim as theirs

    return theirs(y, x.expand_as(y), 11).mean((1, 2, 3))


def piq_psnr(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    import piq

    return piq.psnr(y, x.expand_as(y), data_range=1.0, reduction="none")


def piq_ssim(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    import piq

    plain = {"downsample": False, "reduction": "none"}
    return piq.ssim(y, x.expand_as(y), data_range=1.0, **plain)


def skimage_psnr(y: np.ndarray, x: np.ndarray) -> list[float]:
    from skimage.metrics import peak_signal_noise_ratio

    return [peak_signal_noise_ratio(x, one, data_range=255) for one in y]


def skimage_ssim(y: np.ndarray, x: np.ndarray) -> list[float]:
    from skimage.metrics import structural_similarity

    return [structural_similarity(x, one, data_range=255, channel_axis=-1) for one in y]


def torchvision_gray(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.v2.functional import rgb_to_grayscale

    return rgb_to_grayscale(images)


def torchvision_sixteenth(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.v2.functional import resize

    return resize(images, [side // 16 for side in images.shape[-2:]], interpolation=3)


def numpy_quantiles(samples: np.ndarray) -> np.ndarray:
    return np.quantile(samples, [0.05, 0.95], axis=0)


def package_lpips(device: torch.device) -> Callable[..., torch.Tensor]:
    import lpips

    stock = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).to(device)

    @torch.no_grad()
    def score(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return stock(x.expand_as(y), y, normalize=True)

    return score


def on_device(images: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)


def operators(
    theirs: Callable[[Image.Image], Image.Image], ours: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[np.ndarray, torch.device], Pair]:
    """Pair an operator of Pillow's with ours."""
    return lambda images, device: (
        partial(by_pillow, theirs, images),
        partial(ours, on_device(images, device)),
    )


def metrics(
    theirs: Callable[..., object], ours: Callable[..., torch.Tensor], *, levels: bool = False
) -> Callable[[np.ndarray, torch.device], Pair]:
    """Pair a metric of others with ours; with ``levels`` theirs is given NumPy's 8-bit images."""

    def pair(images: np.ndarray, device: torch.device) -> Pair:
        y = from_uint8(on_device(images, device))
        given = images if levels else y
        return partial(theirs, given, given[0]), partial(ours, y, y[0])

    return pair


def tensors(
    theirs: Callable[[torch.Tensor], object], ours: Callable[[torch.Tensor], object]
) -> Callable[[np.ndarray, torch.device], Pair]:
    """Pair two functions of 8-bit tensors on the device."""

    def pair(images: np.ndarray, device: torch.device) -> Pair:
        given = on_device(images, device)
        return partial(theirs, given), partial(ours, given)

    return pair


def quantiles(images: np.ndarray, device: torch.device) -> Pair:
    samples = on_device(images, device)
    return partial(numpy_quantiles, images), partial(interval, samples)


def lpips_pair(images: np.ndarray, device: torch.device) -> Pair:
    y = from_uint8(on_device(images[:MOST_LPIPS], device))
    ours = load_lpips(offline=True, device=device)
    return partial(package_lpips(device), y, y[0]), partial(ours, y, y[0])


def sixteenth(images: torch.Tensor) -> torch.Tensor:
    return resize_bicubic(images, images.shape[-2] // 16, images.shape[-1] // 16)


PEERS: dict[str, Callable[[np.ndarray, torch.device], Pair]] = {
    "jpeg/Pillow": operators(jpeg, partial(jpeg_roundtrip, quality=1)),
    "bicubic/Pillow": operators(reduce_image, sixteenth),
    "gray/Pillow": operators(gray, grayscale),
    "psnr/torchmetrics": metrics(torchmetrics_psnr, psnr),
    "ssim/torchmetrics": metrics(torchmetrics_ssim, ssim),
    "ssim/kornia": metrics(kornia_ssim, partial(ssim, window="gaussian")),
    "lpips/lpips": lpips_pair,
}
"""A function of ours and whose it is held against -> what to time."""

MORE_PEERS: dict[str, Callable[[np.ndarray, torch.device], Pair]] = {
    "bicubic/torchvision": tensors(torchvision_sixteenth, sixteenth),
    "gray/torchvision": tensors(torchvision_gray, grayscale),
    "psnr/scikit-image": metrics(skimage_psnr, psnr, levels=True),
    "ssim/scikit-image": metrics(skimage_ssim, ssim, levels=True),
    "psnr/piq": metrics(piq_psnr, psnr),
    "ssim/piq": metrics(piq_ssim, partial(ssim, window="gaussian")),
    "quantiles/numpy": quantiles,
}
"""What only a CPU is asked: torchvision's results are not Pillow's, and NumPy knows no GPU."""
