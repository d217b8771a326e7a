r"""The studentized bootstrap over photographs: it needs no symmetry, and many photographs.

G photographs are drawn with replacement, so photograph g occurs ``w_g`` times, multinomial. With
``r_g = S_g - m_g mean`` what a photograph differs by, a resample's t about the sample's mean is

.. math::
    T^* = \sum_g w_g r_g \Big/ \sqrt{\tfrac{G}{G-1} \sum_g w_g (r_g - m_g \delta^*)^2}, \qquad
    \delta^* = \sum_g w_g r_g \Big/ \sum_g w_g m_g ,

whose distribution stands for that of ``t`` about the true mean, skewness included (Hall 1992,
section 3.3; for many hypotheses at once Romano and Wolf 2005). The sum of squares is floored at
3 % (squared) of the sample's own: a resample of nearly equal photographs would have no spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from invbench.gate.stepdown import MaxT, step_down

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from invbench.gate.groups import GroupSums

N_RESAMPLES = 9999
LEVEL = 0.95  # of intervals
_FLOOR = 0.03  # of the sample's standard deviation
_NO_SPREAD = 1e-12  # differences that agree to so many parts have none


@dataclass(frozen=True, eq=False)
class Resampled:
    """What resampling photographs says of every hypothesis.

    Attributes:
        test: whether means are positive, for all hypotheses together.
        intervals: 95 % confidence intervals of the means, ``[H, 2]``: on either side the wider of
            Student's and the bootstrap-t interval.
    """

    test: MaxT
    intervals: NDArray[np.float64]


def resample_test(
    groups: GroupSums,
    *,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
    alpha: float = 0.05,
    among: NDArray[np.bool_] | None = None,
) -> Resampled:
    """Test whether means are positive, and bound them, by resampling photographs.

    The p-value of a mean is ``(1 + resamples with T* >= t) / (1 + resamples)``. Where all
    photographs agree there is nothing to resample: t is very large, and the interval has no width.

    Args:
        groups: differences by photograph; positive is worse.
        generator: draws the resamples, which all hypotheses share.
        n_resamples: how many.
        alpha: family-wise error rate that ``critical`` belongs to.
        among: which hypotheses to test, ``[H]``; all by default. Intervals are of all.

    Example:
        >>> from invbench.gate.groups import sum_by_group
        >>> found = resample_test(
        ...     sum_by_group([[1.0], [1.2], [0.9], [1.1], [0.8], [1.0]]),
        ...     generator=np.random.default_rng(0),
        ... )
        >>> bool(found.test.p[0] < 0.01), found.intervals.round(1).tolist()
        (True, [[0.8, 1.2]])
    """
    tested = np.flatnonzero(groups.sums.any(axis=0) & (True if among is None else among))
    draws = studentized_resamples(groups, generator=generator, n_resamples=n_resamples)
    errors = groups.standard_errors
    observed = groups.means / np.maximum(errors, _NO_SPREAD * np.abs(groups.means) + 1e-300)
    kept = draws[:, tested]
    test = step_down(
        observed[tested],
        (observed[None, tested], kept),
        alpha=alpha,
        tested=tested,
        n_hypotheses=len(observed),
    )
    return Resampled(test, _intervals(groups, draws, errors))


def studentized_resamples(
    groups: GroupSums, *, generator: np.random.Generator, n_resamples: int = N_RESAMPLES
) -> NDArray[np.float64]:
    """Return ``T*`` of every resample and hypothesis, ``[n_resamples, H]``.

    A resample that holds no photograph of a hypothesis says nothing of it, and counts as 0.
    """
    count = len(groups.sums)
    weights = generator.multinomial(count, np.full(count, 1 / count), n_resamples).astype(float)
    residuals, sizes = groups.residuals, groups.sizes
    scale = np.sqrt((residuals**2).sum(axis=0))
    constant = scale <= _NO_SPREAD * np.abs(groups.sums).max(axis=0)
    residuals = np.where(constant, 0.0, residuals / np.where(constant, 1.0, scale))
    moved, drawn = weights @ residuals, weights @ sizes
    shift = moved / np.maximum(drawn, 1.0)
    squares = weights @ residuals**2 - 2 * shift * (weights @ (residuals * sizes))
    squares += shift**2 * (weights @ sizes**2)
    n = groups.n_groups
    return np.asarray(moved / np.sqrt(n / (n - 1) * np.maximum(squares, _FLOOR**2)))


def _intervals(
    groups: GroupSums, draws: NDArray[np.float64], errors: NDArray[np.float64]
) -> NDArray[np.float64]:
    tail = (1 - LEVEL) / 2
    usual = student.ppf(1 - tail, groups.n_groups - 1)
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    means = groups.means
    bounds = [means - np.maximum(usual, high) * errors, means + np.maximum(usual, -low) * errors]
    return np.stack(bounds, axis=1)
