"""PSNR against scikit-image and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from invbench.errors import InvalidImagesError
from invbench.images import from_uint8
from invbench.metrics import psnr

SHAPES = [(3, 32, 32), (1, 8, 8), (3, 7, 19), (2, 1, 1), (3, 300, 400)]


def levels(*shape, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_psnr_of_8_bit_images_equals_scikit_image_on_their_levels(shape):
    reobservations, observation = levels(4, *shape), levels(*shape, seed=1)
    expected = [
        peak_signal_noise_ratio(observation.numpy(), image.numpy(), data_range=255)
        for image in reobservations
    ]
    scores = psnr(from_uint8(reobservations), from_uint8(observation))
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


def test_nearly_equal_8_bit_images_carry_no_rounding():
    observation = levels(3, 64, 64).clamp(max=254)
    scores = psnr(from_uint8(observation + 1)[None], from_uint8(observation))
    assert scores.item() == pytest.approx(20 * math.log10(255), abs=1e-12)


def test_psnr_of_float_images_equals_scikit_image():
    draws = torch.Generator().manual_seed(2)
    reobservations = torch.rand(3, 3, 40, 56, generator=draws)
    observation = torch.rand(3, 40, 56, generator=draws)
    expected = [
        peak_signal_noise_ratio(observation.double().numpy(), x.double().numpy(), data_range=1)
        for x in reobservations
    ]
    np.testing.assert_allclose(psnr(reobservations, observation), expected, rtol=0, atol=1e-6)


def test_double_images_keep_their_precision():
    observation = torch.full((3, 16, 16), 0.5, dtype=torch.float64)
    scores = psnr(observation[None] + 1e-9, observation)
    assert scores.item() == pytest.approx(180, abs=1e-6)


def test_identical_images_score_infinity():
    observation = from_uint8(levels(3, 16, 16))
    assert psnr(observation.expand(2, -1, -1, -1), observation).tolist() == [math.inf] * 2


def test_error_is_averaged_over_channels_before_the_logarithm():
    observation = torch.zeros(3, 8, 8)
    reobservation = torch.tensor([0.1, 0.2, 0.3])[:, None, None].expand(1, 3, 8, 8)
    expected = -10 * math.log10((0.01 + 0.04 + 0.09) / 3)
    assert psnr(reobservation, observation).item() == pytest.approx(expected, abs=1e-5)


def test_each_sample_is_compared_with_its_own_observation():
    reobservations, observations = levels(2, 2, 3, 8, 8), levels(2, 3, 8, 8, seed=1)
    scores = psnr(from_uint8(reobservations), from_uint8(observations))
    for image in range(2):
        for sample in range(2):
            expected = peak_signal_noise_ratio(
                observations[image].numpy(), reobservations[image, sample].numpy(), data_range=255
            )
            assert scores[image, sample] == pytest.approx(expected, abs=1e-9)
    assert len(set(scores.flatten().tolist())) == 4


def test_a_score_depends_on_no_other_sample():
    reobservations = from_uint8(levels(60, 3, 64, 64))  # goes in several batches
    observation = from_uint8(levels(3, 64, 64, seed=1))
    alone = torch.cat([psnr(one[None], observation) for one in reobservations])
    assert torch.equal(psnr(reobservations, observation), alone)


def test_memory_layout_does_not_matter():
    reobservations, observation = from_uint8(levels(4, 3, 8, 12)), from_uint8(levels(3, 8, 12))
    laid_out = reobservations.to(memory_format=torch.channels_last)
    assert torch.equal(psnr(laid_out, observation), psnr(reobservations, observation))


@pytest.mark.parametrize(
    ("reobservations", "observation"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 9)),
        (torch.zeros(5, 2, 3, 8, 8), torch.zeros(2, 3, 8, 8)),  # samples before images
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)),  # no axis of samples
        (torch.zeros(2, 3, 8, 8), torch.zeros(1, 8, 8)),
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)),
    ],
    ids=["size", "axes-swapped", "no-samples-axis", "channels", "one-image"],
)
def test_shapes_that_do_not_fit_are_refused(reobservations, observation):
    with pytest.raises(InvalidImagesError, match="do not fit"):
        psnr(reobservations, observation)


@pytest.mark.parametrize(
    "wrong",
    [lambda x: x * 255, lambda x: x * 2 - 1, lambda x: x / 0],
    ids=["0-255", "signed", "not-finite"],
)
@pytest.mark.parametrize("which", [0, 1])
def test_images_outside_the_convention_are_refused(wrong, which):
    images = [from_uint8(levels(1, 3, 8, 8)), from_uint8(levels(3, 8, 8))]
    images[which] = wrong(images[which])
    with pytest.raises(InvalidImagesError, match=["reobservations", "observation"][which]):
        psnr(*images)


def test_8_bit_tensors_are_refused():
    with pytest.raises(InvalidImagesError, match="from_uint8"):
        psnr(levels(1, 3, 8, 8), levels(3, 8, 8))
