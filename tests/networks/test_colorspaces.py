"""Lab agrees with scikit-image, and its inverse with the original implementation."""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab

from invbench.images import from_uint8, to_uint8
from invbench.networks.colorspaces import gray_to_lightness, lab_to_rgb, rgb_to_lab


def colours():
    return torch.from_numpy(np.random.default_rng(0).random((3, 20, 30))).float()


def test_lab_is_that_of_scikit_image():
    rgb = colours()
    expected = rgb2lab(rgb.permute(1, 2, 0).double().numpy())
    assert np.abs(rgb_to_lab(rgb).permute(1, 2, 0).numpy() - expected).max() < 2e-4


def test_the_inverse_returns_to_rgb():
    rgb = colours()
    assert (lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max() < 2e-5
    expected = lab2rgb(rgb_to_lab(rgb).permute(1, 2, 0).double().numpy())
    assert np.abs(lab_to_rgb(rgb_to_lab(rgb)).permute(1, 2, 0).numpy() - expected).max() < 2e-5


def test_colours_out_of_gamut_exceed_one_and_keep_their_gradient():
    lab = torch.tensor([60.0, 120.0, 90.0])[:, None, None].requires_grad_()
    rgb = lab_to_rgb(lab)
    rgb.sum().backward()
    assert rgb.max() > 1
    assert torch.isfinite(lab.grad).all()
    assert lab.grad.abs().min() > 0


def test_black_has_a_finite_gradient():
    lab = torch.zeros(3, 1, 1, requires_grad=True)
    lab_to_rgb(lab).sum().backward()
    assert torch.isfinite(lab.grad).all()


def test_lightness_of_gray_is_that_of_the_neutral_colour():
    gray = torch.linspace(0, 1, 12).reshape(1, 3, 4)
    expected = rgb2lab(gray[0].double().numpy()[..., None].repeat(3, axis=-1))[..., 0] / 100
    assert np.abs(gray_to_lightness(gray)[0].numpy() - expected).max() < 1e-6


def test_decoding_agrees_with_the_original(refs):
    tensors = refs("imle/colour_and_downsample.safetensors")
    light, chroma = tensors["net_lab"][:, :1], tensors["net_lab"][:, 1:]
    light = light.clamp(min=0.01)
    rgb = lab_to_rgb(torch.cat([100 * light, 127 * chroma / light], dim=1))
    torch.testing.assert_close(rgb, tensors["net_lab_to_rgb"], atol=5e-6, rtol=1e-6)
    lab = rgb_to_lab(tensors["rgb_u8"].permute(2, 0, 1) / 255)
    torch.testing.assert_close(lab, tensors["torch_lab"][0], atol=1e-4, rtol=0)
    torch.testing.assert_close(lab.permute(1, 2, 0), tensors["skimage_lab"], atol=1e-3, rtol=0)
    torch.testing.assert_close(lab[0] / 100, tensors["L_input"], atol=1e-5, rtol=0)
    light, chroma = tensors["encoded"][:, :1], tensors["encoded"][:, 1:]
    light = light.clamp(min=0.01)
    encoded = torch.cat([lab[:1] / 100, lab[1:] * lab[:1] / 100 / 127])
    torch.testing.assert_close(encoded[None], tensors["encoded"], atol=1e-5, rtol=0)
    rgb = lab_to_rgb(torch.cat([100 * light, 127 * chroma / light], dim=1))
    torch.testing.assert_close(rgb, tensors["encoded_to_rgb"], atol=5e-6, rtol=1e-6)
    pixels = to_uint8(from_uint8(tensors["rgb_u8"]))
    assert torch.equal(pixels, tensors["truncated_u8"])
