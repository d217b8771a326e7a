"""The calibration procedures of two published codes, faults included, for comparison only.

Both walk a fixed grid of factors from the top, test the next lower factor, and stop at the first
that fails. If the first test fails they return the top of the grid, and if no test fails a
factor just beyond the top, without any notice. Conffusion counts pixels as if they were
independent images. Their results are therefore never `certified`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from invbench.uncertainty.bounds import (
    check_level,
    hoeffding_bentkus_conffusion_published,
    hoeffding_bentkus_im2im_published,
)
from invbench.uncertainty.calibration import Calibration, Method, RiskCurve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IM2IM_GRID = tuple(np.linspace(0, 6, 1000, dtype=np.float32).tolist())
CONFFUSION_GRID = tuple(np.linspace(0.9, 1.3, 1000, dtype=np.float32).tolist())


def im2im_published(
    curve: RiskCurve,
    *,
    alpha: float = 0.1,
    delta: float = 0.1,
    grid: Sequence[float] = IM2IM_GRID,
) -> Calibration:
    """Calibrate as im2im-uq does (Angelopoulos et al. 2022), on an additive curve."""
    procedure = _Procedure(
        "im2im_published", hoeffding_bentkus_im2im_published, len(curve), alpha, delta
    )
    return _scan(procedure, curve, grid)


def conffusion_published(
    curve: RiskCurve,
    *,
    alpha: float = 0.1,
    delta: float = 0.1,
    grid: Sequence[float] = CONFFUSION_GRID,
) -> Calibration:
    """Calibrate as Conffusion does (Horwitz & Hoshen 2022); its guarantee does not hold.

    The bound is fed the number of pixels; neighbours are correlated, so it is far too small.
    """
    n_pixels = int(curve.n_entries.sum())
    procedure = _Procedure(
        "conffusion_published", hoeffding_bentkus_conffusion_published, n_pixels, alpha, delta
    )
    return _scan(procedure, curve, grid)


@dataclass(frozen=True)
class _Procedure:
    """The two points in which the published procedures differ: the bound, and what counts as n."""

    method: Method
    bound: Callable[[float, int, float], float]
    n: int
    alpha: float
    delta: float

    def accepts(self, risk: float) -> bool:
        return risk < self.alpha and self.bound(risk, self.n, self.delta) <= self.alpha


def _scan(procedure: _Procedure, curve: RiskCurve, grid: Sequence[float]) -> Calibration:
    check_level("alpha", procedure.alpha)
    check_level("delta", procedure.delta)
    factors = np.asarray(grid, dtype=np.float32)
    step = factors[1] - factors[0]
    failures = (
        float(factor)
        for factor in factors[::-1]
        if not procedure.accepts(_mean_loss(curve, float(factor - step)))
    )
    lambda_hat = next(failures, float(factors[-1] + step) - 1e-9)
    risk = _mean_loss(curve, lambda_hat)
    at_an_end = lambda_hat >= factors[-1]
    return Calibration(
        method=procedure.method,
        scaling=curve.scaling,
        lambda_hat=lambda_hat,
        certified=False,
        reason="grid exhausted" if at_an_end else "published bound is not valid",
        bound=procedure.bound(risk, procedure.n, procedure.delta),
        empirical_risk=risk,
        n=procedure.n,
        alpha=procedure.alpha,
        delta=procedure.delta,
        images_needed=1,
    )


def _mean_loss(curve: RiskCurve, factor: float) -> float:
    # below the first factor of a grid that starts at 0, half-widths keep their minimum of 1e-6
    return float(curve.losses(max(factor, 0.0)).mean())
