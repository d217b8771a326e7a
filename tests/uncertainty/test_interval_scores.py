"""Scores of intervals against counts, plain loops, and targets drawn to order."""

import numpy as np
import pytest
import torch

from invbench.errors import InvalidSamplesError
from invbench.uncertainty import (
    Interval,
    channel_coverage,
    coverage,
    gradient_magnitude,
    interval,
    interval_score,
    mean_length,
    miscoverage_map,
    null_space_width,
    size_stratified_risk,
    stratified_risk,
    worst_stratum,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(n_images=3, n_samples=7, side=8, seed=0):
    generator = seeded(seed)
    target = torch.rand(n_images, 3, side, side, generator=generator)
    samples = torch.rand(n_images, n_samples, 3, side, side, generator=generator)
    return samples, target


class TestIntervalScores:
    def test_coverage_counts_entries_of_each_image_and_channel(self):
        target = torch.zeros(2, 3, 2, 2)
        target[1, 2] = 1
        inside = Interval(torch.zeros(2, 3, 2, 2), torch.full((2, 3, 2, 2), 0.5), 0.9, "linear", 50)
        assert coverage(inside, target).tolist() == pytest.approx([1, 2 / 3])
        assert channel_coverage(inside, target).tolist() == [[1, 1, 1], [1, 1, 0]]
        assert miscoverage_map(inside, target).tolist() == [[pytest.approx(1 / 6)] * 2] * 2
        assert mean_length(inside).tolist() == [0.5, 0.5]

    def test_wide_intervals_win_coverage_and_lose_the_interval_score(self):
        generator = seeded()
        target = 0.5 + 0.05 * torch.randn(20, 3, 8, 8, generator=generator)
        half = 0.05 * 1.645 * torch.ones_like(target)
        scores = [
            float(
                interval_score(
                    Interval(0.5 - half * f, 0.5 + half * f, 0.9, "linear", 50), target
                ).mean()
            )
            for f in (0.5, 1.0, 2.0)
        ]
        assert scores[1] < min(scores[0], scores[2])

    def test_null_space_width_sees_what_the_operator_sees(self):
        generator = seeded()
        observation = torch.rand(2, 1, 3, 4, 4, generator=generator)
        noise = 0.01 * torch.randn(2, 20, 3, 4, 4, generator=generator)
        assert null_space_width(observation.expand(-1, 20, -1, -1, -1)).tolist() == [0, 0]
        varied = (observation * 0.8 + 0.1 + noise).clamp(0, 1)
        assert null_space_width(varied).tolist() == pytest.approx([0.031] * 2, rel=0.2)

    @pytest.mark.parametrize(("low", "high"), [(-0.2, 0.9), (0.1, 1.3), (-0.1, 1.1)])
    def test_null_space_width_takes_what_bicubic_weights_lead_beyond_the_range(self, low, high):
        values = low + (high - low) * torch.rand(2, 20, 3, 8, 8, generator=seeded())
        values[0, 0, 0, 0, :2] = torch.tensor([low, high])
        ends = np.quantile(values.numpy(), [0.05, 0.95], axis=1)
        expected = (ends[1] - ends[0]).mean(axis=(1, 2, 3))
        assert null_space_width(values).tolist() == pytest.approx(expected, rel=1e-5)
        values[0, 0, 0, 0, 0] = torch.nan
        with pytest.raises(InvalidSamplesError):
            null_space_width(values)

    def test_size_strata_find_intervals_that_do_not_adapt(self):
        generator = seeded()
        deviation = 0.01 * (1 + 9 * torch.rand(30, 3, 16, 16, generator=generator))
        target = (0.5 + deviation * torch.randn(deviation.shape, generator=generator)).clamp(0, 1)
        jitter = 0.0001 * torch.rand(deviation.shape, generator=generator)
        adapted = 1.645 * deviation
        alike = adapted.mean() + jitter
        strata = {}
        for name, half in (("adapted", adapted), ("alike", alike)):
            intervals = Interval(0.5 - half, 0.5 + half, 0.9, "linear", 50)
            by_size = size_stratified_risk(intervals, target, generator=generator).mean(0)
            by_spread = stratified_risk(intervals, target, deviation, generator=generator).mean(0)
            strata[name] = (by_size, by_spread)
        assert worst_stratum(strata["adapted"][0], 0.1) < 0.02
        assert worst_stratum(strata["adapted"][1], 0.1) < 0.02
        assert worst_stratum(strata["alike"][1], 0.1) > 0.1
        assert (strata["alike"][1].diff() > 0).all()

    def test_strata_cut_ties_at_random_and_evenly(self):
        target = torch.zeros(1, 1, 8, 8)
        target[..., :4, :] = 1
        intervals = Interval(target * 0, target * 0, 0.9, "linear", 50)
        risks = size_stratified_risk(intervals, target, generator=seeded(1))
        assert risks.sum() == pytest.approx(4 * 0.5)
        assert risks.max() < 1
        again = size_stratified_risk(intervals, target, generator=seeded(1))
        assert torch.equal(risks, again)

    def test_strata_follow_the_feature(self):
        target = torch.zeros(1, 1, 1, 8)
        target[..., 6:] = 1
        intervals = Interval(target * 0, target * 0, 0.9, "linear", 50)
        feature = torch.arange(8.0).reshape(1, 1, 1, 8)
        risks = stratified_risk(intervals, target, feature, generator=seeded())
        assert risks.tolist() == [[0, 0, 0, 1]]

    def test_gradient_of_a_ramp_is_its_slope(self):
        ramp = (torch.arange(8.0) / 10).expand(1, 8, 8)
        assert torch.allclose(gradient_magnitude(ramp)[..., :-1], torch.tensor(0.1))
        assert gradient_magnitude(ramp)[..., -1].abs().max() == 0

    def test_interval_score(self):
        samples, target = drawn()
        intervals = interval(samples, level=0.8)
        penalties = [
            u - low + 10 * max(low - y, 0) + 10 * max(y - u, 0)
            for low, u, y in zip(
                intervals.lower[1].flatten().tolist(),
                intervals.upper[1].flatten().tolist(),
                target[1].flatten().tolist(),
                strict=True,
            )
        ]
        assert interval_score(intervals, target)[1].item() == pytest.approx(np.mean(penalties))
