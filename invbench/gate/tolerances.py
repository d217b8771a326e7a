"""How much of a metric may be lost before it matters, and how much is only another machine."""

from __future__ import annotations

# By how much a mean may get worse: values to start from, none above the slack of thresholds.toml,
# which has to bear other hardware too. Coverage: one in a hundred of the target's values. Winkler,
# in units of intensity: an interval that is wider by as much costs as much. Squared error, in
# levels of 255: what 0.25 dB is at 50 dB. CRPS: what .03 of skill is against a reference at .065.
TOLERANCES = {
    "psnr": 0.25,
    "squared_error": 0.04,
    "ssim": 0.005,
    "lpips": 0.005,
    "lpips_random": 0.005,
    "coverage_error": 0.01,
    "winkler": 0.01,
    "crps": 0.002,
}

# What the score of an image differs by if the same weights draw the same samples elsewhere: with
# other instructions of the CPU, another number of threads, another version of torch.
DRIFTS = {
    "psnr": 0.02,
    "squared_error": 0.004,
    "ssim": 0.0002,
    "lpips": 0.0002,
    "lpips_random": 0.0002,
    "coverage_error": 0.0005,
    "winkler": 0.0005,
    "crps": 0.0001,
}

LOST_TOLERANCES = 8  # an image that lost more than so many tolerances,
LOST_DEVIATIONS = 5  # and so many robust standard deviations of its row, is lost
