"""What pictures show is what was given and drawn, checked against NumPy."""

from __future__ import annotations

import numpy as np
import torch

from invbench.evaluation.pictures import picture

SAMPLES = torch.rand(21, 3, 8, 12, generator=torch.Generator().manual_seed(0))
TARGET = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(1))


def levels(values):
    return np.rint(np.moveaxis(values, 0, -1) * 255).astype(np.uint8)


def test_panels_are_observation_target_samples_and_maps():
    gray = torch.tensor([[[0.0, 1.0], [0.2, 0.6]]])
    shown = picture("cat-0", SAMPLES, gray, TARGET)
    samples, target = SAMPLES.double().numpy(), TARGET.double().numpy()
    assert list(shown.panels) == [
        *("observation", "target", "sample 1", "sample 2", "sample 3", "mean", "width", "error")
    ]
    enlarged = np.kron(gray[0].numpy(), np.ones((4, 6)))[None].repeat(3, axis=0)
    np.testing.assert_array_equal(shown.panels["observation"], levels(enlarged))
    np.testing.assert_array_equal(shown.panels["target"], levels(target))
    np.testing.assert_array_equal(shown.panels["sample 3"], levels(samples[2]))
    lower, upper = np.quantile(samples, [0.05, 0.95], axis=0)
    maps = {
        "mean": samples.mean(axis=0),
        "width": (upper - lower).mean(axis=0, keepdims=True).repeat(3, axis=0),
        "error": np.abs(samples.mean(axis=0) - target)
        .mean(axis=0, keepdims=True)
        .repeat(3, axis=0),
    }
    for name, expected in maps.items():
        gray = expected.mean(axis=0, keepdims=True).repeat(3, axis=0)
        wanted = levels(expected if name == "mean" else gray)
        difference = shown.panels[name].astype(int) - wanted
        assert np.abs(difference).max() <= 1, name  # float32 may round the other way


def test_what_is_not_there_is_left_out():
    shown = picture("cat-0", SAMPLES[:1], torch.rand(6, 8, 12))
    assert list(shown.panels) == ["sample 1", "mean"]
