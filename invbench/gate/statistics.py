"""What both tests show together, at which error rate, and what so many photographs would show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import nctdtrinc
from scipy.stats import binom, norm

from invbench.errors import InvbenchError
from invbench.gate.flips import N_FLIPS, flip_test
from invbench.gate.resampling import N_RESAMPLES, Resampled, resample_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from invbench.gate.groups import GroupSums
    from invbench.gate.stepdown import MaxT

MIN_ALPHA = 0.002  # a tenth of it is twice what the resamples can resolve

# The error rate that the bootstrap is asked at, in parts of the one that it has to keep. Few
# photographs often lack the ones that gained most, and then look surer than they are. Its nominal
# rate is therefore calibrated (Loh 1987), on lognormal differences of one row and eight
# photographs, the fewest that are tested. There it errs in .107, .071 and .026 at a nominal .05,
# .025 and .005.
RESAMPLING_SHARE = 0.1


class InvalidAlphaError(InvbenchError, ValueError):
    """An error rate is not a probability within (0, 1), or finer than the tests can resolve."""


def check_alpha(alpha: float) -> None:
    """Refuse an error rate that is none, or that no loss could ever be shown at.

    Raises:
        InvalidAlphaError: if it is not within [0.002, 1).
    """
    if not 0 < alpha < 1:
        raise InvalidAlphaError(f"alpha {alpha:g}; expected a probability, such as 0.05")
    if alpha < MIN_ALPHA:
        raise InvalidAlphaError(
            f"alpha {alpha:g}; {N_RESAMPLES} resamples resolve no less than {MIN_ALPHA:g}, so that "
            "nothing could be shown to be worse"
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """What sign flips and bootstrap say of every hypothesis.

    Attributes:
        flipped: the sign-flip test.
        resampled: the bootstrap, and intervals.
        p: the smallest family-wise error rate at which both reject: the flips at that rate, the
            bootstrap at `RESAMPLING_SHARE` of it.
    """

    flipped: MaxT
    resampled: Resampled
    p: NDArray[np.float64]

    @property
    def critical(self) -> float:
        """What the largest t has to exceed for both to reject at the given rate."""
        return max(self.flipped.critical, self.resampled.test.critical)


def both_tests(
    groups: GroupSums,
    *,
    alpha: float,
    seed: int = 0,
    n_flips: int = N_FLIPS,
    n_resamples: int = N_RESAMPLES,
    resampled: NDArray[np.bool_] | None = None,
) -> Evidence:
    """Test whether means are positive by sign flips and by the bootstrap.

    Args:
        groups: differences by photograph; positive is worse.
        alpha: family-wise error rate that `Evidence.critical` belongs to.
        seed: of flips and resamples.
        n_flips: how many.
        n_resamples: how many.
        resampled: which hypotheses the bootstrap may reject, ``[H]``; all by default.

    Example:
        >>> from invbench.gate.groups import sum_by_group
        >>> table = [[1.0], [1.3], [0.8], [1.2], [0.7], [1.1], [0.9], [1.0]]
        >>> found = both_tests(sum_by_group(table), alpha=0.05)
        >>> bool(found.p[0] < 0.05)
        True
    """
    flipped = flip_test(groups, generator=np.random.default_rng(seed), n_flips=n_flips, alpha=alpha)
    found = resample_test(
        groups,
        generator=np.random.default_rng(seed),
        n_resamples=n_resamples,
        alpha=RESAMPLING_SHARE * alpha,
        among=resampled,
    )
    by_resampling = np.minimum(found.test.p_adjusted / RESAMPLING_SHARE, 1.0)
    return Evidence(flipped, found, np.maximum(flipped.p_adjusted, by_resampling))


def can_be_resampled(n_photographs: int, n_differing: int, *, alpha: float) -> bool:
    """Tell whether nearly all resamples hold two or more of the photographs that differ.

    The others have hardly any spread and an enormous t, which hides whatever other rows show. So
    few as a tenth of the rate that the bootstrap is asked at do no harm.

    Example:
        >>> can_be_resampled(48, 1, alpha=0.05), can_be_resampled(48, 10, alpha=0.05)
        (False, True)
    """
    too_few = binom.cdf(1, n_photographs, n_differing / n_photographs)
    return bool(too_few < RESAMPLING_SHARE * alpha / 10)


def attainable_p(n_photographs: int) -> float:
    """Return the smallest p-value that flipping the signs of so many photographs can reach.

    >>> attainable_p(8), round(attainable_p(20), 6)
    (0.00390625, 0.0001)
    """
    return max(2.0**-n_photographs, 1 / (N_FLIPS + 1))


def minimum_detectable_effect(
    standard_error: ArrayLike, n_units: ArrayLike, *, critical: float, power: float = 0.8
) -> NDArray[np.float64]:
    """Return the mean difference that a t-test against ``critical`` finds with a given power.

    With mean ``delta`` in standard errors, t follows the noncentral t distribution with n - 1
    degrees of freedom; delta is where that exceeds ``critical`` with probability ``power``. For
    many units it is ``critical`` plus the normal quantile of ``power``.

    Args:
        standard_error: of each mean.
        n_units: behind each mean, at least 2.
        critical: as in `stepdown.MaxT`.
        power: probability of finding it.

    Example:
        >>> float(minimum_detectable_effect(1.0, 10**6, critical=3.0).round(2))
        3.84
    """
    freedom = np.asarray(n_units, dtype=np.float64) - 1
    noncentrality = nctdtrinc(freedom, 1 - power, critical)
    return np.asarray(noncentrality * np.asarray(standard_error))


def photographs_needed(
    spread: float, distance: float, critical: float, *, power: float = 0.8
) -> int:
    """Return about how many photographs tell a mean from one that lies so far away.

    It is ``((critical + z_power) spread / distance) ** 2``, rounded up.

    Args:
        spread: standard deviation between photographs.
        distance: between the two means.
        critical: standard errors that they have to lie apart.
        power: probability that they then do.

    Example:
        >>> photographs_needed(spread=1.0, distance=0.5, critical=3.0)
        60
    """
    needed = (critical + float(norm.ppf(power))) * spread / distance
    return math.ceil(needed**2)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number, whatever their dependence (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
