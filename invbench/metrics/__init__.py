"""How near are images to the one they should equal?

They score reobservations against the observation, and samples against the target. A new one goes
into `validity_metrics` and into `gate.tolerances`. Every metric takes ``reobservations
[..., K, c, h, w]`` and an ``observation [..., c, h, w]``, and returns one number for each image and
sample, ``[..., K]``. The caller averages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from invbench.metrics.lpips import Lpips, load_lpips
from invbench.metrics.psnr import psnr
from invbench.metrics.ssim import ssim
from invbench.metrics.weights import LPIPS_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

__all__ = ["LPIPS_NAMES", "Lpips", "Metric", "load_lpips", "psnr", "ssim", "validity_metrics"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score and the facts that a record and a comparison need about it.

    Attributes:
        name: key in records, limits and tables.
        unit: of the score; empty for a pure number.
        higher_is_better: the direction of improvement.
        version: changes whenever the numbers do; scores of two versions are not compared.
        function: ``(reobservations, observation) -> scores [..., K]``.
        parameters: everything else that the numbers depend on.
    """

    name: str
    unit: str
    higher_is_better: bool
    version: str
    function: Callable[[Tensor, Tensor], Tensor]
    parameters: Mapping[str, object] = field(default_factory=dict)

    def identity(self) -> dict[str, object]:
        """Return what the scores depend on, for the record."""
        return {"version": self.version, **self.parameters}


def validity_metrics(lpips: Lpips) -> tuple[Metric, ...]:
    """Return the three metrics of validity: PSNR, SSIM (uniform window) and the given LPIPS."""
    return (
        Metric(
            name="psnr",
            unit="dB",
            higher_is_better=True,
            version="1",
            function=psnr,
            parameters={"data_range": 1.0},
        ),
        Metric(
            name="ssim",
            unit="",
            higher_is_better=True,
            version="1",
            function=ssim,
            parameters={"data_range": 1.0, "win_size": 7, "gaussian": False},
        ),
        Metric(
            name=lpips.name,
            unit="",
            higher_is_better=False,
            version=lpips.version,
            function=lpips,
            parameters={"net": lpips.net, "backbone_sha256": lpips.backbone_sha256},
        ),
    )
