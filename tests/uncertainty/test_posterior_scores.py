"""Exact samples of a Gaussian posterior get the nominal value of every score; others do not.

Targets are N(0.5, T^2) in every entry; the operator averages squares of 2 x 2 pixels and adds
N(0, S^2). The posterior then has a closed form, square by square, and samples of it are drawn by
correcting joint draws of image and observation (Matheron's rule).
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta, norm
from torch.nn.functional import avg_pool2d, interpolate

from invbench.uncertainty import (
    coverage,
    crps,
    duplicate_fraction,
    energy_score,
    interval,
    interval_score,
    mean_length,
    null_space_width,
    other_targets,
    rank_histogram,
    reliability_index,
    spread_and_error,
    spread_skill_ratio,
    tarp_fractions,
    tarp_test,
)

N_IMAGES, N_SAMPLES, SIDE = 400, 50, 8
T, S = 0.05, 0.01
GAIN = T**2 / (T**2 / 4 + S**2)  # of a square's mean error, for each of its pixels, times 1/4
POSTERIOR_VARIANCE = T**2 - T**2 / 4 * GAIN / 4
DEVIATION = math.sqrt(POSTERIOR_VARIANCE)
MEAN_VARIANCE = (T**2 / 4) * S**2 / (T**2 / 4 + S**2)  # of a square's mean, given its observation


@dataclass(frozen=True)
class World:
    samples: torch.Tensor
    target: torch.Tensor


def correction(observed, predicted):
    return interpolate(GAIN / 4 * (observed - predicted), scale_factor=2)


def draw_world(spread=1.0, bias=0.0):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    target = 0.5 + T * normal(N_IMAGES, 3, SIDE, SIDE)
    observation = avg_pool2d(target, 2) + S * normal(N_IMAGES, 3, SIDE // 2, SIDE // 2)
    mean = 0.5 + correction(observation, torch.tensor(0.5))
    samples = []
    for _ in range(N_SAMPLES):
        image = 0.5 + T * normal(N_IMAGES, 3, SIDE, SIDE)
        joint = avg_pool2d(image, 2) + S * normal(N_IMAGES, 3, SIDE // 2, SIDE // 2)
        samples.append(image + correction(observation, joint))
    exact = torch.stack(samples, dim=1)
    planted = mean[:, None] + spread * (exact - mean[:, None]) + bias * DEVIATION
    return World(planted, target)


DEFECTS = {
    "too narrow": {"spread": 0.7},
    "too wide": {"spread": 1.3},
    "biased": {"bias": 0.5},
}


@pytest.fixture(scope="module")
def exact():
    return draw_world()


@pytest.fixture(scope="module")
def defective():
    return {name: draw_world(**defect) for name, defect in DEFECTS.items()}


def expected_width():
    """E[upper - lower] of 50 standard normal samples under the Weibull rule."""

    def expected_order_statistic(rank):
        return quad(
            lambda z: z * norm.pdf(z) * beta.pdf(norm.cdf(z), rank, N_SAMPLES + 1 - rank), -9, 9
        )[0]

    upper = 0.45 * expected_order_statistic(49) + 0.55 * expected_order_statistic(48)
    return 2 * upper


def expected_coverage_and_interval_score():
    """Simulated with numpy alone, for standard normal samples and target."""
    rng = np.random.default_rng(0)
    samples, target = rng.standard_normal((50, 200_000)), rng.standard_normal(200_000)
    lower, upper = np.quantile(samples, [0.05, 0.95], axis=0, method="weibull")
    outside = np.maximum(lower - target, 0) + np.maximum(target - upper, 0)
    return (outside == 0).mean(), (upper - lower + 20 * outside).mean()


def expected_energy():
    """E||x - x'|| / 2: of each square, three directions keep T and one is narrowed."""
    rng = np.random.default_rng(0)
    n_squares = 3 * (SIDE // 2) ** 2
    free = 2 * T**2 * rng.chisquare(3 * n_squares, 20_000)
    seen = 2 * 4 * MEAN_VARIANCE * rng.chisquare(n_squares, 20_000)
    return np.sqrt(free + seen).mean() / 2


def weibull(world):
    return interval(world.samples, rule="weibull")


def spread_skill(world):
    variance, error = spread_and_error(world.samples, world.target)
    return spread_skill_ratio(float(variance.mean()), float(error.mean()), N_SAMPLES)


def rank_unevenness(world):
    counts = rank_histogram(world.samples, world.target, generator=torch.Generator().manual_seed(1))
    return float(reliability_index(counts.sum(0)))


def tarp_distance(world):
    references = other_targets(world.target, generator=torch.Generator().manual_seed(2))
    fractions = tarp_fractions(world.samples, world.target, references)
    return tarp_test(fractions, N_SAMPLES)[0]


def reobserved_width(world):
    return float(
        null_space_width(
            avg_pool2d(world.samples.flatten(0, 1), 2).unflatten(0, (N_IMAGES, N_SAMPLES)),
            rule="weibull",
        ).mean()
    )


COVERAGE, INTERVAL_SCORE = expected_coverage_and_interval_score()
ALL = frozenset(DEFECTS)
SPREAD = frozenset({"too narrow", "too wide"})
# name -> score, nominal value, tolerance relative to it, the defects that it must show
NOMINAL = {
    "coverage": (lambda w: float(coverage(weibull(w), w.target).mean()), COVERAGE, 0.01, ALL),
    "mean length": (
        lambda w: float(mean_length(weibull(w)).mean()),
        DEVIATION * expected_width(),
        0.01,
        SPREAD,
    ),
    "interval score": (
        lambda w: float(interval_score(weibull(w), w.target).mean()),
        DEVIATION * INTERVAL_SCORE,
        0.02,
        ALL,
    ),
    "CRPS": (
        lambda w: float(crps(w.samples, w.target).mean()),
        DEVIATION / math.sqrt(math.pi),
        0.01,
        ALL,
    ),
    "energy score": (
        lambda w: float(energy_score(w.samples, w.target).mean()),
        expected_energy(),
        0.01,
        ALL,
    ),
    "energy score of square means": (
        lambda w: float(energy_score(w.samples, w.target, downsample=2, patch=1).mean()),
        # one square's mean has three channels: E of a chi variable of three degrees of freedom
        math.sqrt(2 * MEAN_VARIANCE) * math.sqrt(8 / math.pi) / 2,
        0.015,
        ALL,
    ),
    "spread-skill ratio": (spread_skill, 1.0, 0.01, ALL),
    "width of reobservations": (
        reobserved_width,
        math.sqrt(MEAN_VARIANCE) * expected_width(),
        0.01,
        SPREAD,
    ),
    # distances from flat: 1 + value is compared, as the nominal value itself is 0
    "rank histogram": (lambda w: 1 + rank_unevenness(w), 1.0, 0.04, ALL),
    "TARP": (lambda w: 1 + tarp_distance(w), 1.0, 1.63 / math.sqrt(N_IMAGES), ALL),
    "duplicates": (lambda w: 1 + float(duplicate_fraction(w.samples).mean()), 1.0, 0, frozenset()),
}


def test_samples_of_the_posterior_have_its_moments(exact):
    assert exact.samples.var(1).mean().item() == pytest.approx(POSTERIOR_VARIANCE, rel=0.01)
    assert (exact.samples.mean(1) - exact.target).mean().abs() < 5 * T / math.sqrt(76_800)


@pytest.mark.parametrize("name", NOMINAL)
def test_exact_posterior_samples_score_the_nominal_value(exact, name):
    score, nominal, tolerance, _ = NOMINAL[name]
    assert score(exact) == pytest.approx(nominal, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "defect"),
    [(name, defect) for name in NOMINAL for defect in sorted(NOMINAL[name][3])],
)
def test_planted_defects_leave_the_nominal_value(defective, name, defect):
    score, nominal, tolerance, _ = NOMINAL[name]
    assert score(defective[defect]) != pytest.approx(nominal, rel=tolerance)


def test_scores_move_the_right_way(exact, defective):
    narrow, wide = defective["too narrow"], defective["too wide"]
    for score in (NOMINAL["coverage"][0], spread_skill):
        assert score(narrow) < score(exact) < score(wide)
    for name in ("CRPS", "energy score", "interval score"):
        score = NOMINAL[name][0]
        assert all(score(exact) < score(world) for world in defective.values())
