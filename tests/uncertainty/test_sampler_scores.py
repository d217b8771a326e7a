"""Scores of samples against stored values, plain loops, and each other's layouts."""

import itertools
import math

import numpy as np
import pytest
import torch

from invbench.errors import InvalidImagesError
from invbench.uncertainty import (
    crps,
    duplicate_fraction,
    energy_score,
    other_targets,
    rank_histogram,
    reliability_index,
    spread_and_error,
    spread_skill_ratio,
    tarp_fractions,
)
from invbench.uncertainty.errors import (
    MismatchedImagesError,
    TooFewSamplesError,
)


def test_bytes_score_as_floats_whatever_the_default_dtype():
    levels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=seeded())
    target = levels.flip(0)[0]
    expected = crps(levels.float() / 255, target.float() / 255)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = crps(levels, target)
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(found, expected)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(n_images=3, n_samples=7, side=8, seed=0):
    generator = seeded(seed)
    target = torch.rand(n_images, 3, side, side, generator=generator)
    samples = torch.rand(n_images, n_samples, 3, side, side, generator=generator)
    return samples, target


SCORES = {
    "crps": crps,
    "energy": energy_score,
    "energy of patches": lambda s, t: energy_score(s, t, downsample=2, patch=2),
    "spread and error": lambda s, t: torch.stack(spread_and_error(s, t), -1),
    "ranks": lambda s, t: rank_histogram(s, t, generator=seeded()).double(),
    "tarp": lambda s, t: tarp_fractions(s, t, 1 - t),
}


def as_bytes(images):
    return (images * 255).round().to(torch.uint8)


@pytest.fixture(scope="module")
def stored(refs):
    return refs("uncertainty/uncertainty.safetensors")


class TestStoredScores:
    @pytest.mark.parametrize(
        ("key", "score", "fair"),
        [
            ("crps_fair_per_image", crps, True),
            ("crps_vstat_per_image", crps, False),
            ("energy_fair", energy_score, True),
            ("energy_vstat", energy_score, False),
        ],
    )
    def test_of_crps_and_energy(self, stored, key, score, fair):
        got = score(stored["score.samples"].float(), stored["score.gt"], fair=fair)
        assert torch.allclose(got, stored[f"score.{key}"], rtol=0, atol=1e-6)

    def test_of_spread_and_skill(self, stored):
        variance, error = spread_and_error(stored["score.samples"].float(), stored["score.gt"])
        ratio = spread_skill_ratio(float(variance.mean()), float(error.mean()), 50)
        np.testing.assert_allclose(ratio, stored["score.spread_skill"], rtol=0, atol=1e-6)

    def test_of_ranks(self, stored):
        # every entry as an image of its own, so that its rank can be read off
        samples = stored["score.samples"].float().permute(0, 2, 3, 4, 1).reshape(-1, 50, 1, 1, 1)
        target = stored["score.gt"].reshape(-1, 1, 1, 1)
        ranks = rank_histogram(samples, target, generator=seeded()).argmax(-1)
        below = stored["score.rank_below"].flatten().long()
        ties = stored["score.rank_ties"].flatten().long()
        assert ties.sum() > 0
        untied = torch.where(ties == 0, ranks, below).reshape(stored["score.rank_below"].shape)
        assert torch.equal(untied.short(), stored["score.rank_below"])
        assert ((below <= ranks) & (ranks <= below + ties)).all()


class TestPlainLoops:
    @pytest.mark.parametrize("fair", [True, False])
    def test_crps(self, fair):
        samples, target = drawn()
        x, y, k = samples.double(), target.double(), samples.shape[1]
        pairs = sum((x[:, i] - x[:, j]).abs() for i, j in itertools.product(range(k), repeat=2))
        entries = (x - y[:, None]).abs().mean(1) - pairs / (2 * k * (k - 1 if fair else k))
        assert torch.allclose(crps(samples, target, fair=fair), entries.mean((1, 2, 3)))

    @pytest.mark.parametrize("fair", [True, False])
    @pytest.mark.parametrize(("downsample", "patch"), [(1, None), (2, None), (1, 4), (2, 2)])
    def test_energy_score(self, fair, downsample, patch):
        samples, target = drawn()
        k = samples.shape[1]
        x = torch.nn.functional.avg_pool2d(samples.double().flatten(0, 1), downsample)
        x = x.reshape(3, k, *x.shape[1:])
        y = torch.nn.functional.avg_pool2d(target.double(), downsample)
        side = patch or y.shape[-1]
        cells = []
        for top, left in itertools.product(range(0, y.shape[-1], side), repeat=2):
            a = x[..., top : top + side, left : left + side].flatten(2)
            b = y[..., top : top + side, left : left + side].flatten(1)
            pair_sum = sum(
                (a[:, i] - a[:, j]).norm(dim=1) for i, j in itertools.product(range(k), repeat=2)
            )
            error = (a - b[:, None]).norm(dim=2).mean(1)
            cells.append(error - pair_sum / (2 * k * (k - 1 if fair else k)))
        got = energy_score(samples, target, fair=fair, downsample=downsample, patch=patch)
        assert torch.allclose(got, torch.stack(cells).mean(0), atol=1e-7)

    def test_spread_and_error(self):
        samples, target = drawn()
        variance, error = spread_and_error(samples, target)
        assert np.allclose(variance, samples.numpy().var(axis=1, ddof=1).mean((1, 2, 3)))
        assert np.allclose(error, (samples.mean(1) - target).square().mean((1, 2, 3)))

    def test_tarp(self):
        samples, target = drawn()
        references = other_targets(target, generator=seeded())
        for image in range(3):
            distances = [(x - references[image]).norm() for x in samples[image]]
            limit = (target[image] - references[image]).norm()
            expected = np.mean([d < limit for d in distances])
            got = tarp_fractions(samples, target, references)[image]
            assert got == pytest.approx(expected)


class TestLayouts:
    @pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
    def test_bytes_score_as_their_fractions(self, score):
        samples, target = drawn()
        target = as_bytes(target).float() / 255
        got = score(as_bytes(samples), target)
        assert torch.allclose(got, score(as_bytes(samples).float() / 255, target), atol=1e-7)

    @pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
    def test_one_image_scores_as_in_a_batch(self, score):
        samples, target = drawn()
        assert torch.allclose(score(samples[0], target[0]), score(samples, target)[0])

    @pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
    def test_blocks_do_not_matter(self, score, monkeypatch):
        samples, target = drawn()
        whole = score(samples, target)
        monkeypatch.setattr("invbench.uncertainty.quantiles.BLOCK_PIXELS", 13)
        monkeypatch.setattr("invbench.uncertainty.pairs.STRIP_BYTES", 1)
        assert torch.allclose(score(samples, target), whole, atol=1e-7)

    @pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
    def test_nan_and_other_shapes_are_refused(self, score):
        samples, target = drawn()
        with pytest.raises(MismatchedImagesError):
            score(samples, target[:1])
        broken = target.clone()
        broken[0, 0, 0, 0] = torch.nan
        with pytest.raises(InvalidImagesError, match="NaN"):
            score(samples, broken)
        with pytest.raises(InvalidImagesError):
            score(samples * 2, target)


class TestSamplerScores:
    def test_ranks_of_pure_ties_are_uniform(self):
        # clipped images: counting ties on one side would put all ranks into one bin
        black = torch.zeros(1, 9, 3, 64, 64)
        counts = rank_histogram(black, black[:, 0], generator=seeded())
        assert counts.sum() == 3 * 64 * 64
        assert reliability_index(counts).item() < 0.05
        assert counts.min() > 0

    def test_ranks_at_the_ends_fall_into_the_outer_bins(self):
        samples = torch.full((1, 9, 3, 8, 8), 0.5)
        for value, index in ((0.0, 0), (1.0, 9)):
            counts = rank_histogram(samples, torch.full((1, 3, 8, 8), value), generator=seeded())
            assert counts[0, index] == 192

    def test_reliability_index_runs_from_zero_to_nearly_two(self):
        assert reliability_index(torch.full((51,), 7)).item() == pytest.approx(0)
        single = torch.zeros(51)
        single[0] = 100
        assert reliability_index(single).item() == pytest.approx(2 * 50 / 51)

    def test_duplicates_are_counted_bit_by_bit(self):
        samples, _ = drawn(n_images=2, n_samples=8)
        samples[1, 4:] = samples[1, :4]
        samples[0, 7] = samples[0, 6] + 1e-7
        assert duplicate_fraction(samples).tolist() == [0, 0.5]
        assert duplicate_fraction(as_bytes(samples)).tolist() == [0.125, 0.5]

    def test_a_single_value_tells_samples_apart_wherever_it_lies(self):
        samples = torch.zeros(1 + 3 * 9 * 9, 3, 9, 9)
        samples[1:].flatten(1).fill_diagonal_(1)
        assert duplicate_fraction(samples).item() == 0
        samples[-1] = samples[-2]
        assert duplicate_fraction(samples).item() == pytest.approx(1 / len(samples))

    def test_spread_skill_without_error_is_not_a_number_that_passes(self):
        assert spread_skill_ratio(0.1, 0.0, 50) == math.inf
        assert math.isnan(spread_skill_ratio(0.0, 0.0, 50))

    def test_fair_scores_need_two_samples(self):
        samples, target = drawn(n_samples=1)
        for score in (crps, energy_score, spread_and_error):
            with pytest.raises(TooFewSamplesError):
                score(samples, target)
        assert torch.allclose(
            crps(samples, target, fair=False),
            (samples[:, 0] - target).abs().mean((1, 2, 3)).double(),
        )

    def test_sides_that_do_not_divide_are_refused(self):
        samples, target = drawn()
        for arguments in ({"downsample": 3}, {"patch": 3}, {"downsample": 4, "patch": 4}):
            with pytest.raises(InvalidImagesError, match="divide"):
                energy_score(samples, target, **arguments)

    def test_energy_of_near_duplicates_does_not_cancel(self):
        # distances of 1e-4 between samples that all are 10 away from the target
        generator = seeded()
        near = 1e-5 * torch.rand(6, 3, 16, 16, generator=generator)
        samples, target = near, torch.full((3, 16, 16), 0.4)
        x = samples.double().flatten(1)
        expected = (x - 0.4).norm(dim=1).mean() - torch.pdist(x).sum() / (6 * 5)
        got = energy_score(samples, target)
        distance_free = (x - target.double().flatten()).norm(dim=1).mean()
        assert (distance_free - got).item() == pytest.approx(torch.pdist(x).mean().item() / 2, 0.01)
        assert got.item() == pytest.approx(expected.item(), rel=1e-6)
