"""Risk curves, which calibration starts from, and calibrations, its results. No torch.

The unit is the image, or the photograph where several images stem from one: losses of units are
independent, losses of pixels are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from invbench.uncertainty.errors import InvalidLossesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

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


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """The loss of each unit as a function of the scaling factor.

    A unit's loss at a factor is the share of its entries that the scaled interval misses, which
    is the share of its needed factors above that factor.

    Attributes:
        units: for each unit, the sorted float32 needed factors of its entries; inf where no
            factor covers the entry.
        scaling: the name of the family that the factors belong to.

    Raises:
        InvalidLossesError: if there is no unit, or one without entries.
    """

    units: tuple[NDArray[np.float32], ...]
    scaling: str

    def __post_init__(self) -> None:
        if not self.units or not all(unit.size for unit in self.units):
            raise InvalidLossesError("no image, or one without entries, to calibrate on")

    def __len__(self) -> int:
        return len(self.units)

    def losses(self, factor: float) -> NDArray[np.float64]:
        """Return the loss of each unit at one factor, ``[n]``; 0 at an infinite factor."""
        threshold = np.float32(factor)
        missed = [unit.size - unit.searchsorted(threshold, side="right") for unit in self.units]
        return np.array(missed) / [unit.size for unit in self.units]

    def losses_at(self, factors: ArrayLike) -> NDArray[np.float64]:
        """Return the loss of each unit at several factors, ``[len(factors), n]``."""
        thresholds = np.asarray(factors, dtype=np.float32)
        columns = [
            1 - unit.searchsorted(thresholds, side="right") / unit.size for unit in self.units
        ]
        return np.stack(columns, axis=-1)

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

    def select(self, images: ArrayLike, groups: Sequence[object] | None = None) -> RiskCurve:
        """Return the curve of some units only, merged by group if groups are given.

        Args:
            images: indices of the units to keep, or a mask.
            groups: for every unit of this curve, what it belongs to, such as its photograph.
        """
        chosen = np.arange(len(self))[np.asarray(images)]
        if groups is None:
            return RiskCurve(tuple(self.units[index] for index in chosen), self.scaling)
        members: dict[object, list[NDArray[np.float32]]] = {}
        for index in chosen:
            members.setdefault(groups[index], []).append(self.units[index])
        merged = tuple(np.sort(np.concatenate(units)) for units in members.values())
        return RiskCurve(merged, self.scaling)


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
    return RiskCurve(tuple(rows), scaling)


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
