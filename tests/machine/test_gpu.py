"""What only a real GPU can show: it computes what the CPU does."""

from __future__ import annotations

import pytest
import torch

from invbench.evaluation import draw_samples, observe
from invbench.machine import forbid_tf32, measure, resolve_device
from invbench.metrics import load_lpips, psnr, ssim
from invbench.models import Case
from invbench.operators import grayscale, jpeg_roundtrip, resize_bicubic
from invbench.seeding import generator, randn
from invbench.suite import Options
from invbench.suite.resolve import Suite

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


def pixels():
    return torch.randint(0, 256, (4, 3, 64, 64), generator=generator(0), dtype=torch.uint8)


@pytest.mark.parametrize(
    "operator",
    [
        lambda images: jpeg_roundtrip(images, quality=1),
        lambda images: resize_bicubic(images, 4, 4),
        grayscale,
    ],
    ids=["jpeg", "bicubic", "gray"],
)
def test_exact_operators_are_exact(operator):
    assert torch.equal(operator(pixels().cuda()).cpu(), operator(pixels()))


def test_noise_is_the_same():
    rows = [generator(1), generator(2)]
    there = randn(rows, (3, 8, 8), device=torch.device("cuda", 0)).cpu()
    assert torch.equal(there, randn([generator(1), generator(2)], (3, 8, 8)))


@pytest.mark.parametrize("name", ["psnr", "ssim", "lpips"])
def test_metrics_agree(name):
    forbid_tf32()
    images = pixels() / 255
    scores = []
    for device in (torch.device("cpu"), resolve_device("cuda")):
        lpips = load_lpips(offline=True, device=device)
        metric = {"psnr": psnr, "ssim": ssim, "lpips": lpips}[name]
        scores.append(metric(images.to(device), images[0].flip(-1).to(device)).cpu())
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-4, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("name", ["bicyclegan-sr16", "chimle-colorization", "ddrm-sr16"])
def test_samples_agree(name):
    case, drawn = Case(*name.split("-")), []
    for device in ("cpu", "cuda"):
        suite = Suite(Options(device=device, images=1, samples=2, offline=True))
        photo, problem = suite.data_set(case.task).photos[0], suite.problem(case.task)
        observed = observe(photo, problem, suite.device)
        drawn.append(draw_samples(suite.subject(case).sampler, observed, suite.settings).cpu())
    assert 255 * (drawn[1] - drawn[0]).square().mean().sqrt() < 0.5


def test_the_clock_waits():
    matrix = torch.rand(4096, 4096, device="cuda")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def multiply():
        start.record()
        for _ in range(20):
            matrix @ matrix
        end.record()

    seconds = measure(multiply, rounds=2)[1]
    assert seconds >= start.elapsed_time(end) / 1000
