"""Families of nested intervals: how a factor widens an interval, and which factor an entry needs.

A needed factor is the smallest one whose scaled interval covers the target. It has a closed form,
so the risk at every factor follows from one sort of an image's needed factors, without a grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch

from invbench.images import check_images
from invbench.uncertainty.intervals import Interval, check_same_shape

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_HALF_WIDTH = 1e-6
HALF_LEVEL = 0.5 / 255  # half a step of 8-bit images


class Scaling(Protocol):
    """A family of intervals that a factor widens: a larger factor covers no less."""

    @property
    def name(self) -> str:
        """Return the name of the family in records."""

    def needed_factors(self, interval: Interval, target: Tensor) -> Tensor:
        """Return the smallest factor >= 0 that covers each entry of the target, inf if none."""

    def scaled(self, interval: Interval, factor: float | Tensor) -> Interval:
        """Return the interval scaled by one factor, or by one factor for each image, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Additive:
    """Scale the distances of both ends from a center: [c - f (c-l), c + f (u-c)].

    The family of Angelopoulos et al. (Image-to-image regression with distribution-free
    uncertainty quantification, 2022). Half-widths are at least 1e-6, before scaling and after, as
    a mean can lie outside of an interval of quantiles. With a floor w0 the half-widths are
    c-l+w0 and u-c+w0 instead, which keeps factors moderate where samples hardly differ.

    Attributes:
        center: mean or median of the samples, ``[..., C, H, W]``.
        floor: w0; `HALF_LEVEL` suits 8-bit images.
    """

    center: Tensor
    floor: float = 0.0

    @property
    def name(self) -> str:
        """Return ``additive`` or ``additive+floor``."""
        return "additive+floor" if self.floor else "additive"

    def needed_factors(self, interval: Interval, target: Tensor) -> Tensor:
        """Divide each entry's distance from the center by the half-width on its side.

        Raises:
            InvalidImagesError: if images hold NaN or leave [0, 1].
            MismatchedImagesError: if shapes differ.

        Example:
            >>> image = torch.ones(1, 1, 1)
            >>> interval = Interval(0.4 * image, 0.7 * image, 0.9, "linear", 50)
            >>> Additive(0.5 * image).needed_factors(interval, 0.9 * image)
            tensor([[[2.]]])
        """
        _check(interval, target, self.center)
        below, above = self._half_widths(interval)
        distance = target - self.center
        factors = distance.abs() / torch.where(distance > 0, above, below)
        return factors.masked_fill_(distance.abs() <= self._smallest, 0)

    def scaled(self, interval: Interval, factor: float | Tensor) -> Interval:
        """Scale, then clamp to [0, 1]; an infinite factor gives [0, 1] itself."""
        _check(interval, self.center)
        below, above = self._half_widths(interval)
        factor = _per_image(factor, interval)
        lower = self.center - (factor * below).clamp_min_(self._smallest)
        upper = self.center + (factor * above).clamp_min_(self._smallest)
        return _clamped(interval, lower, upper, factor)

    @property
    def _smallest(self) -> float:
        return 0.0 if self.floor else SMALLEST_HALF_WIDTH

    def _half_widths(self, interval: Interval) -> tuple[Tensor, Tensor]:
        below = (self.center - interval.lower).clamp_min_(self._smallest).add_(self.floor)
        above = (interval.upper - self.center).clamp_min_(self._smallest).add_(self.floor)
        return below, above


@dataclass(frozen=True)
class Conffusion:
    """Scale pixel values: [l / f, u f], the family of Horwitz & Hoshen (Conffusion, 2022).

    It depends on brightness: a black upper end cannot rise at all, bright ends move most, and
    factors below 1 can make the ends cross.
    """

    name: str = "conffusion"

    def needed_factors(self, interval: Interval, target: Tensor) -> Tensor:
        """Take the larger of l/y and y/u; inf where l > 0 = y or u = 0 < y.

        Raises:
            InvalidImagesError: if images hold NaN or leave [0, 1].
            MismatchedImagesError: if shapes differ.
        """
        _check(interval, target)
        # 0/0 is an end that already sits on the target
        lower = (interval.lower / target).nan_to_num_(nan=0, posinf=torch.inf)
        upper = (target / interval.upper).nan_to_num_(nan=0, posinf=torch.inf)
        return torch.maximum(lower, upper)

    def scaled(self, interval: Interval, factor: float | Tensor) -> Interval:
        """Scale, then clamp to [0, 1]; an infinite factor gives [0, 1] itself."""
        _check(interval)
        factor = _per_image(factor, interval)
        return _clamped(interval, interval.lower / factor, interval.upper * factor, factor)


def _check(interval: Interval, *images: Tensor) -> None:
    for image in (interval.lower, interval.upper, *images):
        check_same_shape(interval.lower, image)
        check_images(image, name="interval, center or target")


def _per_image(factor: float | Tensor, interval: Interval) -> Tensor:
    factor = torch.as_tensor(factor, dtype=torch.float32, device=interval.lower.device)
    return factor[..., None, None, None]


def _clamped(interval: Interval, lower: Tensor, upper: Tensor, factor: Tensor) -> Interval:
    everything = torch.isinf(factor)
    return replace(
        interval,
        lower=lower.clamp(0, 1).masked_fill(everything, 0),
        upper=upper.clamp(0, 1).masked_fill(everything, 1),
    )
