"""TARP: tests of accuracy with random points (Lemos et al. 2023).

For each image, take the share of samples that lie nearer to a reference image than the target
does. If the sampler draws from the posterior, this share is uniform on [0, 1]. The reference must
not depend on the target that it is used for. `tarp_fractions` measures, `tarp_test` judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import kstwo

from invbench.uncertainty.errors import InvalidLossesError, InvalidSplitError
from invbench.uncertainty.intervals import check_same_shape
from invbench.uncertainty.pairs import as_float, check_pair, image_pairs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor


def other_targets(target: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return for each image another one of the batch ``[B, C, H, W]``, to serve as reference.

    The batch is shuffled and turned by one, so that no image is its own reference.

    Raises:
        InvalidSplitError: if the batch has a single image.
    """
    if len(target) < 2:
        raise InvalidSplitError("a reference is another image; give at least two")
    order = torch.randperm(len(target), generator=generator, device=generator.device)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return target[partner.to(target.device)]


def tarp_fractions(samples: Tensor, target: Tensor, references: Tensor) -> Tensor:
    r"""Return the share of each image's samples nearer to its reference than the target is.

    With samples x_1 to x_K, target y, reference r and the Euclidean distance d,

    .. math::
        f = \frac{1}{K} \left( \#\{j : d(x_j, r) < d(y, r)\}
        + \tfrac{1}{2} \#\{j : d(x_j, r) = d(y, r)\} \right)

    Args:
        samples: ``[..., K, C, H, W]``.
        target: ``[..., C, H, W]``.
        references: same shape, drawn independently of each image's target, such as
            `other_targets` or uniform noise.

    Returns:
        float64 ``[...]``, multiples of 1/(2K).

    Raises:
        InvalidImagesError: if samples or target break the convention or shapes differ.
    """
    check_pair(samples, target)
    check_same_shape(target, references)
    flat = references.reshape(-1, *target.shape[-3:])
    fractions = []
    for (rows, truth), reference in zip(image_pairs(samples, target), flat, strict=True):
        limit = _distance(as_float(truth), reference)
        distances = torch.stack([_distance(as_float(row), reference) for row in rows])
        ties = (distances == limit).sum() / 2
        fractions.append(((distances < limit).sum() + ties).double() / len(rows))
    return torch.stack(fractions).reshape(target.shape[:-3])


def tarp_coverage(fractions: ArrayLike, levels: ArrayLike) -> NDArray[np.float64]:
    r"""Return the expected coverage at each credibility level: the share of fractions below it.

    With fractions f_1 to f_n of n images, the expected coverage at level c is

    .. math::
        \mathrm{ECP}(c) = \frac{1}{n} \#\{i : f_i < c\}

    An ideal sampler's curve is the diagonal, up to steps of 1/K.

    Example:
        >>> tarp_coverage([0.1, 0.4, 0.6, 0.9], [0.5, 0.95])
        array([0.5, 1. ])
    """
    values = np.asarray(fractions, dtype=np.float64)
    coverage: NDArray[np.float64] = (values[:, None] < np.asarray(levels)).mean(axis=0)
    return coverage


def tarp_test(fractions: ArrayLike, n_samples: int) -> tuple[float, float]:
    """Test whether fractions of independent images are uniform on 0, 1/K, ..., 1.

    Args:
        fractions: of `tarp_fractions`, one for each image.
        n_samples: K.

    Returns:
        The Kolmogorov-Smirnov distance and its p-value. The p-value is that of a continuous
        distribution; for this discrete one it is too large rather than too small.

    Raises:
        InvalidLossesError: if there are no fractions or they leave [0, 1].
    """
    values = np.asarray(fractions, dtype=np.float64)
    if values.size == 0 or not (values.min() >= 0 and values.max() <= 1):
        raise InvalidLossesError("fractions: expected at least one, all within [0, 1]")
    steps = np.arange(n_samples + 1)
    observed = (values[:, None] * n_samples <= steps + 1e-6).mean(axis=0)
    distance = float(np.abs(observed - (steps + 1) / (n_samples + 1)).max())
    return distance, float(kstwo.sf(distance, values.size))


def _distance(first: Tensor, second: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm(first - second, dtype=torch.float64)
    return distance
