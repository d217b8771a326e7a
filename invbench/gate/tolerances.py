"""How much of a metric may be lost before it matters, and how much is only another machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What of a metric is tolerated, in its unit.

    Attributes:
        loss: by how much a mean may get worse before it matters; no more than the slack of
            thresholds.toml, which has to bear other hardware too.
        drift: what the score of an image differs by if the same weights draw the same samples
            elsewhere: with other instructions of the CPU, other threads, another torch.
    """

    loss: float
    drift: float


# What goes with 0.25 dB, which is chosen, `benchmarks/studies/tolerances.py` measures. Squared
# error, in levels of 255: at 50 dB. Of SSIM and LPIPS it would be 0.002; 0.005 is chosen, too.
TOLERANCES = {
    "psnr": Tolerance(loss=0.25, drift=0.02),
    "squared_error": Tolerance(loss=0.04, drift=0.004),
    "ssim": Tolerance(loss=0.005, drift=0.0002),
    "lpips": Tolerance(loss=0.005, drift=0.0002),
    "lpips_random": Tolerance(loss=0.005, drift=0.0002),
    # One in fifty of the noise's power
    "chi_squared_error": Tolerance(loss=0.02, drift=0.002),
    "coverage_error": Tolerance(loss=0.01, drift=0.0005),
    "winkler": Tolerance(loss=0.025, drift=0.0005),
    "crps": Tolerance(loss=0.002, drift=0.0001),
}

LOST_TOLERANCES = 8  # an image that lost more than so many tolerances,
LOST_DEVIATIONS = 5  # and so many robust standard deviations of its row, is lost
