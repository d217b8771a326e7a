"""TARP: references, fractions, and the test of their uniformity."""

import math

import numpy as np
import pytest
import torch

from invbench.uncertainty import (
    other_targets,
    tarp_coverage,
    tarp_fractions,
    tarp_test,
)
from invbench.uncertainty.errors import (
    InvalidLossesError,
    InvalidSplitError,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_no_image_is_its_own_reference():
    target = torch.arange(10.0).reshape(10, 1, 1, 1) / 10
    for seed in range(20):
        partners = other_targets(target, generator=seeded(seed))
        assert (partners != target).all()
        assert torch.equal(partners.sort(0).values, target)
    with pytest.raises(InvalidSplitError):
        other_targets(target[:1], generator=seeded())


def test_ties_count_half():
    target = torch.full((1, 1, 1, 1), 0.5)
    samples = torch.tensor([0.5, 0.5, 0.2, 0.9]).reshape(1, 4, 1, 1, 1)
    fractions = tarp_fractions(samples, target, torch.zeros(1, 1, 1, 1))
    assert fractions.tolist() == [0.5]


def test_coverage_of_uniform_fractions_is_the_diagonal():
    fractions = (np.arange(1000) + 0.5) / 1000
    levels = np.linspace(0, 1, 11)
    assert np.abs(tarp_coverage(fractions, levels) - levels).max() < 1e-3


def test_accepts_uniform_and_rejects_other_fractions():
    generator = np.random.default_rng(0)
    uniform = generator.integers(0, 51, 100) / 50
    assert tarp_test(uniform, 50)[1] > 0.05
    assert tarp_test(np.full(50, 0.5), 50)[1] < 1e-6
    distance, p_value = tarp_test(np.zeros(50), 50)
    assert distance == pytest.approx(50 / 51)
    assert p_value < 1e-12


def test_p_values_of_an_ideal_sampler_are_rarely_small():
    generator = np.random.default_rng(1)
    p_values = [tarp_test(generator.integers(0, 51, 50) / 50, 50)[1] for _ in range(500)]
    assert np.mean(np.array(p_values) < 0.05) < 0.08


def test_refuses_what_are_no_fractions():
    for fractions in ([], [1.2], [math.nan]):
        with pytest.raises(InvalidLossesError):
            tarp_test(fractions, 50)
