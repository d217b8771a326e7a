r"""The sign-flip test: exact if swapping baseline and candidate on a photograph changes nothing.

Under that null the differences of a photograph, all of them together, are as likely as their
negatives. Every choice of signs ``s_g`` is then as likely as the observed one, and with it

.. math::
    t(s) = \sum_g s_g S_g \Big/ \sqrt{\tfrac{G}{G-1} \sum_g (s_g S_g - m_g \bar d(s))^2}, \qquad
    \bar d(s) = \sum_g s_g S_g / M .

It holds for any number of photographs and any distribution that is symmetric. Two models that are
equally good on average may differ asymmetrically (most photographs a little worse, few much
better); then the test errs, and `resampling` must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invbench.gate.stepdown import MaxT, step_down

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from invbench.gate.groups import GroupSums

N_FLIPS = 10_000
_CHUNK = 1024  # flips that are in memory at once
# Of the sum of squares of a column; it is good to some 1e-16, so that t, cut off here, is good to
# the 1e-6 within which `stepdown` calls two draws a tie.
_UNEXPLAINED = 2e-10


def flip_test(
    groups: GroupSums,
    *,
    generator: np.random.Generator,
    n_flips: int = N_FLIPS,
    alpha: float = 0.05,
) -> MaxT:
    """Test whether means are positive by flipping the signs of photographs.

    All ``2**G`` flips are looked at if they are no more than ``n_flips``; otherwise that many are
    drawn, and the observed one is counted among them, which keeps the test valid. Hypotheses whose
    differences are all 0 have p = 1 and do not count in the family.

    Args:
        groups: differences by photograph; positive is worse.
        generator: draws the flips.
        n_flips: how many.
        alpha: family-wise error rate that ``critical`` belongs to.

    Example:
        >>> from invbench.gate.groups import sum_by_group
        >>> table = [[1.0, 0.1], [1.1, -0.2], [0.9, 0.1], [1.2, 0.0], [1.0, 0.0]]
        >>> result = flip_test(sum_by_group(table), generator=np.random.default_rng(0))
        >>> result.n_draws, result.p.tolist()  # 2 to the power of 5 flips; one is as extreme
        (32, [0.03125, 0.625])
    """
    tested = np.flatnonzero(groups.sums.any(axis=0))
    family = groups.select(tested)
    statistic = _Flipped(family)
    chunks = (statistic(signs) for signs in sign_flips(len(groups.sums), n_flips, generator))
    observed = statistic(np.ones((1, len(groups.sums))))[0]
    return step_down(
        observed, chunks, alpha=alpha, tested=tested, n_hypotheses=groups.sums.shape[1]
    )


def sign_flips(
    n_groups: int, n_flips: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield chunks ``[c, n_groups]`` of 1 and -1, the first row all 1.

    All ``2**n_groups`` rows if they are no more than ``n_flips``, else one of ones and ``n_flips``
    random ones.
    """
    if 2**n_groups <= n_flips:
        for start in range(0, 2**n_groups, _CHUNK):
            codes = np.arange(start, min(start + _CHUNK, 2**n_groups))[:, None]
            yield np.where(codes >> np.arange(n_groups) & 1, -1.0, 1.0)
        return
    yield np.ones((1, n_groups))
    for start in range(0, n_flips, _CHUNK):
        size = (min(_CHUNK, n_flips - start), n_groups)
        yield np.where(generator.integers(0, 2, size, np.int8), -1.0, 1.0)


class _Flipped:
    """``t(s)`` for many choices of signs at once; what does not depend on them is kept."""

    def __init__(self, groups: GroupSums) -> None:
        scale = np.abs(groups.sums).max(axis=0, initial=0.0)  # squares of tiny numbers vanish
        sums, sizes, n = groups.sums / scale, groups.sizes, groups.n_groups
        self._sums, self._crossed = sums, sums * sizes
        self._total = sizes.sum(axis=0)
        self._squares, self._sizes = (sums**2).sum(axis=0), (sizes**2).sum(axis=0)
        self._correction = n / (n - 1)

    def __call__(self, signs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``[c, H]`` for signs ``[c, G]``."""
        flipped = signs @ self._sums
        means = flipped / self._total
        unexplained = self._squares - 2 * means * (signs @ self._crossed) + means**2 * self._sizes
        np.maximum(unexplained, _UNEXPLAINED * self._squares, out=unexplained)
        return np.asarray(flipped / np.sqrt(self._correction * unexplained))
