"""Grayscale, with Pillow as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from invbench.errors import InvalidImagesError
from invbench.images import from_uint8
from invbench.operators import PillowGray, exact, grayscale


def every_color():
    """Return all 2**24 colours as one image, uint8 ``[3, 4096, 4096]``."""
    code = torch.arange(2**24, dtype=torch.int32).reshape(4096, 4096)
    return torch.stack([(code >> shift).to(torch.uint8) for shift in (16, 8, 0)])


def noise(*shape):
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws)


def test_every_color_equals_pillow():
    images = every_color()
    expected = Image.fromarray(images.permute(1, 2, 0).numpy()).convert("L")
    assert torch.equal(grayscale(images)[0], torch.from_numpy(np.array(expected)))


def test_gray_stays_gray():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    assert torch.equal(grayscale(ramp.expand(3, 16, 16)), ramp)


def test_leading_dimensions_strides_and_chunks_do_not_matter(monkeypatch):
    images = noise(2, 3, 5, 7, 3).movedim(-1, -3)
    assert not images.is_contiguous()
    expected = torch.stack([grayscale(image) for image in images.reshape(6, 3, 5, 7)])
    assert torch.equal(grayscale(images), expected.reshape(2, 3, 1, 5, 7))
    monkeypatch.setattr(exact, "_CPU_PIXELS", 4 * 35)
    assert torch.equal(grayscale(images), expected.reshape(2, 3, 1, 5, 7))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), "convert with images.to_uint8"),
        (torch.zeros(3, 8, 8, dtype=torch.int32), "dtype torch.int32"),
        (torch.zeros(1, 8, 8, dtype=torch.uint8), r"1 channels in \(1, 8, 8\), not 3"),
    ],
)
def test_images_that_break_the_convention_are_refused(images, message):
    with pytest.raises(InvalidImagesError, match=message):
        grayscale(images)


class TestPillowGray:
    def test_equals_the_exact_function_on_8_bit_images(self):
        images = noise(4, 3, 9, 11)
        observation = PillowGray()(from_uint8(images))
        assert observation.dtype == torch.float32
        assert torch.equal(observation, from_uint8(grayscale(images)))

    def test_its_repr_is_the_record(self):
        operator = PillowGray()
        assert repr(operator) == "PillowGray()"
        assert operator.identity() == {"name": "gray-pillow", "version": "1", "params": {}}
        assert operator.observation_shape(17, 33) == (1, 17, 33)

    def test_refuses_gray_images(self):
        with pytest.raises(InvalidImagesError, match="not 3"):
            PillowGray()(torch.zeros(1, 8, 8))
