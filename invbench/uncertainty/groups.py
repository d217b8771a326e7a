"""Groups of images that depend on each other, such as crops of one photograph. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invbench.escaping import counted
from invbench.uncertainty.errors import InvalidSplitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def number_groups(
    groups: Sequence[object], n_images: int, *, at_least: int = 1
) -> NDArray[np.intp]:
    """Number the groups from 0, in order of first appearance.

    Args:
        groups: the group of each image.
        n_images: how many images there are.
        at_least: how many groups are needed.

    Returns:
        The number of each image's group, ``[n_images]``.

    Raises:
        InvalidSplitError: if groups and images differ in number, or there are too few groups.

    Example:
        >>> number_groups(["cat", "dog", "cat"], 3)
        array([0, 1, 0])
    """
    numbers: dict[object, int] = {}
    labels = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.intp)
    if len(labels) != n_images:
        raise InvalidSplitError(
            f"{len(labels)} groups for {n_images} images; expected the group of each image"
        )
    if len(numbers) < at_least:
        raise InvalidSplitError(
            f"{counted(len(numbers), 'group')} of images; at least {at_least} are needed"
        )
    return labels
