"""How far are samples from exact ones? Each number beside a band of what exact ones give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.seeding import generator
from invbench.uncertainty import role_coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

NAMES = ("bias", "spread", "coverage", "sliced_wasserstein")
DIRECTIONS = 64
REPETITIONS = 10
WIDTH = 5  # standard deviations on either side: of ten repetitions, 1 in 1000 exact ones is out


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the posterior of one image.

    Attributes:
        target: ``[3, H, W]``.
        mean: of the posterior.
        pool: exact draws ``[M, 3, H, W]``.
    """

    target: Tensor
    mean: Tensor
    pool: Tensor


def against_truth(samples: Sequence[Tensor], truths: Sequence[Truth]) -> dict[str, float]:
    """Compare samples ``[K, 3, H, W]`` of each image with what is known.

    Returns:
        "bias": root of the mean squared error of the samples' mean, less what K draws of their
        spread make of it by chance, over the posterior's spread;
        "spread": of the samples, over the posterior's, both roots of mean variances; "coverage" of
        the target by the samples' 90 % interval; and "sliced_wasserstein": the mean distance of
        samples and exact draws along random directions, in units of the latter's spread there.
    """
    variance = _mean(truth.pool.var(0) for truth in truths)
    error = _mean(
        (s.mean(0) - t.mean).square() - s.var(0) / len(s)
        for s, t in zip(samples, truths, strict=True)
    )
    return {
        "bias": (max(error, 0.0) / variance) ** 0.5,
        "spread": (_mean(s.var(0) for s in samples) / variance) ** 0.5,
        "coverage": float(
            np.mean(
                [float(role_coverage(s, t.target)[0]) for s, t in zip(samples, truths, strict=True)]
            )
        ),
        "sliced_wasserstein": float(
            np.mean([sliced_wasserstein(s, t.pool) for s, t in zip(samples, truths, strict=True)])
        ),
    }


def sliced_wasserstein(samples: Tensor, pool: Tensor) -> float:
    """Return the mean distance of two sets of images along `DIRECTIONS` random directions.

    Args:
        samples: ``[K, ...]``.
        pool: a multiple of K exact draws; their spread along a direction is the unit.
    """
    flat, exact = samples.flatten(1).double(), pool.flatten(1).double()
    shape = (exact.shape[1], DIRECTIONS)
    directions = torch.randn(shape, generator=generator(0), dtype=torch.float64, device="cpu").to(
        flat
    )
    along, known = ((values @ directions).sort(0).values for values in (flat, exact))
    unit = known.std(0)
    repeated = along.repeat_interleave(len(known) // len(along), dim=0)
    return float(((repeated - known).abs().mean(0) / unit).mean())


def bands(repetitions: Sequence[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Return where each number of exact samples lies, from repetitions of them."""
    found = {}
    for name in NAMES:
        values: NDArray[np.float64] = np.array([one[name] for one in repetitions])
        center, reach = float(values.mean()), WIDTH * float(values.std(ddof=1))
        found[name] = (center - reach, center + reach)
    return found


def _mean(parts) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return float(np.mean([float(part.double().mean()) for part in parts]))
