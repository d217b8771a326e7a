"""The Gaussian model of photographs: its filter is the conditional expectation, and it fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import dft

from invbench.data.photos import photos
from invbench.images import from_uint8, to_signed
from invbench.models.diffusion import ALPHA_BARS
from invbench.models.natural import (
    EXPONENT,
    POWERS,
    color_axes,
    expected_noise,
    noise_spread,
    power_spectrum,
)

HEIGHT, WIDTH = 6, 4
AXES = ([1, 1, 1], [1, -1, 0], [1, 1, -2])


def covariance():
    """Return that of an image's ``3 H W`` values, built in space from waves one by one."""
    rows, columns = dft(HEIGHT, scale="sqrtn"), dft(WIDTH, scale="sqrtn")
    total = np.zeros((3 * HEIGHT * WIDTH,) * 2)
    for axis, power in zip(AXES, POWERS, strict=True):
        color = np.array(axis) / np.linalg.norm(axis)
        for i in range(HEIGHT):
            for j in range(WIDTH):
                cycles = np.hypot(min(i, HEIGHT - i), min(j, WIDTH - j))
                wave = np.kron(color, np.kron(rows[i], columns[j]))
                share = HEIGHT * WIDTH * power * max(cycles, 0.5) ** -EXPONENT
                total += share * np.outer(wave, wave.conj()).real
    return total


@pytest.mark.parametrize("time", [0, 200, 600, 999])
class TestExpectedNoise:
    def test_is_the_conditional_expectation(self, time):
        signal = ALPHA_BARS[time].item()
        images = torch.randn(5, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
        of_diffused = signal * covariance() + (1 - signal) * np.eye(3 * HEIGHT * WIDTH)
        expected = np.sqrt(1 - signal) * np.linalg.solve(
            of_diffused, images.flatten(1).double().numpy().T
        )
        found = expected_noise(images, torch.full((5, 1, 1, 1), signal))
        np.testing.assert_allclose(found.flatten(1).numpy(), expected.T, rtol=2e-4, atol=2e-4)

    def test_spread_is_the_conditional_standard_deviation(self, time):
        signal = ALPHA_BARS[time].item()
        of_diffused = signal * covariance() + (1 - signal) * np.eye(3 * HEIGHT * WIDTH)
        left = np.eye(len(of_diffused)) - (1 - signal) * np.linalg.inv(of_diffused)
        found = noise_spread(torch.full((2, 1, 1, 1), signal), HEIGHT, WIDTH)
        assert found.flatten().tolist() == pytest.approx([np.sqrt(np.diag(left).mean())] * 2)


def test_color_axes_are_orthonormal_and_gray_comes_first():
    axes = color_axes()
    torch.testing.assert_close(axes @ axes.T, torch.eye(3))
    torch.testing.assert_close(axes @ torch.ones(3), torch.tensor([3**0.5, 0.0, 0.0]))


def test_spectrum_is_real_in_space_and_has_the_power_of_the_same_image_at_any_size():
    spectrum = power_spectrum(8, 8)
    torch.testing.assert_close(spectrum[:, 1:], spectrum[:, 1:].flip(1))
    torch.testing.assert_close(power_spectrum(16, 16)[:, 1, 2] / 256, spectrum[:, 1, 2] / 64)


@pytest.mark.parametrize("size", [64, 128])
def test_photographs_that_were_not_measured_have_about_this_power(size):
    images = to_signed(torch.stack([from_uint8(photo.pixels) for photo in photos(size, 12)]))
    on_axes = torch.einsum("kc,nchw->nkhw", color_axes(), images)
    measured = torch.fft.fft2(on_axes, norm="ortho").abs().square().mean(dim=0)
    ratio = (measured / power_spectrum(size, size))[:, :9, 1:9].log2().mean(dim=(1, 2))
    assert ratio.abs().max() < 1.5
