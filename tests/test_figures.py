"""Figures show all methods on one scale."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image as pictures
from PIL import Image

from invbench.errors import InvalidImagesError
from invbench.report.figures import (
    IntervalImages,
    common_scale,
    draw_uncertainty,
    highlight,
    scale_note,
)


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
