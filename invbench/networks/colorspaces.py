"""Differentiable conversion between RGB and CIE Lab (sRGB, D65, 2 degrees).

Values: RGB in [0, 1]; L in [0, 100], a and b in about [-128, 127]; all tensors ``[..., 3, H, W]``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_XYZ_TO_RGB = (
    (3.24048134, -1.53715152, -0.49853633),
    (-0.96925495, 1.87599, 0.04155593),
    (0.05564664, -0.20404134, 1.05731107),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON = 0.008856
_LINEAR_END = 0.2068966


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert Lab to RGB without clamping at 1, so that gradients survive out of gamut.

    Negative amounts of light become 0, as does a negative z. Colours that RGB cannot show exceed 1.
    """
    lightness, a, b = lab.unbind(-3)
    fy = (lightness + 16) / 116
    steps = torch.stack([fy + a / 500, fy, (fy - b / 200).clamp(min=0)], dim=-3)
    linear = (steps - 16 / 116) / 7.787
    xyz = torch.where(steps > _LINEAR_END, steps**3, linear) * _column(_WHITE, lab)
    light = _mix(_XYZ_TO_RGB, xyz).clamp(min=0)
    curved = 1.055 * (light + 1e-12) ** (1 / 2.4) - 0.055
    return torch.where(light > 0.0031308, curved, 12.92 * light)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert RGB in [0, 1] to Lab; agrees with ``skimage.color.rgb2lab``."""
    light = torch.where(
        rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92
    )
    xyz = _mix(_RGB_TO_XYZ, light) / _column(_WHITE, rgb)
    steps = torch.where(xyz > _EPSILON, xyz.clamp(min=_EPSILON) ** (1 / 3), 7.787 * xyz + 16 / 116)
    fx, fy, fz = steps.unbind(-3)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


def gray_to_lightness(gray: Tensor) -> Tensor:
    """Return L / 100 of the neutral colours with these gray values, ``[..., 1, H, W]``."""
    return rgb_to_lab(gray.expand(*gray.shape[:-3], 3, *gray.shape[-2:]))[..., :1, :, :] / 100


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return _constant(values, like.dtype, like.device)[:, None, None]


def _mix(matrix: tuple[tuple[float, ...], ...], images: Tensor) -> Tensor:
    weights = _constant(matrix, images.dtype, images.device)
    return torch.einsum("oc,...chw->...ohw", weights, images)


@cache
@torch.inference_mode(mode=False)  # kept, so also for callers that need gradients
def _constant(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor that is copied to a device once, since copying makes the host wait."""
    return torch.tensor(values, dtype=dtype, device=device)
