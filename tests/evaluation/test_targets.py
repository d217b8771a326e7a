"""Scores against the target are those of scikit-image and of loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from invbench.evaluation.targets import against_target, diversity
from invbench.metrics import load_lpips, validity_metrics

METRICS = validity_metrics(load_lpips())


def pair():
    draws = torch.Generator().manual_seed(0)
    target = torch.randint(256, (3, 40, 36), generator=draws) / 255
    noise = torch.tensor([0.05, 0.2, 0.1])[:, None, None, None]
    samples = target + noise * torch.randn((3, 3, 40, 36), generator=draws)
    return (samples.clamp(0, 1) * 255).round() / 255, target


def test_mean_over_samples_score_of_the_mean_and_best():
    samples, target = pair()
    found = against_target(samples, target, METRICS)

    def psnr(image):
        return peak_signal_noise_ratio(target.double().numpy(), image, data_range=1)

    each = [psnr(sample.double().numpy()) for sample in samples]
    assert found["psnr"] == pytest.approx(np.mean(each), abs=1e-4)
    assert found["psnr_best"] == pytest.approx(each[0], abs=1e-4)
    middle = np.round(samples.double().mean(0).numpy() * 255) / 255
    assert found["psnr_of_mean"] == pytest.approx(psnr(middle), abs=1e-2)
    assert found["psnr_of_mean"] > found["psnr"]
    lpips = METRICS[2].function(samples, target)
    assert found["lpips_best"] == pytest.approx(lpips.min().item())
    assert found["lpips_best"] < found["lpips"]
    assert len(found) == 10


def test_equal_images_are_at_most_100_db():
    _, target = pair()
    found = against_target(target.expand(2, -1, -1, -1), target, METRICS[:1])
    assert found == {"psnr": 100, "psnr_of_mean": 100, "psnr_best": 100, "diversity": 0}


class TestDiversity:
    def test_is_that_of_a_loop_over_pixels(self):
        samples, target = pair()
        errors = ((samples - target) ** 2).mean(1).double().numpy()
        local = np.mean([errors[:, i, j].min() for i in range(40) for j in range(36)])
        best = min(error.mean() for error in errors)
        assert diversity(samples, target) == pytest.approx((best - local) / best, rel=1e-6)

    def test_of_equal_samples_is_zero_and_of_complements_one(self):
        _, target = pair()
        wrong = 1 - target
        left, right = target.clone(), target.clone()
        left[..., :18], right[..., 18:] = wrong[..., :18], wrong[..., 18:]
        assert diversity(wrong.expand(3, -1, -1, -1), target) == 0
        assert diversity(torch.stack([left, right]), target) == pytest.approx(1)
