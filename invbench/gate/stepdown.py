"""From the joint distribution of many statistics under the null to adjusted p-values.

Step-down max-T (Westfall and Young 1993, algorithm 4.1; Romano and Wolf 2005): order the observed
statistics from the largest down. The adjusted p-value of the j-th is the share of draws in which
the largest of all those that rank at j or below reaches it, made monotone down the order. Whatever
dependence there is between hypotheses is in the draws, so copies of a hypothesis cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_TIE = 1e-6  # relative; draws that tie in exact arithmetic differ by rounding


@dataclass(frozen=True, eq=False)
class MaxT:
    """What a test of many hypotheses says of each, one-sided.

    Attributes:
        t: the studentized mean of each hypothesis; 0 where all differences are 0.
        p: of each hypothesis by itself.
        p_adjusted: the smallest family-wise error rate at which it is rejected.
        critical: what the largest t has to exceed to be rejected at the given rate.
        n_draws: draws of the null that were looked at, the observed one included.
        family_size: hypotheses that were tested: those with a difference other than 0.
    """

    t: NDArray[np.float64]
    p: NDArray[np.float64]
    p_adjusted: NDArray[np.float64]
    critical: float
    n_draws: int
    family_size: int


def step_down(
    observed: NDArray[np.float64],
    chunks: Iterable[NDArray[np.float64]],
    *,
    alpha: float,
    tested: NDArray[np.int64],
    n_hypotheses: int,
) -> MaxT:
    """Adjust observed statistics by draws of the null.

    Args:
        observed: t of each tested hypothesis, ``[H]``.
        chunks: draws of the same under the null, ``[c, H]`` each; one of them is the observed.
        alpha: family-wise error rate that `MaxT.critical` belongs to.
        tested: index of each tested hypothesis among all.
        n_hypotheses: number of all; those not tested have p = 1.
    """
    t, p, p_adjusted = np.zeros(n_hypotheses), np.ones(n_hypotheses), np.ones(n_hypotheses)
    if tested.size == 0:
        return MaxT(t, p, p_adjusted, 0.0, 1, family_size=0)
    order = np.argsort(-observed, kind="stable")
    reached = observed[order] - _TIE * np.abs(observed[order])
    alone, among, largest = np.zeros(len(order)), np.zeros(len(order)), []
    for draws in chunks:
        ordered = draws[:, order]
        largest_from = np.maximum.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
        alone += (ordered >= reached).sum(axis=0)
        among += (largest_from >= reached).sum(axis=0)
        largest.append(largest_from[:, 0])
    maxima = np.sort(np.concatenate(largest))[::-1]
    total = len(maxima)
    t[tested] = observed
    p[tested[order]] = alone / total
    p_adjusted[tested[order]] = np.maximum.accumulate(among / total)
    critical = float(maxima[max(int(np.ceil(alpha * total)) - 1, 0)])
    return MaxT(t, p, p_adjusted, critical, total, family_size=len(order))
