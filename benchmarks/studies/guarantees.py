"""Do the calibration methods keep what they promise?

Run: python benchmarks/studies/guarantees.py

Many independent calibration sets are drawn from a world whose true risk is known in closed form.
In it all intervals are alike, [0.42, 0.58], and targets scatter around 0.5 with a spread that
differs from image to image; half of the variance is common to all pixels of an image. A method
that promises P(risk > alpha) <= delta is refuted if its violations could come about with
probability below 0.001 under that promise. Counting pixels as if they were images must be refuted.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import ndtr, roots_hermitenorm
from scipy.stats import beta, binom

from invbench.uncertainty import (
    Additive,
    Conffusion,
    Interval,
    conffusion_published,
    crc,
    im2im_published,
    largest_acceptable_risk,
    rcps_hb,
    rcps_wsr,
    risk_curve,
    split_conformal_entry,
    split_conformal_image,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from invbench.uncertainty import Calibration, RiskCurve, Scaling

ALPHA = DELTA = 0.1
CENTER, HALF_WIDTH = 0.5, 0.08
LOG_SPREAD = 0.5  # standard deviation of the log of an image's spread
COMMON_SHARE = 0.5  # share of the variance that all pixels of an image have in common
SHAPE = (3, 8, 8)
SIGNIFICANCE = 0.001
POOL_IMAGES = 4000  # new images, to estimate the distribution of their losses


@dataclass(frozen=True)
class Subject:
    """A calibration method under test.

    Attributes:
        name: as printed.
        calibrator: the method.
        scaling: the family of intervals it scales.
        promise: ``risk``: P(risk > alpha) <= delta; ``mean``: mean risk <= alpha; ``image``:
            P(loss of a new image > alpha) <= delta.
        holds: whether the promise is expected to hold.
    """

    name: str
    calibrator: Callable[[RiskCurve], Calibration]
    scaling: Scaling
    promise: str
    holds: bool = True


@dataclass(frozen=True)
class Verdict:
    """What the repetitions showed about one method."""

    subject: Subject
    violations: int
    mean_risk: float
    statement: str
    refuted: bool


def draw_targets(n_images, rng):
    """Draw ``[n_images, 3, 8, 8]`` targets of the world described above."""
    spread = np.exp(LOG_SPREAD * rng.standard_normal((n_images, 1, 1, 1)))
    common = rng.standard_normal((n_images, 1, 1, 1))
    own = rng.standard_normal((n_images, *SHAPE))
    error = spread * (COMMON_SHARE**0.5 * common + (1 - COMMON_SHARE) ** 0.5 * own)
    return torch.from_numpy((CENTER + HALF_WIDTH * error).clip(0, 1).astype(np.float32))


def true_risk(lower, upper):
    """Return the probability that a target, clipped to [0, 1], lies outside."""
    nodes, weights = roots_hermitenorm(120)
    deviation = HALF_WIDTH * np.exp(LOG_SPREAD * nodes)
    below = ndtr((lower - CENTER) / deviation) if lower > 0 else 0.0
    above = ndtr((CENTER - upper) / deviation) if upper < 1 else 0.0
    missed = (below + above) * np.ones_like(nodes)
    return float(weights @ missed / weights.sum())


def world_interval(n_images):
    half = torch.full((n_images, *SHAPE), HALF_WIDTH)
    return Interval(CENTER - half, CENTER + half, 0.9, "linear", 50)


def curve_of(targets, scaling):
    factors = scaling.needed_factors(world_interval(len(targets)), targets)
    return risk_curve(factors, scaling=scaling.name)


def rcps_hb_by_pixel(curve):
    """Apply the corrected bound with n pixels where it needs n images."""
    n_pixels = int(curve.n_entries.sum())
    factor = curve.smallest_factor(largest_acceptable_risk(n_pixels, ALPHA, DELTA))
    return replace(rcps_hb(curve), lambda_hat=factor)


def subjects(n_images, rng):
    additive = Additive(torch.full((n_images, *SHAPE), CENTER))
    return [
        Subject("rcps_hb", rcps_hb, additive, "risk"),
        Subject("rcps_wsr", partial(rcps_wsr, generator=rng), additive, "risk"),
        Subject("crc", crc, additive, "mean"),
        Subject("split_conformal_image", split_conformal_image, additive, "image"),
        Subject(
            "split_conformal_entry", partial(split_conformal_entry, generator=rng), additive, "mean"
        ),
        Subject("im2im_published", im2im_published, additive, "risk"),
        Subject("rcps_hb by pixel", rcps_hb_by_pixel, additive, "risk", holds=False),
        Subject("conffusion_published", conffusion_published, Conffusion(), "risk", holds=False),
        Subject("crc, judged as RCPS", crc, additive, "risk", holds=False),
    ]


def examine(subject, *, repeats, n_images, rng, pool):
    """Calibrate on ``repeats`` fresh sets and compare the true risk with the promise."""
    risks = np.empty(repeats)
    image_misses = np.zeros(repeats)
    for repeat in range(repeats):
        result = subject.calibrator(curve_of(draw_targets(n_images, rng), subject.scaling))
        scaled = subject.scaling.scaled(world_interval(n_images), result.lambda_hat)
        risks[repeat] = true_risk(
            scaled.lower.flatten()[0].item(), scaled.upper.flatten()[0].item()
        )
        if subject.promise == "image":
            image_misses[repeat] = (pool.losses(result.lambda_hat) > ALPHA).mean()
    violations = int((risks > ALPHA).sum())
    statement, refuted = _judge(subject.promise, risks, image_misses)
    return Verdict(subject, violations, float(risks.mean()), statement, refuted)


def _judge(promise, risks, image_misses):
    if promise == "risk":
        violations = int((risks > ALPHA).sum())
        chance = float(binom.sf(violations - 1, len(risks), DELTA))
        highest = beta.ppf(0.975, violations + 1, max(len(risks) - violations, 1e-9))
        return (
            f"P(risk > {ALPHA}) <= {highest:.3f} (97.5 %); chance if <= {DELTA}: {chance:.2g}",
            chance < SIGNIFICANCE,
        )
    values, limit = (risks, ALPHA) if promise == "mean" else (image_misses, DELTA)
    variance = values.var(ddof=1) / len(values)
    if promise == "image":
        variance += limit * (1 - limit) / POOL_IMAGES
    error = variance**0.5
    what = "mean risk" if promise == "mean" else f"P(loss of a new image > {ALPHA})"
    return f"{what} {values.mean():.4f} +- {error:.4f}", values.mean() > limit + 3 * error


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--images", type=int, default=50, help="images in a calibration set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    center = torch.full((POOL_IMAGES, *SHAPE), CENTER)
    pool = curve_of(draw_targets(POOL_IMAGES, rng), Additive(center))
    print(f"{options.repeats} calibration sets of {options.images} images; alpha = delta = {ALPHA}")
    print(f"{'method':<24}{'risk > alpha':>13}{'mean risk':>11}  promise")
    surprises = 0
    for subject in subjects(options.images, rng):
        verdict = examine(
            subject, repeats=options.repeats, n_images=options.images, rng=rng, pool=pool
        )
        surprises += verdict.refuted == subject.holds
        print(
            f"{subject.name:<24}{verdict.violations:>13}{verdict.mean_risk:>11.4f}  "
            f"{'REFUTED' if verdict.refuted else 'kept   '} {verdict.statement}"
        )
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
