"""The image convention holds at the border, and files are read as documented or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from invbench.errors import (
    InvalidImagesError,
    UnreadableImageError,
)
from invbench.images import (
    check_images,
    from_signed,
    from_uint8,
    read_image,
    to_signed,
    to_uint8,
)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


def test_every_8_bit_value_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert torch.equal(to_uint8(from_signed(to_signed(from_uint8(levels)))), levels)


def test_rounding_is_to_nearest_and_not_down():
    assert to_uint8(torch.tensor([0.999 / 255, 254.6 / 255])).tolist() == [1, 255]


def test_what_lies_between_two_levels_goes_to_the_even_one():
    """As numpy and Pillow round; half up would brighten an image by half a level in 255 a value."""
    between = torch.arange(255, dtype=torch.float64) + 0.5
    halves = (between / 255).float()
    exact = halves.mul(255) == between.float()
    assert exact.sum() > 100
    expected = np.rint(between.numpy())
    assert (to_uint8(halves).numpy()[exact] == expected[exact]).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "from_uint8"),
        (torch.zeros(4, 4), "shape"),
        (torch.zeros(0, 3, 4, 4), "non-empty"),
        (torch.full((3, 4, 4), torch.nan), "48 of 48 values are NaN"),
        (torch.full((3, 4, 4), torch.inf), "infinite"),
        (torch.full((3, 4, 4), -0.1), "from_signed"),
        (torch.full((3, 4, 4), 1.0001), r"span \[1, 1\]|span \[1\.0001|not \[0, 1\]"),
        (torch.zeros(4, 4, 4), "4 channels"),
    ],
)
def test_what_breaks_the_convention_is_named(images, message):
    with pytest.raises(InvalidImagesError, match=message):
        check_images(images, channels=3)


class TestReadImage:
    def test_rgb_is_read_as_channels_first(self, tmp_path):
        pixels = noise(5, 7, 3)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), pixels.transpose(2, 0, 1))

    def test_gray_is_replicated(self, tmp_path):
        pixels = noise(5, 7)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), np.stack([pixels] * 3))
        assert np.array_equal(read_image(tmp_path / "a.png", channels=1), pixels[None])

    def test_palette_is_looked_up(self, tmp_path):
        image = Image.fromarray(noise(8, 8, 3)).quantize(16)
        image.save(tmp_path / "a.png")
        expected = np.array(image.convert("RGB")).transpose(2, 0, 1)
        assert np.array_equal(read_image(tmp_path / "a.png"), expected)

    def test_opaque_alpha_is_dropped_and_transparency_refused(self, tmp_path):
        pixels = noise(4, 4, 4)
        pixels[..., 3] = 255
        Image.fromarray(pixels).save(tmp_path / "opaque.png")
        expected = pixels[..., :3].transpose(2, 0, 1)
        assert np.array_equal(read_image(tmp_path / "opaque.png"), expected)
        pixels[0, 0, 3] = 254
        Image.fromarray(pixels).save(tmp_path / "glass.png")
        with pytest.raises(UnreadableImageError, match="transparent"):
            read_image(tmp_path / "glass.png")

    def test_sixteen_bits_are_refused(self, tmp_path):
        Image.fromarray(noise(4, 4).astype(np.uint16) * 257).save(tmp_path / "deep.png")
        with pytest.raises(UnreadableImageError, match="8 bits"):
            read_image(tmp_path / "deep.png")

    def test_other_colour_models_are_refused(self, tmp_path):
        Image.fromarray(noise(4, 4, 4), mode=None).convert("CMYK").save(tmp_path / "print.jpg")
        with pytest.raises(UnreadableImageError, match="CMYK"):
            read_image(tmp_path / "print.jpg")

    def test_colour_is_refused_where_gray_is_expected(self, tmp_path):
        Image.fromarray(noise(4, 4, 3)).save(tmp_path / "a.png")
        with pytest.raises(UnreadableImageError, match="gray"):
            read_image(tmp_path / "a.png", channels=1)

    def test_damaged_files_are_named(self, tmp_path):
        path = tmp_path / "a.png"
        Image.fromarray(noise(64, 64, 3)).save(path)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(UnreadableImageError, match=r"a\.png"):
            read_image(path)
        path.write_text("no image")
        with pytest.raises(UnreadableImageError, match=r"a\.png"):
            read_image(path)
        with pytest.raises(UnreadableImageError, match="no such file"):
            read_image(tmp_path / "b.png")
