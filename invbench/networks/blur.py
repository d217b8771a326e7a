"""Halving and doubling behind a blur filter, against aliasing (Zhang, ICML 2019).

The filters are constants: they are buffers, and stay out of state dicts. Published files store
them under the same name, ``filt``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlurDown(nn.Module):
    """Blur an image and keep every second pixel in both directions.

    The filter is the outer square of [1, 2, 1] / 4; the image is reflected at its edges.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _outer([1, 2, 1]).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, ceil(H / 2), ceil(W / 2)]``."""
        padded = functional.pad(features, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(padded, self.filt, stride=2, groups=features.shape[1])


class BlurUp(nn.Module):
    """Double an image by a transposed convolution with the outer square of [1, 3, 3, 1] / 4.

    The image is first continued beyond its edges by repetition; what that adds to the result is
    cut off.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        doubled = 4 * _outer([1, 3, 3, 1])
        self.register_buffer("filt", doubled.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, 2 H, 2 W]``."""
        padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
        doubled = functional.conv_transpose2d(
            padded, self.filt, stride=2, padding=2, groups=features.shape[1]
        )
        return doubled[..., 1:-1, 1:-1]


def _outer(taps: list[float]) -> Tensor:
    """Return the filter ``[1, 1, K, K]`` of unit sum."""
    row = torch.tensor(taps, dtype=torch.float32, device="cpu")
    row = row / row.sum()
    return torch.outer(row, row)[None, None]
