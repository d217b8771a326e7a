"""Bicubic resizing, with Pillow as the oracle."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from skimage import data

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.gate.identities import first_difference
from invbench.images import from_uint8
from invbench.operators import PillowBicubic, bicubic_matrix, exact, resize, resize_bicubic

PHOTOGRAPHS = [data.astronaut(), data.chelsea(), data.coffee()]
PILLOW_TURNS = int(PIL.__version__.split(".")[0]) >= 13


def pillow(images, height, width):
    """Resize uint8 ``[N, C, H, W]`` channel by channel."""
    planes = [
        np.asarray(Image.fromarray(plane.numpy()).resize((width, height), Image.Resampling.BICUBIC))
        for plane in images.flatten(0, 1)
    ]
    return torch.from_numpy(np.stack(planes)).reshape(*images.shape[:2], height, width)


def pictures(height, width, seed=0):
    """Return uint8 ``[3, 3, H, W]``: a photograph's detail, noise and black-and-white noise."""
    rng = np.random.default_rng(seed)
    photograph = PHOTOGRAPHS[seed % len(PHOTOGRAPHS)]
    repeats = (-(-height // photograph.shape[0]), -(-width // photograph.shape[1]), 1)
    stack = (
        np.tile(photograph, repeats)[:height, :width],
        rng.integers(0, 256, (height, width, 3)),
        rng.integers(0, 2, (height, width, 3)) * 255,
    )
    return torch.from_numpy(np.stack(stack).astype(np.uint8)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("height", "width", "to_height", "to_width"),
    [
        (512, 512, 32, 32),
        (128, 128, 8, 8),
        (64, 64, 4, 4),
        (512, 512, 256, 256),
        (256, 384, 16, 24),
        (64, 64, 32, 32),
        (32, 32, 64, 64),
        (8, 8, 128, 128),
        (100, 100, 37, 37),
        (37, 37, 100, 100),
        (51, 33, 17, 11),
        (50, 53, 3, 3),
        (16, 16, 1, 1),
        (1, 1, 16, 16),
        (1, 40, 1, 7),
        (40, 30, 40, 15),
        (40, 30, 20, 30),
        (20, 20, 20, 20),
        (2048, 16, 2048, 1),
    ],
)
def test_equals_pillow(height, width, to_height, to_width):
    images = pictures(height, width, seed=height)
    expected = pillow(images, to_height, to_width)
    assert torch.equal(resize_bicubic(images, to_height, to_width), expected)


@pytest.mark.parametrize("seed", range(8))
def test_random_sizes_equal_pillow(seed):
    rng = np.random.default_rng(seed)
    for trial in range(40):
        sizes = rng.integers(1, 70, 4)
        height, width, to_height, to_width = (int(size) for size in sizes)
        if not PILLOW_TURNS and height - to_height > max(0, 2 * (width - to_width)):
            continue
        images = pictures(height, width, seed=trial)
        expected = pillow(images, to_height, to_width)
        assert torch.equal(resize_bicubic(images, to_height, to_width), expected), sizes


@pytest.mark.skipif(not PILLOW_TURNS, reason="Pillow before 13 always resizes horizontally first")
@pytest.mark.parametrize(
    ("height", "width", "to_height", "to_width"),
    [
        (480, 160, 30, 10),  # 450 rows fewer, 150 columns: vertical first
        (60, 40, 20, 20),  # twice as many rows as columns: still horizontal first
        (61, 40, 20, 20),
        (40, 10, 39, 30),
        (20, 20, 21, 90),
    ],
)
def test_the_order_of_the_passes_is_pillows(height, width, to_height, to_width):
    images = pictures(height, width)
    turned = resize._resize_last_axis(images.mT, to_height).mT
    vertical_first = resize._resize_last_axis(turned, to_width)
    straight = resize._resize_last_axis(images, to_width)
    horizontal_first = resize._resize_last_axis(straight.mT, to_height).mT
    assert not torch.equal(vertical_first, horizontal_first)

    actual = resize_bicubic(images, to_height, to_width)
    assert torch.equal(actual, pillow(images, to_height, to_width))
    fewer_rows, fewer_columns = height - to_height, width - to_width
    first = vertical_first if fewer_rows > max(0, 2 * fewer_columns) else horizontal_first
    assert torch.equal(actual, first.to(torch.uint8))


def test_weights_are_those_of_torchs_antialiased_bicubic():
    for size, length in ((4, 64), (32, 512), (7, 30), (30, 7)):
        steps = torch.eye(length, dtype=torch.float64)[None, None]
        rows = torch.nn.functional.interpolate(
            steps, (length, size), mode="bicubic", antialias=True
        )
        torch.testing.assert_close(
            torch.from_numpy(bicubic_matrix(size, length)), rows[0, 0].T, rtol=0, atol=1e-7
        )


class TestPrecision:
    """No setting that trades precision for speed may change a bit."""

    images = pictures(96, 96)

    def test_autocast_changes_nothing(self):
        expected = pillow(self.images, 6, 6)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(resize_bicubic(self.images, 6, 6), expected)

    def test_reduced_float32_products_change_nothing(self):
        before = torch.get_float32_matmul_precision()
        try:
            for precision in ("medium", "high"):
                torch.set_float32_matmul_precision(precision)
                expected = pillow(self.images, 6, 6)
                assert torch.equal(resize_bicubic(self.images, 6, 6), expected)
        finally:
            torch.set_float32_matmul_precision(before)

    def test_bfloat16_products_are_met_with_shorter_digits(self):
        backend = torch.backends.mkldnn.matmul
        before = backend.fp32_precision
        try:
            assert resize._safe_bits(torch.device("cpu")) == 11
            backend.fp32_precision = "bf16"
            assert resize._safe_bits(torch.device("cpu")) == 8
        finally:
            backend.fp32_precision = before
        assert resize._safe_bits(torch.device("meta")) == 8

    @pytest.mark.parametrize("bits", [8, 11])
    @pytest.mark.parametrize(("size", "length"), [(32, 512), (64, 64), (4, 1000), (300, 30)])
    def test_digits_and_sums_fit_the_format(self, size, length, bits):
        kernel = resize._fixed_point_kernel(size, length, bits, torch.device("cpu"))
        for _, _, weights in kernel.bands:
            assert weights.abs().max() <= 2 ** (bits - 1)
            assert torch.equal(weights, weights.round())
            assert 255 * weights.double().abs().sum(0).max() < 2**24

    @pytest.mark.parametrize("bits", [8, 11])
    def test_either_length_of_digits_equals_pillow(self, monkeypatch, bits):
        monkeypatch.setattr(resize, "_safe_bits", lambda _device: bits)
        for size in (6, 60, 200):
            expected = pillow(self.images, size, size)
            assert torch.equal(resize_bicubic(self.images, size, size), expected)

    def test_a_thousandfold_reduction_is_exact(self):
        images = pictures(1, 4000)[:, :1]
        assert torch.equal(resize_bicubic(images, 1, 4), pillow(images, 1, 4))


def test_an_image_does_not_depend_on_its_batch():
    images = pictures(48, 48)
    together = resize_bicubic(images, 3, 3)
    assert torch.equal(together, torch.stack([resize_bicubic(image, 3, 3) for image in images]))


def test_leading_dimensions_strides_and_chunks_do_not_matter(monkeypatch):
    images = pictures(32, 48).repeat(2, 1, 1, 1)
    expected = pillow(images, 2, 3)
    assert torch.equal(
        resize_bicubic(images.reshape(2, 3, 3, 32, 48), 2, 3), expected.reshape(2, 3, 3, 2, 3)
    )
    strided = images.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    assert not strided.is_contiguous()
    assert torch.equal(resize_bicubic(strided, 2, 3), expected)
    monkeypatch.setattr(exact, "_CPU_PIXELS", 4 * 32 * 48)
    assert torch.equal(resize_bicubic(images, 2, 3), expected)


def test_what_float32_cannot_sum_exactly_is_refused():
    row = torch.zeros(1, 1, 100_000, dtype=torch.uint8)
    with pytest.raises(InvalidImagesError, match="too much for one exact step"):
        resize_bicubic(row, 1, 1)


def test_images_that_break_the_convention_are_refused():
    with pytest.raises(InvalidImagesError, match=r"dtype torch\.float32"):
        resize_bicubic(torch.zeros(3, 8, 8), 4, 4)
    with pytest.raises(InvalidImagesError, match="at least one pixel"):
        resize_bicubic(torch.zeros(3, 8, 8, dtype=torch.uint8), 0, 4)


def test_reduces_as_the_published_imle_code(refs):
    stored = refs("imle/colour_and_downsample.safetensors")
    image = stored["rgb_u8"].permute(2, 0, 1)
    for factor in (2, 4, 8):
        reduced = resize_bicubic(image, image.shape[1] // factor, image.shape[2] // factor)
        expected = stored[f"ds.{factor}"].permute(2, 0, 1)
        torch.testing.assert_close(from_uint8(reduced), expected, rtol=0, atol=1e-6)


class TestPillowBicubic:
    def test_its_rule_is_stated_and_keeps_other_runs_apart(self):
        ours = PillowBicubic(4).identity()
        assert ours["rule"] == "Pillow 13"
        found = first_difference(ours | {"rule": "Pillow 12"}, ours, "operator")
        assert found == "operator.rule: 'Pillow 12' -> 'Pillow 13'"

    def test_equals_pillow_on_8_bit_images(self):
        images = pictures(64, 64)
        observation = PillowBicubic()(from_uint8(images))
        assert observation.dtype == torch.float32
        assert torch.equal(observation, from_uint8(pillow(images, 4, 4)))

    def test_sizes_that_do_not_divide_are_rounded_down(self):
        images = pictures(50, 47)
        operator = PillowBicubic(factor=16)
        assert operator.observation_shape(50, 47) == (3, 3, 2)
        assert torch.equal(operator(from_uint8(images)), from_uint8(pillow(images, 3, 2)))

    def test_its_repr_is_the_record(self):
        operator = PillowBicubic(factor=8)
        assert repr(operator) == "PillowBicubic(factor=8)"
        assert operator.identity() == {
            "name": "bicubic-pillow",
            "version": "1",
            "rule": "Pillow 13",
            "params": {"factor": 8},
        }

    def test_refuses_images_smaller_than_the_factor(self):
        with pytest.raises(InvalidImagesError, match="give at least 16x16"):
            PillowBicubic()(torch.zeros(3, 15, 40))

    @pytest.mark.parametrize("factor", [0, -2, 2.5])
    def test_refuses_a_factor_that_is_no_count(self, factor):
        with pytest.raises(UnknownNameError, match="whole number from 1 up"):
            PillowBicubic(factor=factor)
