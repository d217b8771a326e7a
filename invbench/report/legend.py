"""What every column means, in a sentence each, for pages and docs alike. No torch here."""

from __future__ import annotations

INTERVAL = "5\N{EN DASH}95 %"

LEGEND = {
    "psnr, ssim, lpips": "observation against the forward process applied to each sample, mean "
    "over samples, then images",
    "coverage, ideal": f"share of the target inside its {INTERVAL} interval, beside what exact "
    "posterior samples would reach",
    "band": "where exact samples' coverage would lie 39 times in 40, for these images",
    "skill": "1 - CRPS / CRPS of reference, the closed-form posterior of a Gaussian prior of "
    "five numbers fitted to photographs: at 0 a model knows no more than they do. "
    "reference is a row of its own in every run",
    "width": "mean of upper minus lower bound; 1 is the range from black to white",
    "samples/s": "median over images, device synchronized; no image and no seed is timed twice",
    "1st call": "how many rounds the untimed call before them took: work that is done once shows "
    "here",
    "limits": "whether the case keeps its limits in fixtures/thresholds.toml; none for a sampler "
    "of your own",
    "calibration": "under: coverage or energy score say that the sampler is too sure; over: that "
    "it varies too much; calibrated: neither, by eight photographs or more and bands that would "
    "have told a spread 1.5 times too small or large; else not tested, and why",
    "contract": "kept if the same generators give the same sample in any batch and row, and no "
    "two samples are equal; or what was broken",
    "verdict": "passed or failed by the limits, measured where there are none",
}
"""Columns -> what they mean; columns of one sentence are separated by commas."""

MORE = {
    "(paper)": "the study's own value, from its Table 1, of other weights and images",
    "target psnr, target lpips": "samples against the target, mean over samples, then images",
    "chi-squared, noise": "squared distance from a noisy observation in units of the noise, 1 for "
    "exact samples, and whether it fits the noise, lies below it (noise is reproduced) or above",
    "declared": "the limits file says that the case is known to be so",
    "worse by, mde, tolerated": "of the gate: the change in the direction of a loss, the smallest "
    "loss that so many photographs show four times in five, and what is let pass",
    "p flips, p boot": "of the gate: adjusted p-values by flips of photographs' signs and by "
    "drawing photographs anew; a loss is shown where both are small",
    "winkler": "interval score: width, and 20 times the distance by which a target lies outside; "
    "lower is better",
    "error of the mean": "PSNR of the mean of an image's samples against the target, in dB",
    "observation, target": "what a sampler is given, enlarged by repeating pixels, and what it was "
    "made from",
    "width, as a picture": f"widths of the {INTERVAL} intervals as light upon the dimmed mean of "
    "all samples, on one scale for all cases of a task",
    "error, as a picture": "absolute difference of the mean and the target; white is 1",
}
"""What only pages have."""
