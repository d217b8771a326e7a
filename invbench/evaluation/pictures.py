"""What a report shows of an image: what was given, what was drawn, and where samples disagree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn.functional import interpolate

from invbench.evaluation.scoring import LEVEL
from invbench.images import to_uint8
from invbench.runs import Picture
from invbench.uncertainty import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.evaluation.scoring import ImageScores
    from invbench.metrics import Metric
    from invbench.uncertainty import Rule

SHOWN = 3  # samples


class Gallery:
    """The pictures that a case keeps: of its first images, and of the worst one after them.

    Args:
        n_first: of how many images, the first; none at all are kept at 0.
        metrics: the first of them says which image is the worst; with noise, chi-squared does.
    """

    def __init__(self, n_first: int, metrics: Sequence[Metric]) -> None:
        self._n_first = n_first
        self._metrics = metrics
        self._first: list[Picture] = []
        self._worst: Picture | None = None
        self._largest_loss = -math.inf

    @property
    def pictures(self) -> list[Picture]:
        """What is kept so far; the worst image, if it is none of the first, comes last."""
        return [*self._first, *([self._worst] if self._worst else [])]

    def offer(self, scores: ImageScores, draw: Callable[[], Picture]) -> None:
        """Keep the picture of the next image, which is only drawn if it is kept."""
        loss = _loss(scores, self._metrics)
        if len(self._first) < self._n_first:
            self._first.append(draw())
        elif self._n_first and loss > self._largest_loss:
            self._worst = draw()
        self._largest_loss = max(loss, self._largest_loss)


def _loss(scores: ImageScores, metrics: Sequence[Metric]) -> float:
    """Say how bad an image's samples are; what says most of all comes first in `metrics`."""
    for metric in metrics:
        if metric.name in scores.validity:
            mean = float(scores.validity[metric.name].mean())
            return -mean if metric.higher_is_better else mean
    return 0.0 if scores.chi_squared is None else abs(float(scores.chi_squared.mean()) - 1)


def picture(
    image_id: str,
    samples: Tensor,
    observation: Tensor,
    target: Tensor | None = None,
    *,
    rule: Rule = "linear",
) -> Picture:
    """Make the panels of one image; see `Picture`.

    Args:
        image_id: of the image.
        samples: ``[K, 3, H, W]`` in [0, 1].
        observation: ``[c, h, w]`` in [0, 1]; enlarged by repeating pixels, and left out if it has
            neither one nor three channels.
        target: ``[3, H, W]`` in [0, 1]; without it there is no error either.
        rule: of the interval's quantiles.
    """
    size, mean = samples.shape[-2:], samples.mean(dim=0)
    panels: dict[str, Tensor] = {}
    if len(observation) in (1, 3):
        panels["observation"] = interpolate(observation[None], size=size, mode="nearest")[0]
    if target is not None:
        panels["target"] = target
    panels |= {f"sample {k}": sample for k, sample in enumerate(samples[:SHOWN], start=1)}
    panels["mean"] = mean
    if len(samples) > 1:
        bounds = interval(samples, level=LEVEL, rule=rule)
        panels["width"] = bounds.width().mean(dim=0, keepdim=True)
    if target is not None:
        panels["error"] = (mean - target).abs().mean(dim=0, keepdim=True)
    return Picture(image_id, {name: _panel(values) for name, values in panels.items()})


def _panel(values: Tensor) -> NDArray[np.uint8]:
    """Turn ``[1 or 3, H, W]`` into ``[H, W, 3]``, 8 bits."""
    return to_uint8(values.expand(3, -1, -1).float()).permute(1, 2, 0).cpu().numpy()
