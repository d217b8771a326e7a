"""How near do samples come to the target itself, and does it help to draw several?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invbench.images import from_uint8, to_uint8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from invbench.metrics import Metric

SCORE_CAPS = {"psnr": 100.0}
DIVERSITY = "diversity"


def names_by(metric: str) -> tuple[str, str, str]:
    """Return the names of what `against_target` says by a metric of a name."""
    return metric, f"{metric}_of_mean", f"{metric}_best"


def against_target(samples: Tensor, target: Tensor, metrics: Sequence[Metric]) -> dict[str, float]:
    """Score samples against their target.

    Args:
        samples: ``[K, 3, H, W]`` in [0, 1].
        target: ``[3, H, W]`` in [0, 1].
        metrics: what images are compared by.

    Returns:
        For each metric its mean over samples, under "<metric>_of_mean" the score of the samples'
        mean, rounded to 8 bits, and under "<metric>_best" that of the best sample; and
        `diversity`. PSNR is at most 100 dB.
    """
    mean = from_uint8(to_uint8(samples.mean(dim=0, keepdim=True)))
    found: dict[str, float] = {}
    for metric in metrics:
        cap = SCORE_CAPS.get(metric.name, float("inf"))
        scores = metric.function(samples, target).clamp(max=cap)
        of_mean = metric.function(mean, target).clamp(max=cap)
        best = scores.max() if metric.higher_is_better else scores.min()
        numbers = (scores.mean(), of_mean[0], best)
        found |= {
            name: float(number) for name, number in zip(names_by(metric.name), numbers, strict=True)
        }
    return found | {DIVERSITY: diversity(samples, target)}


def diversity(samples: Tensor, target: Tensor) -> float:
    r"""Return how much nearer the best sample of each pixel comes than the best sample.

    With the squared error :math:`e_{kp}` of sample k at pixel p:

    .. math::
        \frac{\min_k \bar e_k - \overline{\min_k e_{kp}}}{\min_k \bar e_k}

    NTIRE's score of learning the super-resolution space (Lugmayr et al. 2021) has this form, but
    takes for e the maps of LPIPS; its numbers are not comparable. Squared errors need no network,
    and are the same under every trunk.

    It is 0 for equal samples, and 1 where each pixel is met by some sample. Noise raises it, so it
    says something only beside a score of accuracy.
    """
    of_samples, nearest = [], None
    for sample in samples:  # one at a time stays in the caches
        errors = (sample - target).square_().mean(dim=0)
        of_samples.append(errors.mean(dtype=torch.float64))
        nearest = errors if nearest is None else torch.minimum(nearest, errors)
    assert nearest is not None  # there is a sample
    together, apart = float(torch.stack(of_samples).min()), float(nearest.mean(dtype=torch.float64))
    return (together - apart) / together if together > 0 else 0.0
