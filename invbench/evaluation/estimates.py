"""Means over images, or statistics of several, with confidence intervals over photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invbench.uncertainty import bootstrap_over_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95  # of every confidence interval

Values = dict[str, float | None]


def estimate(
    values: NDArray[np.float64],
    groups: Sequence[str],
    statistic: Callable[..., NDArray[np.float64]] | None = None,
) -> Values:
    """Bootstrap a mean, or a statistic of means, over photographs.

    A single photograph gives a value but no confidence interval.
    """
    chosen = {} if statistic is None else {"statistic": statistic}
    if len(set(groups)) < 2:
        means = np.atleast_1d(values.mean(axis=0))
        value = means[0] if statistic is None else statistic(*means)
        return {"value": float(value), "low": None, "high": None}
    found = bootstrap_over_images(
        values, groups, generator=np.random.default_rng(0), level=CONFIDENCE, **chosen
    )
    return {"value": found.value, "low": found.low, "high": found.high}
