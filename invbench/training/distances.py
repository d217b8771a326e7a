"""Distances that IMLE selects and trains by: squared distances of weighted features.

A distance is a function from images in [0, 1] to a list of flat feature tensors, already
weighted, so that d(a, b) is the sum over the list of ||feature(a) - feature(b)||^2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    import lpips
    from torch import Tensor


class Features(Protocol):
    """A distance, given by its features; ``name`` goes into the model card."""

    name: str

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Map ``[N, 3, H, W]`` to weighted features ``[N, D_l]``."""


def squared_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Return d ``[N]`` between two lists of features with N rows each."""
    return torch.stack(
        [(a - b).square().sum(dim=1) for a, b in zip(ours, theirs, strict=True)]
    ).sum(dim=0)


class PixelFeatures:
    """Pixels and twice their differences to the right and below, at each of a few scales.

    It needs no weights: the mean square error and the mean square error of gradients, so that
    edges count beside levels. Scale s is the image averaged over 2^s x 2^s pixels.
    """

    name = "pixels+gradients"

    def __init__(self, *, gradient_weight: float = 2.0, scales: int = 1) -> None:
        self.gradient_weight = gradient_weight
        self.scales = scales

    def __call__(self, images: Tensor) -> list[Tensor]:
        """See `Features`."""
        features = []
        for _ in range(self.scales):
            per_pixel = (images.shape[-1] * images.shape[-2]) ** 0.5
            features += [
                images.flatten(1) / per_pixel,
                self.gradient_weight * images.diff(dim=-1).flatten(1) / per_pixel,
                self.gradient_weight * images.diff(dim=-2).flatten(1) / per_pixel,
            ]
            if min(images.shape[-2:]) < 2:
                break
            images = functional.avg_pool2d(images, 2)
        return features


class LpipsFeatures:
    """LPIPS as a squared distance: unit features, weighted by the square roots of its weights.

    The eps stays inside the root (the package has it outside), because the gradient of a root at
    zero is not a number, and dead features are common. Images smaller than ``smallest`` are
    enlarged by an integer nearest factor first.

    Args:
        model: an ``lpips.LPIPS`` of version 0.1 with its weights, in evaluation mode.
        name: the name of the score these weights give.
        smallest: the side that the trunk needs.
    """

    def __init__(self, model: lpips.LPIPS, *, name: str, smallest: int) -> None:
        self.model = model.requires_grad_(requires_grad=False)
        self.name = name
        self.smallest = smallest

    def __call__(self, images: Tensor) -> list[Tensor]:
        """See `Features`."""
        factor = -(-self.smallest // min(images.shape[-2:]))
        if factor > 1:
            images = functional.interpolate(images, scale_factor=factor, mode="nearest")
        layers = self.model.net(self.model.scaling_layer(2 * images - 1))
        features = []
        for layer, linear in zip(layers, self.model.lins, strict=True):
            norm = (layer.square().sum(dim=1, keepdim=True) + 1e-10).sqrt() + 1e-10
            root = linear.model[-1].weight.clamp(min=0).sqrt()
            per_pixel = (layer.shape[-1] * layer.shape[-2]) ** 0.5
            features.append((layer / norm * root).flatten(1) / per_pixel)
        return features


class SumOfFeatures:
    """The weighted sum of two distances."""

    def __init__(self, first: Features, second: Features, *, second_weight: float) -> None:
        self.first = first
        self.second = second
        self.root = second_weight**0.5
        self.name = f"{first.name} + {second_weight:g} ({second.name})"

    def __call__(self, images: Tensor) -> list[Tensor]:
        """See `Features`."""
        return [*self.first(images), *(self.root * feature for feature in self.second(images))]
