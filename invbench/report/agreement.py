"""How two columns order the same models, and how sure that is. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import kendalltau, rankdata, spearmanr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

LEAST = 4
"""Models with both values that a rank correlation needs to be worth a number."""

LEVEL = 0.95
DRAWS = 4999


@dataclass(frozen=True)
class Agreement:
    """Rank correlations of two columns.

    Attributes:
        n_models: rows that have both values.
        rho: Spearman's.
        tau: Kendall's tau-b.
        rho_interval: where rho lies with probability `LEVEL` if other photographs had been taken;
            None where nothing was resampled.
        tau_interval: the same of tau.
    """

    n_models: int
    rho: float
    tau: float
    rho_interval: tuple[float, float] | None = None
    tau_interval: tuple[float, float] | None = None


def agreement(
    ours: ArrayLike,
    theirs: Sequence[float],
    *,
    per_image: ArrayLike | None = None,
    groups: Sequence[str] = (),
) -> Agreement | None:
    """Correlate the ranks of two columns.

    The interval is the bootstrap's percentile interval: photographs are drawn with replacement,
    each with all its images, every model's mean is taken anew, and so are the ranks. What it
    leaves out is that the models were trained once, and that the other column is given.

    Args:
        ours: one number a model.
        theirs: one number a model.
        per_image: our numbers of each image, ``[models, images]``, whose means are ``ours``.
        groups: the photograph of each image; fewer than two give no interval.

    Returns:
        None where a column has fewer than `LEAST` values, or equal values only.

    Example:
        >>> found = agreement([1, 2, 3, 5], [10, 30, 20, 40])
        >>> found.n_models, round(found.rho, 2), round(found.tau, 2)
        (4, 0.8, 0.67)
    """
    values, others = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if len(values) < LEAST or np.ptp(values) == 0 or np.ptp(others) == 0:
        return None
    found = Agreement(
        len(values),
        float(spearmanr(values, others).statistic),
        float(kendalltau(values, others).statistic),
    )
    if per_image is None or len(set(groups)) < 2:
        return found
    drawn = _drawn_means(np.asarray(per_image, dtype=np.float64), groups)
    return Agreement(
        found.n_models,
        found.rho,
        found.tau,
        _percentiles(_correlations(rankdata(drawn, axis=1), rankdata(others))),
        _percentiles(_correlations(_pair_signs(drawn), _pair_signs(others[None])[0], center=False)),
    )


def _drawn_means(per_image: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    """Return each model's mean over drawn photographs, ``[draws, models]``."""
    names = list(dict.fromkeys(groups))
    members = np.array([[group == name for group in groups] for name in names], dtype=np.float64)
    counts = np.random.default_rng(0).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=DRAWS
    )
    means: NDArray[np.float64] = (counts @ members @ per_image.T) / (counts @ members.sum(1))[
        :, None
    ]
    return means


def _pair_signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which of each two columns is larger, ``[n, m] -> [n, m (m - 1) / 2]``."""
    first, second = np.triu_indices(values.shape[1], 1)
    signs: NDArray[np.float64] = np.sign(values[:, first] - values[:, second])
    return signs


def _correlations(
    rows: NDArray[np.float64], like: NDArray[np.float64], *, center: bool = True
) -> NDArray[np.float64]:
    """Correlate each row with one; of ranks that is Spearman's, of uncentered signs Kendall's."""
    if center:
        rows, like = rows - rows.mean(1, keepdims=True), like - like.mean()
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(like)
    correlations: NDArray[np.float64] = rows @ like / np.where(norms > 0, norms, 1)
    return correlations


def _percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
