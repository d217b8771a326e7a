"""Confidence intervals over images, never over pixels. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import bootstrap

from invbench.uncertainty.bounds import check_level
from invbench.uncertainty.errors import InvalidLossesError
from invbench.uncertainty.groups import number_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 4999


@dataclass(frozen=True)
class Estimate:
    """A number with a confidence interval.

    Attributes:
        value: the estimate from all images.
        low: lower end of the interval.
        high: upper end.
        level: the confidence of the interval.
        n: number of independent units that were resampled: images, or groups of images.
    """

    value: float
    low: float
    high: float
    level: float
    n: int


def plain_mean(*means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first mean: the statistic of a single column of values."""
    return means[0]


def bootstrap_over_images(
    values: ArrayLike,
    groups: Sequence[object] | None = None,
    *,
    generator: np.random.Generator,
    statistic: Callable[..., NDArray[np.float64]] = plain_mean,
    level: float = 0.95,
) -> Estimate:
    """Estimate a mean over images, or a function of several, with a bootstrap interval.

    Images are drawn with replacement (groups of images as wholes) and the interval is the
    bias-corrected and accelerated one (Efron 1987). The interval has no width if all units
    have equal values, or if leaving any one of them out does not change the statistic.

    Args:
        values: one number an image ``[N]``, or several ``[N, d]``.
        groups: the group of each image, such as its photograph.
        generator: draws the resamples.
        statistic: function of the d means, each an array, that works elementwise; for
            `spread_and_error`, the root of their ratio.
        level: confidence, within (0, 1).

    Raises:
        InvalidLossesError: if values are not finite or not one row an image.
        InvalidSplitError: if groups and images differ in number, or there is only one unit.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> estimate = bootstrap_over_images([0.1, 0.3, 0.2, 0.4], generator=generator)
        >>> estimate.value, estimate.low > 0.1, estimate.high < 0.4
        (0.25, True, True)
    """
    check_level("level", level)
    columns = _totals(_rows(values), groups)

    def of_totals(*totals: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        count = totals[-1].sum(axis=axis)
        return statistic(*(total.sum(axis=axis) / count for total in totals[:-1]))

    value = float(of_totals(*columns))
    low = high = value
    if _moves(of_totals, columns):
        # `random_state` rather than `rng`: scipy 1.14 does not know the new name
        low, high = bootstrap(
            columns,
            of_totals,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method="BCa",
            random_state=generator,
        ).confidence_interval
    return Estimate(value, float(low), float(high), level, len(columns[-1]))


def _rows(values: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
        raise InvalidLossesError(f"values {rows.shape}; expected finite numbers, [N] or [N, d]")
    return rows


def _totals(
    rows: NDArray[np.float64], groups: Sequence[object] | None
) -> tuple[NDArray[np.float64], ...]:
    """Sum each of d columns over the images of each group; the last array counts the images."""
    groups = range(len(rows)) if groups is None else groups
    labels = number_groups(groups, len(rows), at_least=2)
    sums = np.zeros((labels.max() + 1, rows.shape[1]))
    np.add.at(sums, labels, rows)
    return *sums.T, np.bincount(labels).astype(np.float64)


def _moves(
    statistic: Callable[..., NDArray[np.float64]], columns: tuple[NDArray[np.float64], ...]
) -> bool:
    """Tell whether units differ, and leaving one of them out changes the statistic."""
    *sums, sizes = columns
    without = statistic(*(column.sum() - column[:, None] for column in columns))
    return not (all(np.ptp(total / sizes) == 0 for total in sums) or np.ptp(without) == 0)
