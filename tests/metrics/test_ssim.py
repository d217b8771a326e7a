"""SSIM against scikit-image and against its definition."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from invbench.errors import InvalidImagesError, UnknownNameError
from invbench.images import from_uint8
from invbench.metrics import ssim
from invbench.metrics.ssim import textbook_ssim

MODULE = import_module("invbench.metrics.ssim_kernel")
WINDOWS = ("uniform", "gaussian")
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def reference(reobservations, observation, window, **settings):
    settings = (WANG if window == "gaussian" else {}) | settings
    settings = {"data_range": 1.0, "channel_axis": 0} | settings
    x = observation.double().numpy()
    return [structural_similarity(y.double().numpy(), x, **settings) for y in reobservations]


def photograph(channels, height, width):
    image = from_uint8(torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1))
    return image[:channels, 60 : 60 + height, 150 : 150 + width]


def altered(image, seed=0):
    """Return four images: near, noisy, brighter and unrelated."""
    draws = torch.Generator().manual_seed(seed)
    near = (image + torch.randn(image.shape, generator=draws) / 255).clamp(0, 1)
    noisy = (image + torch.randn(image.shape, generator=draws) * 0.1).clamp(0, 1)
    return torch.stack([near, noisy, (image + 0.2).clamp(0, 1), image.flip(-1)])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    "shape",
    [(1, 11, 11), (3, 11, 11), (3, 32, 32), (1, 37, 20), (3, 13, 64), (3, 150, 170), (3, 400, 350)],
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_ssim_equals_scikit_image(shape, window):
    observation = photograph(*shape)
    reobservations = altered(observation)
    scores = ssim(reobservations, observation, window=window)
    assert scores.dtype == torch.float64
    expected = reference(reobservations, observation, window)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 7, 7), (3, 7, 30), (3, 8, 8)], ids=str)
def test_the_smallest_images_equal_scikit_image(shape):
    draws = torch.Generator().manual_seed(0)
    observation, reobservations = (torch.rand(*n, generator=draws) for n in (shape, (5, *shape)))
    expected = reference(reobservations, observation, "uniform")
    np.testing.assert_allclose(ssim(reobservations, observation), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
def test_flat_images_equal_scikit_image(window):
    """A variance of zero from two large means: where single precision loses most."""
    observation = torch.full((3, 200, 200), 0.6)
    reobservations = torch.stack([torch.full_like(observation, level) for level in (0.61, 0.9)])
    expected = reference(reobservations, observation, window)
    scores = ssim(reobservations, observation, window=window)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(1, 11, 11), (3, 13, 12), (3, 32, 40)], ids=str)
def test_the_textbook_form_equals_scikit_image(shape, window):
    observation = photograph(*shape)
    reobservations = altered(observation)
    expected = reference(reobservations, observation, window)
    scores = textbook_ssim(reobservations, observation, window=window)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("side", "atol"), [(12, 1e-7), (24, 1e-7), (120, 1e-6)], ids=["smallest", "double", "single"]
)
def test_the_kernel_equals_the_textbook_form(side, atol, window):
    draws = torch.Generator().manual_seed(0)
    photo = photograph(3, side, side + 3)
    noise, flat = torch.rand(photo.shape, generator=draws), torch.full_like(photo, 0.7)
    for observation in (photo, noise, flat):
        reobservations = torch.cat([altered(observation), torch.stack([photo, noise, flat])])
        expected = textbook_ssim(reobservations, observation, window=window)
        scores = ssim(reobservations, observation, window=window)
        torch.testing.assert_close(scores, expected, rtol=0, atol=atol)


def test_windows_differ_and_so_do_covariances():
    observation = photograph(3, 64, 64)
    reobservations = altered(observation)[1:2]
    uniform, gaussian = (ssim(reobservations, observation, window=w).item() for w in WINDOWS)
    assert abs(uniform - gaussian) > 1e-3
    (population,) = reference(reobservations, observation, "uniform", use_sample_covariance=False)
    (sample,) = reference(reobservations, observation, "gaussian", use_sample_covariance=True)
    assert abs(uniform - population) > 1e-5
    assert abs(gaussian - sample) > 1e-5


def test_a_wrong_data_range_would_show():
    observation = photograph(3, 64, 64)
    reobservations = altered(observation)[1:2]
    (wrong,) = reference(reobservations, observation, "uniform", data_range=2.0)
    assert abs(ssim(reobservations, observation).item() - wrong) > 1e-2


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("side", [16, 200])
def test_identical_images_score_exactly_one(side, window):
    observation = photograph(3, side, side)
    assert ssim(observation[None], observation, window=window).item() == 1


def test_each_sample_is_compared_with_its_own_observation():
    observations = torch.stack([photograph(3, 24, 24), photograph(3, 24, 24).flip(0)])
    reobservations = torch.stack([altered(x, seed) for seed, x in enumerate(observations)])
    scores = ssim(reobservations, observations)
    assert scores.shape == (2, 4)
    for image in range(2):
        expected = reference(reobservations[image], observations[image], "uniform")
        np.testing.assert_allclose(scores[image], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("side", [14, 180], ids=["double", "single"])
def test_batches_and_strips_do_not_change_a_score(side, window, monkeypatch):
    observation = photograph(3, side, side + 3)
    reobservations = altered(observation)
    whole = ssim(reobservations, observation, window=window)
    alone = torch.cat([ssim(y[None], observation, window=window) for y in reobservations])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-8)
    for elements in (1, 17 * observation[:, 0].numel(), 2 * observation.numel()):
        monkeypatch.setitem(MODULE._ELEMENTS_PER_PIECE, "cpu", elements)
        cut = ssim(reobservations, observation, window=window)
        torch.testing.assert_close(cut, whole, rtol=0, atol=1e-7)


@pytest.mark.parametrize("side", [16, 180])
def test_memory_layout_does_not_matter(side):
    observation = photograph(3, side, side).contiguous()
    reobservations = altered(observation)
    laid_out = reobservations.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        ssim(laid_out, observation.movedim(0, -1).contiguous().movedim(-1, 0)),
        ssim(reobservations, observation),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(("window", "side"), [("uniform", 6), ("gaussian", 10)])
def test_images_smaller_than_the_window_are_refused(window, side):
    with pytest.raises(InvalidImagesError, match="use larger targets"):
        ssim(torch.zeros(1, 3, 20, side), torch.zeros(3, 20, side), window=window)


@pytest.mark.parametrize("wrong", [lambda x: x * 255, lambda x: x * 2 - 1], ids=["0-255", "signed"])
def test_images_in_another_range_are_refused(wrong):
    observation = photograph(3, 16, 16)
    with pytest.raises(InvalidImagesError, match=r"beyond \[0, 1\]"):
        ssim(wrong(altered(observation)), observation)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InvalidImagesError, match="do not fit"):
        ssim(torch.zeros(4, 2, 3, 8, 8), torch.zeros(2, 3, 8, 8))


def test_an_unknown_window_is_named():
    with pytest.raises(UnknownNameError, match="did you mean gaussian"):
        ssim(torch.zeros(1, 1, 16, 16), torch.zeros(1, 16, 16), window="gauss")
