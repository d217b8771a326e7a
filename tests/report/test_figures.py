"""Figures show all methods on one scale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image as pictures
from PIL import Image

from invbench.cli import main
from invbench.data import DataSet
from invbench.data.photos import photos
from invbench.errors import InvalidImagesError
from invbench.evaluation.experiment import Settings, Subject
from invbench.evaluation.sampling import draw
from invbench.exit_codes import ExitCode
from invbench.images import from_uint8
from invbench.problems.tasks import get_task
from invbench.report.figures import (
    IntervalImages,
    common_scale,
    draw_uncertainty,
    highlight,
    save_arrays,
    scale_note,
)
from invbench.verbs.uncertainty import SHOWN, interval_images

CHECKPOINTS = Path(__file__).parents[2] / "fixtures" / "checkpoints"


def images(size, *, n=2, side=8, mean=0.5, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n, 3, side, side)
    return IntervalImages(np.full(shape, mean), size * rng.uniform(0.5, 1, shape))


def test_scale_is_the_percentile_over_all_methods():
    methods = {"a": images(0.1), "b": images(0.4, seed=1)}
    pixels = np.concatenate([m.size.mean(1).ravel() for m in methods.values()])
    assert common_scale(methods) == pytest.approx(np.percentile(pixels, 99))
    assert common_scale(methods) > common_scale({"a": methods["a"]})


def test_highlight_is_the_dimmed_mean_and_the_size():
    mean = np.zeros((3, 1, 2))
    mean[0] = 1
    size = np.array([0.1, 0.2]).reshape(1, 1, 2).repeat(3, 0)
    shown = highlight(mean, size, 0.2)
    assert shown.shape == (1, 2, 3)
    assert shown[0, 0] == pytest.approx([0.4 + 0.3, 0.3, 0.3])
    assert shown[0, 1] == pytest.approx([1.0, 0.6, 0.6])
    assert highlight(mean, size, 0.1)[0, 1] == pytest.approx([1.0, 0.6, 0.6])
    assert highlight(mean, size, 0.0)[0, 1] == pytest.approx([0.4, 0, 0])


class Recorder:
    """Collects the arrays that a figure shows."""

    def __init__(self, monkeypatch):
        self.shown = []
        from matplotlib.axes import Axes

        original = Axes.imshow

        def imshow(axis, array, *args, **kwargs):
            self.shown.append(np.asarray(array))
            return original(axis, array, *args, **kwargs)

        monkeypatch.setattr(Axes, "imshow", imshow)


@pytest.mark.parametrize("scaling", ["common", "image"])
def test_equal_sizes_are_equally_bright_in_all_pictures(tmp_path, monkeypatch, scaling):
    recorder = Recorder(monkeypatch)
    narrow, wide = images(0.1), images(0.4, seed=1)
    wide.size[0, :, 0, 0] = narrow.size[0, :, 0, 0]
    scale = draw_uncertainty(
        tmp_path / "f.png", {"a": narrow, "b": wide}, title="sr16", scaling=scaling
    )
    first, _, second, _ = recorder.shown
    same = first[0, 0] == pytest.approx(second[0, 0])
    assert same is (scaling == "common")
    if scaling == "common":
        light = (first[0, 0, 0] - 0.4 * 0.5) / 0.6
        assert light * scale == pytest.approx(narrow.size[0, :, 0, 0].mean())
        assert scale == common_scale({"a": narrow, "b": wide})
    else:
        assert scale is None


def test_figure_is_written_and_says_its_scale(tmp_path):
    file = tmp_path / "f.png"
    methods = {"chimle": images(0.1, n=3), "ddrm": images(0.2, n=3)}
    draw_uncertainty(file, methods, title="colorization", image_ids=["x", "y", "z"])
    assert np.asarray(Image.open(file)).std() > 0
    assert pictures.imread(file).shape[1] > pictures.imread(file).shape[0]
    assert "0.123 of the range" in scale_note(0.1234)
    assert "its own scale" in scale_note(None)
    again = tmp_path / "g.svg"
    draw_uncertainty(again, methods, title="colorization")
    assert again.read_text().startswith("<?xml")


def test_names_are_no_formulas(tmp_path):
    name = r"a$\nonsense{$"
    methods = {name: images(0.1)}
    draw_uncertainty(tmp_path / "f.png", methods, title=name, image_ids=[name, name])
    assert (tmp_path / "f.png").stat().st_size


def test_bad_input_is_named(tmp_path):
    good = images(0.1)
    with pytest.raises(InvalidImagesError, match="expected both"):
        IntervalImages(good.mean, good.size[:1])
    with pytest.raises(InvalidImagesError, match="leave"):
        IntervalImages(good.mean + 1, good.size)
    with pytest.raises(InvalidImagesError, match="negative"):
        IntervalImages(good.mean, -good.size)
    with pytest.raises(InvalidImagesError, match="NaN"):
        IntervalImages(good.mean * np.nan, good.size)
    with pytest.raises(InvalidImagesError, match="no methods"):
        common_scale({})
    with pytest.raises(InvalidImagesError, match="different images"):
        draw_uncertainty(tmp_path / "f.png", {"a": good, "b": images(0.1, n=3)}, title="")
    with pytest.raises(InvalidImagesError, match="3 image ids for 2"):
        draw_uncertainty(tmp_path / "f.png", {"a": good}, title="", image_ids=["x", "y", "z"])


def test_neither_torch_nor_matplotlib_is_imported_before_a_figure_is_drawn():
    code = (
        "import invbench.report.figures, sys;"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_arrays_are_saved_as_they_are(tmp_path):
    one, two = images(0.1), images(0.4, seed=1)
    save_arrays(tmp_path / "new" / "a.npz", {"one": one, "two": two})
    with np.load(tmp_path / "new" / "a.npz") as saved:
        assert set(saved) == {"one.mean", "one.size", "two.mean", "two.size"}
        np.testing.assert_array_equal(saved["two.size"], two.size)


def blurred(observation, generators):
    """Return the gray observation with noise of one strength everywhere."""
    noise = torch.stack([torch.randn(3, 32, 32, generator=g) for g in generators])
    return (observation + 0.05 * noise).clamp(0, 1)


class TestUncertaintyVerb:
    def test_intervals_are_calibrated_on_other_photographs(self):
        n_samples, crops = 10, photos(32, 10)
        assert crops[0].group == crops[9].group
        chunks = []

        def sampler(observation, generators):
            chunks.append(len(generators))
            return blurred(observation, generators)

        found = interval_images(
            Subject(sampler),
            get_task("colorization").problem((32, 32)),
            DataSet("crops", crops),
            Settings(n_samples=n_samples, chunk_size=4, seed=3),
        )
        assert max(chunks) == 4
        operator = get_task("colorization").operator
        targets = [from_uint8(photo.pixels) for photo in crops]
        samples = [
            draw(
                blurred,
                operator(target)[None],
                task="colorization",
                image_ids=[photo.id],
                size=(32, 32),
                n_samples=n_samples,
                seed=3,
            )[0].double()
            for photo, target in zip(crops, targets, strict=True)
        ]
        means = [s.mean(0).numpy() for s in samples]
        bounds = [np.quantile(s.numpy(), [0.05, 0.95], axis=0) for s in samples]

        def scaled(i, factor):
            return means[i] + factor * (bounds[i] - means[i])

        def risk(factor, of):
            inside = [
                (scaled(i, factor)[0] <= targets[i].numpy())
                & (targets[i].numpy() <= scaled(i, factor)[1])
                for i in of
            ]
            return 1 - np.mean([image.mean() for image in inside])

        others, low, high = range(1, 9), 0.0, 1e4
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if risk(middle, others) <= 0.1 else (middle, high)
        lower, upper = scaled(0, high).clip(0, 1)
        assert found.mean.shape == found.size.shape == (SHOWN, 3, 32, 32)
        np.testing.assert_allclose(found.mean[0], means[0], atol=1e-6)
        np.testing.assert_allclose(found.size[0], upper - lower, atol=2e-3)

    def test_draws_a_figure_of_shipped_weights(self, tmp_path, capsys):
        arguments = ["uncertainty", "--task", "colorization", "-o", str(tmp_path / "docs")]
        arguments += ["--checkpoints", str(CHECKPOINTS)]
        few = ["--images", "2", "--samples", "2", "--arrays", "--device", "cpu"]
        assert main([*arguments, *few]) is ExitCode.OK
        assert "8 methods" in capsys.readouterr().out
        with Image.open(tmp_path / "docs" / "uncertainty-colorization.png") as picture:
            assert picture.height > picture.width
        with np.load(tmp_path / "docs" / "uncertainty-colorization.npz") as saved:
            assert saved["chimle.size"].shape == (2, 3, 64, 64)

    def test_no_weights_are_named(self, tmp_path, capsys):
        places = ["-o", str(tmp_path), "--checkpoints", str(tmp_path)]
        assert main(["uncertainty", "--task", "sr16", *places]) is ExitCode.MISSING
        assert "no weights for sr16" in capsys.readouterr().err
