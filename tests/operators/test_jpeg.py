"""JPEG round trips, with Pillow as the oracle."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import from_uint8
from invbench.operators import PillowJpeg, blocks, exact, jpeg, jpeg_roundtrip
from invbench.operators.blocks import quantization_tables

PHOTOGRAPHS = [data.astronaut(), data.chelsea(), data.coffee()]
PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:0": 2}
MODES = [(3, "4:2:0"), (3, "4:4:4"), (1, "4:2:0")]

# At quality 1 its inverse transform peaks at 524, more than libjpeg's own table of limits holds
SATURATING_BLOCK = (
    *(255, 255, 0, 255, 0, 0, 255, 255),
    *(255, 255, 255, 255, 255, 0, 255, 0),
    *(0, 255, 0, 255, 0, 255, 0, 204),
    *(255, 0, 0, 0, 255, 0, 255, 255),
    *(0, 255, 255, 0, 170, 0, 255, 255),
    *(255, 255, 255, 255, 0, 255, 255, 255),
    *(0, 0, 255, 255, 0, 255, 255, 0),
    *(255, 255, 0, 255, 255, 0, 0, 0),
)


def compress(pixels, **settings):
    """Return the file that Pillow makes of ``[H, W, 3]`` or ``[H, W]``."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **settings)
    return Image.open(stream)


def pillow(images, *, quality, subsampling="4:2:0"):
    """Send uint8 ``[N, C, H, W]`` through files in memory."""
    settings = {"quality": quality}
    if images.shape[1] == 3:
        settings["subsampling"] = PILLOW_SUBSAMPLING[subsampling]
    pixels = images.permute(0, 2, 3, 1).numpy()
    pixels = pixels[..., 0] if images.shape[1] == 1 else pixels
    decoded = np.stack([np.asarray(compress(each, **settings)) for each in pixels])
    return torch.from_numpy(decoded).reshape(*decoded.shape[:3], -1).permute(0, 3, 1, 2)


def pictures(height, width, seed):
    """Return uint8 ``[5, 3, H, W]``: a photograph's detail, noise, binary noise, tiles, waves."""
    rng = np.random.default_rng(seed)
    photograph = PHOTOGRAPHS[seed % len(PHOTOGRAPHS)]
    top, left = rng.integers(0, np.array(photograph.shape[:2]) - (height, width))
    rows, columns = (
        np.cos((2 * np.arange(size)[:, None] + 1) * rng.integers(0, 8, 3) * np.pi / 16)
        for size in (height, width)
    )
    tile = np.ones((8, 8, 1))
    tiles = np.kron(rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3)), tile)
    stack = (
        photograph[top : top + height, left : left + width],
        rng.integers(0, 256, (height, width, 3)),
        rng.integers(0, 2, (height, width, 3)) * 255,
        tiles[:height, :width],
        (rows[:, None] * columns > 0) * 255,  # signs of DCT basis images: few, huge coefficients
    )
    return torch.from_numpy(np.stack(stack).astype(np.uint8)).permute(0, 3, 1, 2)


def differing(images, **settings):
    """Count the values that differ from Pillow's."""
    ours = jpeg_roundtrip(images, **settings)
    return int((ours != pillow(images, **settings)).sum())


@pytest.fixture(params=["arithmetic", "Pillow"], autouse=True)
def way(request, monkeypatch):
    """Code by either of the two ways; which one a machine takes is not to show."""
    if request.param == "Pillow" and not jpeg.pillow_agrees():
        pytest.skip("Pillow's libjpeg is another")
    least = 0 if request.param == "Pillow" else 2**62
    monkeypatch.setattr(jpeg, "PILLOW_PIXELS", least)
    return request.param


@pytest.mark.parametrize("height", range(1, 20))
def test_every_small_size_equals_pillow(height):
    for width in range(1, 20):
        images = pictures(height, width, seed=100 * height + width)
        assert differing(images, quality=1) == 0, (height, width)


@pytest.mark.parametrize(("channels", "subsampling"), MODES)
def test_every_quality_equals_pillow(channels, subsampling):
    for quality in range(1, 101):
        images = pictures(21 + quality % 13, 19 + quality % 17, seed=quality)[:, :channels]
        assert differing(images, quality=quality, subsampling=subsampling) == 0, quality


@pytest.mark.parametrize("seed", range(5))
def test_random_sizes_and_qualities_equal_pillow(seed):
    rng = np.random.default_rng(seed)
    for trial in range(40):
        height, width, quality = (int(value) for value in rng.integers(1, (80, 80, 101)))
        channels, subsampling = MODES[trial % len(MODES)]
        images = pictures(height, width, seed=1000 * seed + trial)[:, :channels]
        count = differing(images, quality=quality, subsampling=subsampling)
        assert count == 0, (height, width, quality, channels, subsampling)


@pytest.mark.parametrize("quality", [1, 10, 75, 95])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=["astronaut", "chelsea", "coffee"])
def test_whole_photographs_equal_pillow(photograph, quality):
    images = torch.from_numpy(photograph).permute(2, 0, 1)[None]
    assert differing(images, quality=quality) == 0


def test_blocks_beyond_libjpegs_limits_saturate():
    block = torch.tensor(SATURATING_BLOCK, dtype=torch.uint8).reshape(1, 1, 8, 8)
    assert differing(torch.cat([block, 255 - block, block.mT, block.flip(2)]), quality=1) == 0


def test_quantization_tables_are_those_in_pillows_files():
    pixels = np.zeros((8, 8, 3), np.uint8)
    for quality in range(1, 101):
        written = compress(pixels, quality=quality).quantization
        expected = torch.tensor([written[0], written[1]]).reshape(2, 8, 8)
        assert torch.equal(quantization_tables(quality).long(), expected), quality


def test_one_multiplication_quantizes_as_an_integer_division():
    values = torch.arange(-(2**14), 2**14 + 1, dtype=torch.int32)
    for step in range(1, 256):
        expected = values.sign() * ((values.abs() + 4 * step) // (8 * step)) * step
        actual = values.clone()
        blocks._quantize(actual, torch.tensor(step, dtype=torch.int32))
        assert torch.equal(actual, expected), step


def test_an_image_does_not_depend_on_its_batch():
    images = pictures(24, 40, seed=1)
    together = jpeg_roundtrip(images, quality=10)
    alone = torch.stack([jpeg_roundtrip(image, quality=10) for image in images])
    assert torch.equal(together, alone)


def test_chunks_do_not_show(monkeypatch):
    images = pictures(24, 40, seed=2)
    whole = jpeg_roundtrip(images, quality=10)
    monkeypatch.setattr(exact, "_CPU_PIXELS", 2 * 24 * 40)
    assert torch.equal(jpeg_roundtrip(images, quality=10), whole)


def test_leading_dimensions_and_strides_do_not_matter():
    images = pictures(17, 33, seed=3)[:4]
    expected = jpeg_roundtrip(images, quality=30)
    nested = jpeg_roundtrip(images.reshape(2, 2, 3, 17, 33), quality=30)
    assert torch.equal(nested, expected.reshape(2, 2, 3, 17, 33))
    strided = images.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    assert not strided.is_contiguous()
    assert torch.equal(jpeg_roundtrip(strided, quality=30), expected)


def test_the_input_is_left_alone():
    images = pictures(16, 16, seed=4)
    before = images.clone()
    jpeg_roundtrip(images, quality=1)
    jpeg_roundtrip(images[:, :1], quality=1)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), "dtype torch.float32; convert with images.to_uint8"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), "2 channels"),
        (torch.zeros(8, 8, dtype=torch.uint8), "expected non-empty"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "expected non-empty"),
    ],
)
def test_images_that_break_the_convention_are_refused(images, message):
    with pytest.raises(InvalidImagesError, match=message):
        jpeg_roundtrip(images, quality=1)


@pytest.mark.parametrize("quality", [0, 101, -1, 7.5, "1"])
def test_a_quality_that_does_not_exist_is_refused(quality):
    with pytest.raises(UnknownNameError, match="whole number from 1 to 100"):
        PillowJpeg(quality=quality)


def test_a_subsampling_that_does_not_exist_is_refused():
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.raises(UnknownNameError, match="did you mean 4:2:0"):
        jpeg_roundtrip(image, quality=1, subsampling="4:2:2")


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        (lambda coded: coded, True),
        (lambda coded: coded ^ 1, False),
        (lambda coded: coded.roll(1, -1), False),
    ],
    ids=["same", "one bit", "one pixel aside"],
)
def test_pillow_is_taken_where_it_gives_the_same_bits(changed, agrees, monkeypatch, request):
    by_pillow = jpeg._by_pillow
    monkeypatch.setattr(jpeg, "_by_pillow", lambda *given: changed(by_pillow(*given)))
    jpeg.pillow_agrees.cache_clear()
    request.addfinalizer(jpeg.pillow_agrees.cache_clear)
    assert jpeg.pillow_agrees() is agrees
    if not agrees:
        assert differing(pictures(16, 16, seed=5), quality=10) == 0


class TestPillowJpeg:
    def test_equals_pillow_on_8_bit_images(self):
        images = pictures(40, 56, seed=5)
        observation = PillowJpeg(quality=1)(from_uint8(images))
        assert observation.dtype == torch.float32
        assert torch.equal(observation, from_uint8(pillow(images, quality=1)))

    def test_rounds_to_8_bits_first(self):
        images = from_uint8(pictures(16, 16, seed=6).clamp(10, 240))
        operator = PillowJpeg(quality=90, subsampling="4:4:4")
        assert torch.equal(operator(images + 0.4 / 255), operator(images))
        assert not torch.equal(operator(images + 1.6 / 255), operator(images))

    def test_its_repr_is_the_record(self):
        operator = PillowJpeg(quality=5)
        assert repr(operator) == "PillowJpeg(quality=5, subsampling='4:2:0')"
        params = {"quality": 5, "subsampling": "4:2:0"}
        assert operator.identity() == {"name": "jpeg-pillow", "version": "1", "params": params}
        assert operator.observation_shape(17, 33) == (3, 17, 33)

    def test_refuses_values_outside_the_unit_interval(self):
        with pytest.raises(InvalidImagesError, match=r"beyond \[0, 1\]"):
            PillowJpeg()(torch.full((3, 8, 8), 1.5))
