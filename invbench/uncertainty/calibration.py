"""Risk curves, which calibration starts from, and calibrations, its results. No torch.

The unit is the image, or the photograph where several images stem from one: losses of units are
independent, losses of pixels are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from invbench.uncertainty.errors import InvalidLossesError
from invbench.uncertainty.factors import FactorStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from invbench.uncertainty.factors import SortedFactors

Method = Literal[
    "rcps_hb",
    "rcps_wsr",
    "crc",
    "split_conformal_image",
    "split_conformal_entry",
    "uncertified",
    "im2im_published",
    "conffusion_published",
]
Reason = Literal[
    "",
    "n too small",
    "degenerate interval",
    "no guarantee asked for",
    "grid exhausted",
    "published bound is not valid",
]

_BITS_OF_INFINITY = 0x7F800000
_ROUNDING = 1e-14
_COUNTS_KEPT = 4096


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """The loss of each unit as a function of the scaling factor.

    A unit is an image, or all images of a photograph. Its loss at a factor is the share of its
    entries that the scaled interval misses, which is the share of needed factors above that factor.

    Attributes:
        images: the sorted needed factors of each image; inf where no factor covers an entry.
        scaling: the name of the family that the factors belong to.
        units: the images of each unit; every image is one by default.

    Raises:
        InvalidLossesError: if there is no unit, or one without entries.
    """

    images: tuple[SortedFactors, ...]
    scaling: str
    units: tuple[NDArray[np.intp], ...] = ()
    _counts: dict[np.float32, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.images or not all(image.size for image in self.images):
            raise InvalidLossesError("no image, or one without entries, to calibrate on")
        if not self.units:
            object.__setattr__(self, "units", tuple(np.arange(len(self.images))[:, None]))

    def __len__(self) -> int:
        return len(self.units)

    @cached_property
    def n_entries(self) -> NDArray[np.int64]:
        """The number of entries of each unit, ``[n]``."""
        return self._of_units(np.array([image.size for image in self.images]))

    def losses(self, factor: float) -> NDArray[np.float64]:
        """Return the loss of each unit at one factor, ``[n]``; 0 at an infinite factor."""
        return self._of_units(self._n_missed(np.float32(factor))) / self.n_entries

    def losses_at(self, factors: ArrayLike) -> NDArray[np.float64]:
        """Return the loss of each unit at several factors, ``[len(factors), n]``."""
        thresholds = np.asarray(factors, dtype=np.float32)
        columns = []
        for index in range(len(self)):
            needed = self.needed_factors(index)
            columns.append(1 - needed.searchsorted(thresholds, side="right") / needed.size)
        return np.stack(columns, axis=-1)

    def needed_factors(self, index: int) -> NDArray[np.float32]:
        """Return the needed factors of all entries of one unit, sorted."""
        parts = [self.images[image].read() for image in self.units[index]]
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))

    def smallest_factor(self, risk: float) -> float:
        """Return the smallest factor >= 0 at which the mean loss is at most ``risk`` >= 0.

        Non-negative float32 numbers are ordered as their bit patterns, so 31 bisections of the
        bits find the exact factor among all of them.
        """
        if self.losses(0).mean() <= risk + _ROUNDING:
            return 0.0
        fails, passes = 0, _BITS_OF_INFINITY
        while passes - fails > 1:
            middle = (fails + passes) // 2
            accepted = self.losses(_float_of(middle)).mean() <= risk + _ROUNDING
            fails, passes = (fails, middle) if accepted else (middle, passes)
        return _float_of(passes)

    def select(self, units: ArrayLike, groups: Sequence[object] | None = None) -> RiskCurve:
        """Return the curve of some units only, merged by group if groups are given.

        Args:
            units: indices of the units to keep, or a mask.
            groups: for every unit of this curve, what it belongs to, such as its photograph.
        """
        wanted = np.asarray(units)
        chosen = np.arange(len(self))[wanted if wanted.size else slice(0)]
        if not len(chosen):
            raise InvalidLossesError("no image to calibrate on")
        members: dict[object, list[NDArray[np.intp]]] = {}
        for position, index in enumerate(chosen):
            group = position if groups is None else groups[index]
            members.setdefault(group, []).append(self.units[index])
        return replace(self, units=tuple(map(np.concatenate, members.values())))

    def _n_missed(self, threshold: np.float32) -> NDArray[np.int64]:
        """Count the entries of each image beyond a factor, once for all curves of these images.

        Curves that leave out one photograph after the other ask for nearly the same factors.
        """
        if threshold not in self._counts:
            if len(self._counts) >= _COUNTS_KEPT:
                self._counts.clear()
            counts = [image.n_beyond(threshold) for image in self.images]
            self._counts[threshold] = np.array(counts)
        return self._counts[threshold]

    @cached_property
    def _members(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The images of all units in one row, and where each unit begins there."""
        lengths = [len(unit) for unit in self.units]
        return np.concatenate(self.units), np.cumsum([0, *lengths[:-1]])

    def _of_units(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add up the numbers of each unit's images."""
        images, starts = self._members
        return np.add.reduceat(counts[images], starts)


def risk_curve(needed_factors: ArrayLike, *, scaling: str) -> RiskCurve:
    """Sort the needed factors of each image into a risk curve.

    Args:
        needed_factors: ``[N, ...]``, >= 0, as `Scaling.needed_factors` returns them on the CPU.
        scaling: name of the family, for the record.

    Raises:
        InvalidLossesError: if factors are NaN, negative, or not one row an image.

    Example:
        >>> curve = risk_curve([[0.5, 1.5], [0.2, 0.4]], scaling="additive")
        >>> curve.losses(1.0), curve.smallest_factor(0.25)
        (array([0.5, 0. ]), 0.5)
    """
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which no factor covers
        factors = np.asarray(needed_factors, dtype=np.float32)
    if factors.ndim < 2 or factors.size == 0:
        raise InvalidLossesError(f"needed factors: shape {factors.shape}; expected [N, ...]")
    if not factors.min() >= 0:
        raise InvalidLossesError("needed factors hold NaN or negative values")
    rows = np.sort(factors.reshape(len(factors), -1), axis=-1)
    return RiskCurve(tuple(map(FactorStore().keep, rows)), scaling)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A scaling factor for intervals, and the guarantee that comes with it.

    Attributes:
        method: how the factor was found.
        scaling: the family of intervals it scales.
        lambda_hat: the factor; inf, which makes every interval [0, 1], where none is acceptable.
        certified: whether the method's guarantee holds for intervals scaled by lambda_hat.
        reason: why it is not certified; empty if it is.
        bound: the method's upper bound on the quantity it controls, at lambda_hat.
        empirical_risk: mean loss of the calibration units at lambda_hat.
        n: number of calibration units.
        alpha: the risk that is allowed.
        delta: the probability with which the guarantee may fail; for methods that control an
            expectation it plays no part.
        images_needed: the fewest units with which the method can certify alpha and delta at all.
    """

    method: Method
    scaling: str
    lambda_hat: float
    certified: bool
    reason: Reason
    bound: float
    empirical_risk: float
    n: int
    alpha: float
    delta: float
    images_needed: int


def _float_of(bits: int) -> float:
    return float(np.int32(bits).view(np.float32))
