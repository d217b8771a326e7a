"""Blurs are exact circular convolutions with the kernels they name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import from_uint8
from invbench.operators import CircularBlur, LinearBlur
from invbench.operators.blur import UNIT, Gaussian, Motion

law = settings(deadline=None, derandomize=True, max_examples=30)
seeds = st.integers(0, 2**31 - 1)
kernels = st.one_of(
    st.builds(Gaussian, st.floats(0.3, 2.5)),
    st.builds(Motion, st.floats(1.0, 15.0), st.floats(-180, 180)),
)
sizes = st.integers(21, 48)


def pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@law
@given(kernels, seeds, sizes, sizes)
def test_the_exact_blur_equals_scipys_sum_of_whole_numbers(kernel, seed, height, width):
    image = pixels(seed, 3, height, width)
    weights = kernel.weights()
    sums = [scipy.ndimage.convolve(plane.astype(np.int64), weights, mode="wrap") for plane in image]
    expected = (np.stack(sums) + UNIT // 2) // UNIT
    observed = CircularBlur(kernel)(from_uint8(torch.from_numpy(image)))
    assert torch.equal(observed, from_uint8(torch.from_numpy(expected)))


@law
@given(kernels, seeds, sizes, sizes)
def test_the_linear_blur_equals_scipys(kernel, seed, height, width):
    image = np.random.default_rng(seed).normal(size=(3, height, width))
    expected = np.stack(
        [
            scipy.signal.convolve2d(
                np.pad(plane, len(kernel.weights()) // 2, mode="wrap"),
                kernel.weights() / UNIT,
                mode="valid",
            )
            for plane in image
        ]
    )
    actual = LinearBlur(height, width, kernel)(torch.from_numpy(image))
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-12)


@law
@given(kernels)
def test_weights_are_whole_and_sum_to_one(kernel):
    weights = kernel.weights()
    assert weights.dtype == np.int64
    assert weights.sum() == UNIT
    assert weights.min() >= 0
    assert weights.shape[0] == weights.shape[1]
    assert weights.shape[0] % 2 == 1


@law
@given(st.floats(0.3, 3.0))
def test_a_gaussian_is_that_of_scipy(std):
    weights = Gaussian(std).weights()
    impulse = np.zeros(weights.shape)
    impulse[tuple(side // 2 for side in weights.shape)] = 1
    expected = scipy.ndimage.gaussian_filter(
        impulse, std, mode="constant", radius=len(weights) // 2
    )
    assert np.abs(weights / UNIT - expected).max() < 50 / UNIT  # what rounding left is in one place


@law
@given(st.floats(1.0, 15.0), st.floats(-180, 180))
def test_a_movement_has_the_middle_and_the_spread_of_its_path(length, angle):
    weights = Motion(length, angle).weights() / UNIT
    reach = len(weights) // 2
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    mean = (weights * down).sum(), (weights * across).sum()
    assert mean == pytest.approx((0, 0), abs=0.02)
    radians = math.radians(angle)
    along = across * math.cos(radians) - down * math.sin(radians)
    aside = across * math.sin(radians) + down * math.cos(radians)
    # Sharing a moment among four pixels widens the kernel by up to a quarter each way
    assert length**2 / 12 - 0.02 < (weights * along**2).sum() < length**2 / 12 + 0.3
    assert (weights * aside**2).sum() < 0.3


def test_a_movement_goes_the_way_it_says():
    level, upright = Motion(9, 0).weights(), Motion(9, 90).weights()
    assert np.flatnonzero(level.sum(1)).tolist() == [len(level) // 2]
    assert np.abs(upright - level.T).max() <= 32  # of 65536: what rounding left is in one place
    rising = Motion(9, 45).weights()
    assert rising[1, -2] > 0  # up to the right
    assert rising[1, 1] == 0


def test_a_blur_does_not_depend_on_the_batch():
    images = from_uint8(torch.from_numpy(pixels(0, 7, 3, 64, 64)))
    blur = CircularBlur(Motion())
    assert torch.equal(blur(images), torch.stack([blur(image) for image in images]))


def test_images_that_do_not_fit_are_refused():
    for make in (lambda: CircularBlur(Gaussian(3))(torch.zeros(3, 20, 64)),):
        with pytest.raises(InvalidImagesError, match="too few for a kernel of 25x25"):
            make()
    with pytest.raises(InvalidImagesError, match="was made for"):
        LinearBlur(32, 32, Gaussian(1))(torch.zeros(3, 32, 33))
    for kernel in (Gaussian, Motion):
        with pytest.raises(UnknownNameError, match="choose a number"):
            kernel(0)
