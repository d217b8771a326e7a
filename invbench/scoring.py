"""What is measured on one image: validity of its samples, and its intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from invbench.errors import InvalidImagesError
from invbench.uncertainty import Additive, coverage, interval, interval_score, mean_length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.metrics import Metric
    from invbench.operators import Operator
    from invbench.uncertainty import Rule

LEVEL = 0.9
SCORE_CAPS = {"psnr": 100.0}


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Measurements on one image.

    Attributes:
        validity: metric name -> one score a sample, ``[K]``; infinite PSNR enters as 100 dB.
        n_nonfinite: metric name -> how many scores were not finite.
        width: mean over pixels and channels of upper - lower; None for a single sample.
        coverage: fraction of the target's values inside their interval, if there is a target.
        winkler: mean interval score, if there is a target.
        needed_factors: sorted scaling factor that each value needs to be covered, float32, if
            there is a target; what calibration works on.
    """

    validity: Mapping[str, NDArray[np.float64]]
    n_nonfinite: Mapping[str, int]
    width: float | None = None
    coverage: float | None = None
    winkler: float | None = None
    needed_factors: NDArray[np.float32] | None = None


def score_image(
    samples: Tensor,
    observation: Tensor,
    *,
    operator: Operator,
    metrics: Sequence[Metric],
    target: Tensor | None = None,
    rule: Rule = "linear",
) -> ImageScores:
    """Score the samples of one image.

    Args:
        samples: ``[K, 3, H, W]`` in [0, 1].
        observation: ``[c, h, w]`` in [0, 1].
        operator: the forward process.
        metrics: what to compare reobservations and observation by.
        target: ``[3, H, W]`` in [0, 1]; without it there is no coverage.
        rule: of the interval's quantiles; `weibull` needs 19 samples.

    Raises:
        InvalidImagesError: if reobservations do not have the observation's shape.
    """
    reobservations = operator(samples)
    if reobservations.shape[1:] != observation.shape:
        raise InvalidImagesError(
            f"samples {tuple(samples.shape[1:])} reobserve as {tuple(reobservations.shape[1:])}, "
            f"the observation is {tuple(observation.shape)}"
        )
    validity, n_nonfinite = {}, {}
    for metric in metrics:
        scores = metric.function(reobservations, observation)
        n_nonfinite[metric.name] = int((~torch.isfinite(scores)).sum())
        capped = scores.clamp(max=SCORE_CAPS.get(metric.name, torch.inf))
        validity[metric.name] = capped.double().cpu().numpy()
    if len(samples) < 2:
        return ImageScores(validity, n_nonfinite)
    intervals = interval(samples, level=LEVEL, rule=rule)
    width = float(mean_length(intervals))
    if target is None:
        return ImageScores(validity, n_nonfinite, width)
    factors = Additive(samples.mean(dim=0)).needed_factors(intervals, target)
    return ImageScores(
        validity,
        n_nonfinite,
        width,
        float(coverage(intervals, target)),
        float(interval_score(intervals, target)),
        factors.flatten().sort().values.cpu().numpy(),
    )
