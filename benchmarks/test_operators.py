"""Do the forward processes obey their laws, on any image of any size?

The exact ones must equal Pillow, bit for bit; the linear ones must be linear, with the adjoint,
pseudo-inverse and singular vectors they claim.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import PIL
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from PIL import Image
from scipy.fft import dctn
from skimage import data

from invbench.images import from_uint8, usual_pillow
from invbench.operators import (
    LinearBicubic,
    LinearBlur,
    LinearGray,
    LinearMasking,
    PillowBicubic,
    PillowGray,
    PillowJpeg,
    grayscale,
    jpeg_roundtrip,
    quantization_tables,
    resize_bicubic,
)
from invbench.operators.blur import Gaussian, Motion
from invbench.operators.masks import Box, Scattered

law = settings(deadline=None, derandomize=True, max_examples=50)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 48)
qualities = st.integers(1, 100)
kinds = st.sampled_from(["photograph", "noise", "black and white", "flat"])
tasks = pytest.mark.parametrize("operator", [PillowBicubic(), PillowGray(), PillowJpeg()], ids=repr)


@pytest.fixture(scope="module", autouse=True)
def storage(tmp_path_factory):
    """Keep what Hypothesis stores out of the folder that the user works in."""
    set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))
    yield
    set_hypothesis_home_dir(None)


@cache
def photograph():
    with usual_pillow():  # the user's module may have set limits
        return data.astronaut()


def pixels(kind, seed, *shape):
    """Build 8-bit images ``[..., H, W, C]`` of a kind."""
    rng = np.random.default_rng(seed)
    if kind == "photograph":
        corners = rng.integers(0, 512 - max(shape[-3:-1]), (*shape[:-3], 2)).reshape(-1, 2)
        crops = [photograph()[y:, x:][: shape[-3], : shape[-2], : shape[-1]] for y, x in corners]
        return np.stack(crops).reshape(shape)
    if kind == "flat":
        return np.broadcast_to(rng.integers(0, 256, shape[-1], np.uint8), shape).copy()
    levels = rng.integers(0, 256 if kind == "noise" else 2, shape)
    return (levels if kind == "noise" else 255 * levels).astype(np.uint8)


def tensor(array):
    """Turn ``[..., H, W, C]`` into ``[..., C, H, W]``."""
    return torch.from_numpy(array).movedim(-1, -3)


@law
@given(kinds, seeds, sizes, sizes, sizes, sizes)
def test_bicubic_equals_pillow(kind, seed, height, width, to_height, to_width):
    turned = height - to_height > max(0, 2 * (width - to_width))
    assume(not turned or int(PIL.__version__.split(".")[0]) >= 13)
    image = pixels(kind, seed, height, width, 3)
    expected = Image.fromarray(image).resize((to_width, to_height), Image.Resampling.BICUBIC)
    actual = resize_bicubic(tensor(image), to_height, to_width)
    assert torch.equal(actual, tensor(np.array(expected)))


@law
@given(kinds, seeds, sizes, sizes)
def test_gray_equals_pillow(kind, seed, height, width):
    image = pixels(kind, seed, height, width, 3)
    expected = np.array(Image.fromarray(image).convert("L"))
    assert torch.equal(grayscale(tensor(image))[0], torch.from_numpy(expected))


@law
@given(kinds, seeds, sizes, sizes, qualities, st.sampled_from(["4:2:0", "4:4:4"]))
def test_jpeg_equals_pillow(kind, seed, height, width, quality, subsampling):
    image = pixels(kind, seed, height, width, 3)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=subsampling)
    actual = jpeg_roundtrip(tensor(image), quality=quality, subsampling=subsampling)
    assert torch.equal(actual, tensor(np.array(Image.open(file))))


@tasks
@law
@given(kinds, seeds, st.integers(16, 48), st.integers(16, 48))
def test_an_observation_is_an_image_of_the_promised_shape(operator, kind, seed, height, width):
    images = from_uint8(tensor(pixels(kind, seed, 2, height, width, 3)))
    observation = operator(images)
    assert observation.dtype == torch.float32
    assert observation.shape == (2, *operator.observation_shape(height, width))
    assert 0 <= observation.min() <= observation.max() <= 1
    assert torch.equal(observation, from_uint8((observation * 255).round().to(torch.uint8)))


@tasks
@law
@given(kinds, seeds, st.integers(16, 48), st.integers(16, 48))
def test_an_observation_does_not_depend_on_its_batch(operator, kind, seed, height, width):
    images = from_uint8(tensor(pixels(kind, seed, 2, 3, height, width, 3)))
    alone = [operator(image) for image in images.flatten(0, 1)]
    assert torch.equal(operator(images).flatten(0, 1), torch.stack(alone))


@law
@given(kinds, seeds, sizes, sizes)
def test_gray_of_gray_is_gray(kind, seed, height, width):
    gray = grayscale(tensor(pixels(kind, seed, height, width, 3)))
    assert torch.equal(grayscale(gray.expand(3, -1, -1)), gray)


@law
@given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(1, 40))
def test_jpeg_moves_coefficients_by_half_a_step_and_settles(seed, rows, columns, quality):
    # Low contrast, so that nothing is clipped; pixels are rounded by 1/2, 64 of them by 4 in norm
    image = tensor(pixels("noise", seed, 8 * rows, 8 * columns, 1) // 4 + 96)
    once = jpeg_roundtrip(image, quality=quality)
    assume(0 < once.min() <= once.max() < 255)

    blocks = (once.int() - image.int()).reshape(rows, 8, columns, 8).numpy()
    moved = np.abs(dctn(blocks, axes=(1, 3), norm="ortho")).max((0, 2))
    assert (moved <= quantization_tables(quality)[0].numpy() / 2 + 4.5).all()
    assert torch.equal(jpeg_roundtrip(once, quality=quality), once)


linear = pytest.mark.parametrize(
    "operator",
    [
        LinearBicubic(32, 48),
        LinearBicubic(50, 37, factor=8),
        LinearGray(7, 9),
        LinearMasking(7, 9, Box(0.5)),
        LinearMasking(7, 9, Scattered(0.5)),
        LinearBlur(16, 21, Gaussian(1.0)),
        LinearBlur(16, 21, Motion(9.0, 30.0)),
    ],
    ids=repr,
)


def normal(seed, *shapes):
    """Draw float64 tensors of standard normal numbers."""
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=torch.float64, generator=draws) for shape in shapes]


@linear
@law
@given(seeds, st.floats(-9, 9))
def test_linear_operators_are_linear(operator, seed, factor):
    x, other = normal(seed, *2 * [(3, operator.height, operator.width)])
    torch.testing.assert_close(operator(x + factor * other), operator(x) + factor * operator(other))


@linear
@law
@given(seeds)
def test_the_adjoint_moves_the_operator_across_a_product(operator, seed):
    size = operator.height, operator.width
    x, y = normal(seed, (3, *size), operator.observation_shape(*size))
    torch.testing.assert_close((operator(x) * y).sum(), (x * operator.adjoint(y)).sum())


@linear
@law
@given(seeds)
def test_the_pseudo_inverse_is_one(operator, seed):
    size = operator.height, operator.width
    x, y = normal(seed, (3, *size), operator.observation_shape(*size))
    torch.testing.assert_close(operator(operator.pinv(operator(x))), operator(x))
    again = operator.pinv(operator(operator.pinv(y)))
    torch.testing.assert_close(again, operator.pinv(y))


@linear
@law
@given(seeds)
def test_the_svd_is_the_operator(operator, seed):
    svd = operator.svd()
    (images,) = normal(seed, (2, 3, operator.height, operator.width))
    seen = svd.v_transpose(images)[:, : len(svd.singular_values)]
    torch.testing.assert_close(svd.u(svd.singular_values * seen), operator(images))
    torch.testing.assert_close(svd.v(svd.v_transpose(images)), images)
