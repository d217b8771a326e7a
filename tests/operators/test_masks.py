"""Masks show what they say, and hide the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import from_uint8
from invbench.operators import LinearMasking, Masking
from invbench.operators.masks import Box, Everything, Scattered

law = settings(deadline=None, derandomize=True, max_examples=30)
sizes = st.integers(2, 40)
seeds = st.integers(0, 2**31 - 1)
masks = st.one_of(
    st.builds(Box, st.floats(0.05, 0.95)),
    st.builds(Scattered, st.floats(0.05, 0.95), st.integers(0, 9)),
    st.just(Everything()),
)


def pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@law
@given(masks, seeds, sizes, sizes)
def test_masking_equals_numpy(mask, seed, height, width):
    image = pixels(seed, 3, height, width)
    expected = image.copy()
    expected[:, ~mask.shown(height, width).numpy()] = 0
    observed = Masking(mask)(from_uint8(torch.from_numpy(image)))
    assert torch.equal(observed, from_uint8(torch.from_numpy(expected)))
    twin = LinearMasking(height, width, mask)
    assert torch.equal(twin(from_uint8(torch.from_numpy(image))), observed)
    measured = Masking(mask).measured(height, width)
    assert measured.shape == Masking(mask).observation_shape(height, width)
    assert torch.equal(measured, twin.measured(height, width))
    assert not observed[~measured].any()


@law
@given(st.floats(0.05, 0.95), sizes, sizes)
def test_a_box_is_centred_and_of_its_size(side, height, width):
    shown = Box(side).shown(height, width).numpy()
    expected = np.ones((height, width), bool)
    tall, wide = int(side * height), int(side * width)
    rows, columns = (height - tall) // 2, (width - wide) // 2
    expected[rows : rows + tall, columns : columns + wide] = False
    assert (shown == expected).all()
    hidden_rows = np.flatnonzero(~shown.all(1))
    if hidden_rows.size:
        above, below = hidden_rows[0], height - 1 - hidden_rows[-1]
        assert 0 <= below - above <= 1


@law
@given(st.floats(0.05, 0.95), st.integers(0, 99), sizes, sizes)
def test_scattered_pixels_are_as_many_as_asked_for_and_always_the_same(share, seed, height, width):
    torch.manual_seed(seed)
    shown = Scattered(share, seed).shown(height, width)
    assert int((~shown).sum()) == int(share * height * width)
    assert torch.equal(shown, Scattered(share, seed).shown(height, width))


def test_scattered_pixels_are_scattered():
    shown = Scattered(0.5).shown(128, 128).double()
    assert shown.mean() == 0.5
    for block in (shown[:64, :64], shown[64:, :64], shown[::2, ::2]):
        assert abs(block.mean() - 0.5) < 4 * 0.5 / block.numel() ** 0.5
    assert not torch.equal(shown, Scattered(0.5, 1).shown(128, 128).double())
    # In no column, row or diagonal alike
    for shift in ((0, 1), (1, 0), (1, 1)):
        agree = (shown == shown.roll(shift, (0, 1))).double().mean()
        assert abs(agree - 0.5) < 4 * 0.5 / 128


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_of_no_sense_is_refused(share):
    for kind in (Box, Scattered):
        with pytest.raises(UnknownNameError, match="between 0 and 1"):
            kind(share)


def test_images_of_another_size_are_refused():
    with pytest.raises(InvalidImagesError, match="was made for"):
        LinearMasking(8, 8, Box())(torch.zeros(3, 8, 9))
