"""What pictures show is what was given and drawn, checked against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invbench.evaluation.pictures import Gallery, picture
from invbench.evaluation.scoring import ImageScores
from invbench.metrics import load_lpips, validity_metrics
from invbench.runs import Picture

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


class TestGallery:
    def kept(self, losses, *, n_first, scores_of):
        gallery, drawn = Gallery(n_first, METRICS), []

        def draw(name):
            drawn.append(name)
            return Picture(name, {})

        for number, loss in enumerate(losses):
            gallery.offer(scores_of(loss), lambda name=str(number): draw(name))
        return [int(one.image_id) for one in gallery.pictures], len(drawn)

    @pytest.mark.parametrize(
        ("n_first", "kept", "drawn"),
        [(0, [], 0), (1, [0, 3], 3), (2, [0, 1, 3], 3), (4, [0, 1, 2, 3], 4), (9, [*range(5)], 5)],
    )
    def test_keeps_the_first_and_the_worst_of_the_others(self, n_first, kept, drawn):
        found = self.kept([30, 20, 40, 10, 15], n_first=n_first, scores_of=psnr)
        assert found == (kept, drawn)

    def test_by_chi_squared_where_there_is_noise(self):
        found = self.kept([1.0, 1.4, 0.4, 1.1], n_first=1, scores_of=chi_squared)
        assert found == ([0, 2], 3)


METRICS = validity_metrics(load_lpips())


def psnr(value):
    return ImageScores({"psnr": np.array([value, value + 1.0])}, {})


def chi_squared(value):
    return ImageScores({}, {}, chi_squared=np.array([value - 0.1, value + 0.1]))
