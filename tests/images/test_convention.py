"""The image convention holds at the border, and files are read as documented or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invbench.errors import (
    InvalidImagesError,
)
from invbench.images import (
    check_images,
    from_signed,
    from_uint8,
    to_signed,
    to_uint8,
    trusted,
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.0, 1 + 2**-23), r"span \[0, 1\], beyond \[0, 1\] by 1\.19e-07; clamp"),
        ((-1e-9, 1.0), r"span \[-1e-09, 1\], beyond \[0, 1\] by 1e-09; clamp"),
        ((-1.0, 2.5), r"span \[-1, 2\.5\], beyond \[0, 1\] by 1\.5; clamp"),
    ],
)
def test_values_beyond_are_told_by_how_much(values, message):
    with pytest.raises(InvalidImagesError, match=message):
        check_images(torch.tensor(values).reshape(1, 1, 2))


class TestTrusted:
    def test_images_are_looked_at_once_and_so_are_views_of_all_of_them(self):
        images = torch.rand(2, 3, 4, 4)
        with trusted(images):
            images[0] = torch.nan  # which nobody may do, and which shows who looks
            assert check_images(images) is images
            check_images(images[None])
            check_images(images.flatten(0, 1))
            for part in (images[:1], images[..., :2], images.clone()):
                with pytest.raises(InvalidImagesError, match="NaN"):
                    check_images(part)
        with pytest.raises(InvalidImagesError, match="NaN"):
            check_images(images)

    def test_shapes_are_still_checked(self):
        images = torch.rand(2, 3, 4, 4)
        with trusted(images), pytest.raises(InvalidImagesError, match="3 channels"):
            check_images(images, channels=1)

    def test_what_breaks_the_convention_is_refused_at_the_door(self):
        with pytest.raises(InvalidImagesError, match="beyond"), trusted(torch.full((1, 2, 2), 2.0)):
            pass
