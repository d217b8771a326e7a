r"""Images of one photograph are no independent witnesses: differences are summed by photograph.

Let ``d_i`` be how much worse image i scored, ``S_g`` the sum over the images of photograph g and
``m_g`` their number. A row's estimate is the mean over images, and its standard error the one of a
ratio of sums over G independent photographs:

.. math::
    \bar d = \sum_g S_g / M, \qquad M = \sum_g m_g, \qquad
    se^2 = \frac{G}{G-1} \sum_g (S_g - m_g \bar d)^2 / M^2 .

With one image a photograph these are the mean and its usual standard error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from invbench.errors import InvbenchError
from invbench.escaping import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class InvalidDifferencesError(InvbenchError, ValueError):
    """Differences are not a table of numbers with two or more photographs to each row tested."""


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Differences of H hypotheses, summed over the images of each of G photographs.

    Attributes:
        sums: ``S``, ``[G, H]``; 0 where a hypothesis has no image of a photograph.
        sizes: ``m``, ``[G, H]``, images of a photograph that a hypothesis was measured on.
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @property
    def n_groups(self) -> NDArray[np.int64]:
        """Photographs behind each hypothesis, ``[H]``."""
        return np.asarray((self.sizes > 0).sum(axis=0))

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean over images of each hypothesis, ``[H]``."""
        return np.asarray(self.sums.sum(axis=0) / self.sizes.sum(axis=0))

    @property
    def residuals(self) -> NDArray[np.float64]:
        """``S_g - m_g mean``, ``[G, H]``; each column sums to 0."""
        return self.sums - self.sizes * self.means

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """Standard error of each mean, over photographs, ``[H]``."""
        n = self.n_groups
        squares = (self.residuals**2).sum(axis=0)
        return np.asarray(np.sqrt(n / (n - 1) * squares) / self.sizes.sum(axis=0))

    def select(self, columns: NDArray[np.int64]) -> GroupSums:
        """Return some of the hypotheses."""
        return GroupSums(self.sums[:, columns], self.sizes[:, columns])


def sum_by_group(differences: ArrayLike, groups: Sequence[object] | None = None) -> GroupSums:
    """Sum differences over the images of each photograph.

    Args:
        differences: ``[n_images, H]``, NaN where a hypothesis was not measured on an image.
        groups: the photograph of each image; without it every image is one of its own.

    Raises:
        InvalidDifferencesError: if a difference is infinite, groups and images differ in number,
            or a hypothesis has fewer than two photographs.

    Example:
        >>> found = sum_by_group([[1.0], [3.0], [5.0]], ["cat", "cat", "dog"])
        >>> found.sums[:, 0].tolist(), found.means.tolist(), found.n_groups.tolist()
        ([4.0, 5.0], [3.0], [2])
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or np.isinf(table).any():
        raise InvalidDifferencesError(
            f"differences {table.shape}; expected finite numbers or NaN, [images, hypotheses]"
        )
    numbers: dict[object, int] = {}
    named = range(len(table)) if groups is None else groups
    labels = np.array([numbers.setdefault(name, len(numbers)) for name in named], dtype=np.int64)
    if len(labels) != len(table):
        raise InvalidDifferencesError(f"{len(labels)} groups for {len(table)} images")
    membership = (labels == np.arange(len(numbers))[:, None]).astype(np.float64)
    sizes = membership @ ~np.isnan(table)
    found = GroupSums(membership @ np.nan_to_num(table), sizes)
    if (found.n_groups < 2).any():
        fewest = int(np.argmin(found.n_groups))
        photographs = counted(int(found.n_groups[fewest]), "photograph")
        raise InvalidDifferencesError(f"hypothesis {fewest} has {photographs}; a test needs two")
    return found
