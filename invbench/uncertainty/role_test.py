"""A test that asks: would a sample have scored as the target does, in the target's place?

Given the observation, an ideal sampler's K samples and the target are exchangeable: any of these
K+1 images could have been the target. A score that treats one of them as the target and the others
as samples is therefore as likely to take its value at the target as at any sample. Drawing a
random member as target, for each image on its own, gives the distribution of the mean score under
an ideal sampler. This holds for any posterior, any K and any number of images, and however the
pixels of an image depend on each other, because images are the units. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from invbench.uncertainty.bootstrap import plain_mean
from invbench.uncertainty.bounds import check_level
from invbench.uncertainty.errors import InvalidLossesError, InvalidSplitError
from invbench.uncertainty.groups import number_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

DRAWS = 4999


@dataclass(frozen=True)
class RoleTest:
    """The targets' mean score, and where an ideal sampler's would lie.

    Attributes:
        value: the mean over images of the targets' scores, or the statistic of several means.
        low: lower end of the band that holds an ideal sampler's value with probability ``level``.
        high: its upper end.
        level: that probability.
        p_low: probability that an ideal sampler's value is as low.
        p_high: probability that it is as high.
    """

    value: float
    low: float
    high: float
    level: float
    p_low: float
    p_high: float

    @property
    def p_value(self) -> float:
        """The two-sided p-value."""
        return min(1.0, 2 * self.p_low, 2 * self.p_high)


def role_test(
    scores: ArrayLike,
    groups: Sequence[object] | None = None,
    *,
    generator: np.random.Generator,
    statistic: Callable[..., NDArray[np.float64]] = plain_mean,
    level: float = 0.95,
    draws: int = DRAWS,
) -> RoleTest:
    r"""Test whether the targets score as their samples do in the targets' place.

    In each of B draws, every image gets a random member of its pool as target, and the statistic
    T of the mean scores is computed. With t its value for the actual targets,

    .. math::
        p_{low} = \frac{1 + \#\{b : T_b \le t\}}{B + 1} , \qquad
        p_{high} = \frac{1 + \#\{b : T_b \ge t\}}{B + 1}

    are exact p-values for an ideal sampler, whatever the scores (Davison & Hinkley 1997, 4.2).

    Args:
        scores: the score of each member of each image's pool, the target first, ``[N, K+1]``; or
            d scores, ``[N, K+1, d]``.
        groups: the group of each image; allowed for a single score only. Images of a group depend
            on each other, so in each draw they all get the member whose score has the same rank.
        generator: draws the roles.
        statistic: function of the d means over images, as in `bootstrap_over_images`.
        level: probability that an ideal sampler's value lies in the band.
        draws: B; the smallest possible p-value is 1 / (B + 1).

    Raises:
        InvalidLossesError: if scores are not finite or not ``[N, K+1]``.
        InvalidSplitError: if groups and images differ in number, or there are several scores.

    Example:
        >>> scores = np.tile(np.arange(21.0), (30, 1))
        >>> test = role_test(scores, generator=np.random.default_rng(0))
        >>> test.value, test.low > 6, test.high < 14, test.p_low
        (0.0, True, True, 0.0002)
    """
    check_level("level", level)
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim not in {2, 3} or values.size == 0 or not np.isfinite(values).all():
        raise InvalidLossesError(f"scores {values.shape}; expected finite numbers, [N, K+1]")
    drawn = statistic(*_means_of_drawn_roles(values, groups, generator, draws))
    value = float(statistic(*np.atleast_1d(values[:, 0].mean(axis=0))))
    low, high = band_of(drawn, level)
    # Equal values may differ by rounding
    slack = 1e-12 * float(np.abs(drawn).max())
    as_low, as_high = (
        (1 + int(np.count_nonzero(extreme))) / (draws + 1)
        for extreme in (drawn <= value + slack, drawn >= value - slack)
    )
    return RoleTest(value, low, high, level, as_low, as_high)


def _means_of_drawn_roles(
    values: NDArray[np.float64],
    groups: Sequence[object] | None,
    generator: np.random.Generator,
    draws: int,
) -> NDArray[np.float64]:
    """Draw a target for each image from its pool, and average the scores: ``[d, draws]``."""
    images = np.arange(len(values))
    units, members = images, values
    if groups is not None:
        if values.ndim == 3:
            raise InvalidSplitError("groups: members are ranked by a single score, give only one")
        units, members = number_groups(groups, len(values)), np.sort(values, axis=1)
    roles = generator.integers(values.shape[1], size=(draws, units.max() + 1))[:, units]
    means: NDArray[np.float64] = np.atleast_3d(members[images, roles]).mean(axis=1)
    return means.T


def band_of(drawn: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the draws beyond which a value's p-value on that side is at most (1 - level) / 2."""
    ranks = np.sort(drawn)
    beyond = math.floor((1 - level) / 2 * (len(drawn) + 1) + 1e-9)
    if beyond == 0:  # no value is that improbable
        return -math.inf, math.inf
    return float(ranks[beyond - 1]), float(ranks[-beyond])
