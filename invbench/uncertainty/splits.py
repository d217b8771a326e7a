"""Splits of images into calibration and scoring that keep a photograph's images together. No torch.

No split scores an image whose group it calibrates on. Images of one group (patches of a
photograph, views of a scene) are not exchangeable with the rest, so they move as one and count as
one unit of calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from invbench.uncertainty.errors import InvalidSplitError
from invbench.uncertainty.groups import number_groups
from invbench.uncertainty.methods import rcps_hb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from invbench.uncertainty.calibration import Calibration, RiskCurve


@dataclass(frozen=True, eq=False)
class Split:
    """The indices of the images to calibrate on, and of the images to score."""

    calibration: NDArray[np.intp]
    scored: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CrossCalibration:
    """A calibration for each split, and the losses of the images that it was not made from.

    Attributes:
        splits: the splits.
        calibrations: one for each split.
        losses: for each split, the loss of each scored image at that split's factor.
    """

    splits: tuple[Split, ...]
    calibrations: tuple[Calibration, ...]
    losses: tuple[NDArray[np.float64], ...]

    @property
    def risks(self) -> NDArray[np.float64]:
        """Return each split's mean loss over its scored images; report their mean and spread."""
        return np.array([losses.mean() for losses in self.losses])

    def factors(self, n_images: int) -> NDArray[np.float64]:
        """Return the factor of each image where every image is scored in exactly one split.

        Raises:
            InvalidSplitError: if some image is scored more than once or never.
        """
        scored = np.concatenate([split.scored for split in self.splits])
        if not np.array_equal(np.sort(scored), np.arange(n_images)):
            raise InvalidSplitError("the splits do not score every image exactly once")
        factors = np.empty(n_images)
        for split, calibration in zip(self.splits, self.calibrations, strict=True):
            factors[split.scored] = calibration.lambda_hat
        return factors


def leave_one_group_out(groups: Sequence[object]) -> tuple[Split, ...]:
    """Make one split for each group: score it, calibrate on all others. The paper does so by image.

    The factors of different groups share nearly all their images: their spread is no measure of
    uncertainty, and no binomial bound holds for their violations.

    Args:
        groups: the group of each image; distinct ids where no two images belong together.

    Raises:
        InvalidSplitError: if there are fewer than two groups.
    """
    labels = number_groups(groups, len(groups), at_least=2)
    return tuple(_split(labels == group) for group in range(labels.max() + 1))


def grouped_cross_fitting(
    groups: Sequence[object], *, folds: int = 2, generator: np.random.Generator
) -> tuple[Split, ...]:
    """Divide the groups at random into folds; score each fold, calibrate on all other folds.

    Raises:
        InvalidSplitError: if there are fewer groups than folds, or fewer than two folds.
    """
    labels = number_groups(groups, len(groups), at_least=2)
    n_groups = labels.max() + 1
    if not 2 <= folds <= n_groups:
        raise InvalidSplitError(f"{folds} folds of {n_groups} groups; expected 2 to {n_groups}")
    fold_of_group = generator.permutation(np.arange(n_groups) % folds)
    return tuple(_split(fold_of_group[labels] == fold) for fold in range(folds))


def random_splits(
    groups: Sequence[object],
    *,
    repeats: int = 10,
    calibration_share: float = 0.5,
    generator: np.random.Generator,
) -> tuple[Split, ...]:
    """Split the groups at random, several times.

    Splits of one set of images depend on each other: use their mean and spread for a report, and
    independent sets to test a guarantee.

    Args:
        groups: the group of each image.
        repeats: the number of splits.
        calibration_share: the share of groups to calibrate on, rounded, at least one group and
            at most all but one.
        generator: draws the splits.

    Raises:
        InvalidSplitError: if there are fewer than two groups or no repeats, or the share is not
            within (0, 1).
    """
    labels = number_groups(groups, len(groups), at_least=2)
    n_groups = labels.max() + 1
    if repeats < 1 or not 0 < calibration_share < 1:
        raise InvalidSplitError(
            f"{repeats} repeats with share {calibration_share}; expected >= 1 and within (0, 1)"
        )
    n_scored = min(max(1, round((1 - calibration_share) * n_groups)), n_groups - 1)
    return tuple(
        _split(np.isin(labels, generator.permutation(n_groups)[:n_scored])) for _ in range(repeats)
    )


def cross_calibrate(
    curve: RiskCurve,
    splits: Iterable[Split],
    *,
    groups: Sequence[object],
    calibrator: Callable[[RiskCurve], Calibration] = rcps_hb,
) -> CrossCalibration:
    """Calibrate on each split and measure the loss of the images it left out.

    Args:
        curve: one unit per image.
        splits: from one of this module's functions, with the same groups.
        groups: the group of each image; groups are the units of calibration.
        calibrator: a calibration method, with its arguments bound by `functools.partial`.

    Raises:
        InvalidSplitError: if a split scores a group that it calibrates on, or groups and images
            differ in number.

    Example:
        >>> from invbench.uncertainty import crc, risk_curve
        >>> curve = risk_curve(np.linspace(0, 2, 4000).reshape(100, 40).T, scaling="additive")
        >>> photographs = [image // 2 for image in range(40)]
        >>> crossed = cross_calibrate(
        ...     curve, leave_one_group_out(photographs), groups=photographs, calibrator=crc
        ... )
        >>> len(crossed.calibrations), crossed.calibrations[0].n
        (20, 19)
    """
    splits = tuple(splits)
    labels = number_groups(groups, len(curve), at_least=2)
    calibrations = []
    losses = []
    for split in splits:
        if np.isin(labels[split.scored], labels[split.calibration]).any():
            raise InvalidSplitError("a split scores a group that it calibrates on")
        result = calibrator(curve.select(split.calibration, labels.tolist()))
        calibrations.append(result)
        losses.append(curve.select(split.scored).losses(result.lambda_hat))
    return CrossCalibration(splits, tuple(calibrations), tuple(losses))


def _split(scored: NDArray[np.bool_]) -> Split:
    return Split(np.flatnonzero(~scored), np.flatnonzero(scored))
