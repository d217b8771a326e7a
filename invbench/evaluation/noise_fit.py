r"""Do samples fit a noisy observation as well as they should, and no better?

With noise, a sample that reobserves exactly has learnt the noise by heart. What a sample x leaves
of the m measured values of an observation y, in units of the noise, is

.. math:: \chi^2(x) = \frac{1}{m \sigma^2} \lVert y - A x \rVert^2

A target has 1 on average, with a variance of 2/m, and so has a sample of the exact posterior, as
target and sample then are exchangeable given y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2

from invbench.evaluation.estimates import CONFIDENCE, estimate
from invbench.metrics import Metric
from invbench.runs import NoiseFitRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.problems import Problem

LEVEL = 1 / 255  # samples are rounded to these


@dataclass(frozen=True, eq=False)
class NoiseFit:
    """Chi-squared over the number of measurements, of reobservations of one problem.

    Attributes:
        std: of the noise.
        measured: bool ``[c, h, w]``; values that nobody measured hold no noise.
    """

    std: float
    measured: Tensor

    @classmethod
    def of(cls, problem: Problem) -> NoiseFit | None:
        """Return that of a problem; None if it has no noise."""
        return cls(problem.noise.std, problem.measured()) if problem.noise else None

    @property
    def n_measurements(self) -> int:
        """The number of values of an observation that were measured, m."""
        return int(self.measured.sum())

    def chi_squared(self, reobservations: Tensor, observation: Tensor) -> Tensor:
        """Return one number a sample.

        Args:
            reobservations: ``[..., K, c, h, w]``.
            observation: ``[..., c, h, w]``.

        Returns:
            float64 ``[..., K]``.
        """
        residual = (reobservations - observation.unsqueeze(-4)).double()
        measured = self.measured.to(residual)
        squares = (residual * measured).square().sum(dim=(-3, -2, -1))
        return squares / (self.n_measurements * self.std**2)

    def metric(self) -> Metric:
        """Return the distance of chi-squared from 1, which is best at 0, as a metric."""
        return Metric(
            name="chi_squared_error",
            unit="",
            higher_is_better=False,
            version="1",
            function=lambda *seen: (self.chi_squared(*seen) - 1).abs(),
            parameters={"std": self.std, "n_measurements": self.n_measurements},
        )

    def record(
        self, scores: Sequence[NDArray[np.float64]], groups: Sequence[str]
    ) -> NoiseFitRecord:
        """Summarize chi-squared over images, and say whether the samples fit the noise.

        The band holds the mean over images of exact posterior samples with a probability of 0.95
        at least: that of independent ones, n images of m measurements each, while many samples an
        image only narrow it. Rounding samples to 8 bits adds variance of up to 1/12 level squared,
        by which the band is widened above; that is right for operators that do not amplify.

        Args:
            scores: chi-squared of the samples of each image.
            groups: the photograph that each image is of.
        """
        means = np.array([image.mean() for image in scores])
        found = estimate(means, groups)
        degrees = self.n_measurements * len(means)
        tail = (1 - CONFIDENCE) / 2
        low, high = (chi2.ppf(share, degrees) / degrees for share in (tail, 1 - tail))
        high += LEVEL**2 / 12 / self.std**2
        value = float(means.mean())
        return NoiseFitRecord(
            value=value,
            low=found["low"],
            high=found["high"],
            band=(float(low), float(high)),
            verdict="fits" if low <= value <= high else "below" if value < low else "above",
            n_measurements=self.n_measurements,
            per_image=tuple(means.tolist()),
        )
