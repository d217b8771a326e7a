"""NDM: process, score and samplers are the published ones; the fast one has the right spread."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from invbench.errors import UnknownNameError
from invbench.models.configurations.ndm import METHOD, configure_ndm, rename_official
from invbench.models.multispeed import (
    PIXEL_MEAN,
    PIXEL_STD,
    JointScore,
    JointScoreConfig,
    Reversal,
    VarianceExploding,
    shrunken_sigma_max,
)
from invbench.models.ndm import GeometricMean, NdmConfig, NdmSampler
from invbench.models.ndm_published import PredictorCorrector
from invbench.networks.paired_unet import PairedUnet, PairedUnetConfig
from invbench.seeding import generator

FILE = "diffusion/ndm.safetensors"
SMALL = PairedUnetConfig(
    size=16, channels=32, multipliers=(1, 1), blocks=1, attention_sizes=(8,), dropout=0.0
)
IMAGE = VarianceExploding(sigma_max=math.sqrt(768))
OBSERVATION = VarianceExploding(sigma_max=0.5)


class TestVarianceExploding:
    @pytest.mark.parametrize(
        ("name", "sigma_max"), [("x", math.sqrt(768)), ("y", 0.5), ("x160", math.sqrt(76800))]
    )
    def test_std_and_diffusion_are_the_published_ones(self, refs, name, sigma_max):
        tensors, process = refs(FILE), VarianceExploding(sigma_max=sigma_max)
        times = tensors["sde.t"]
        torch.testing.assert_close(process.std(times), tensors[f"sde.{name}.std"])
        torch.testing.assert_close(process.diffusion(times), tensors[f"sde.{name}.g"])

    @pytest.mark.parametrize(
        ("name", "sigma_max"), [("x", math.sqrt(768)), ("y", 0.5), ("x160", math.sqrt(76800))]
    )
    def test_increments_of_1000_scales_are_the_published_ones(self, refs, name, sigma_max):
        tensors, process = refs(FILE), VarianceExploding(sigma_max=sigma_max)
        increments = torch.tensor(process.increments(1000))
        found = increments[(999 * tensors["sde.t"]).long()].sqrt()
        # The published differences of squares are taken in single precision
        torch.testing.assert_close(found, tensors[f"sde.{name}.G_discrete"], rtol=1e-4, atol=0)

    def test_bridge_is_the_published_one(self, refs):
        tensors = refs(FILE)
        weight, std = OBSERVATION.bridge(0.5, 0.501)
        for value, name in ((weight, "mean_coef"), (std, "std")):
            expected = tensors[f"sde.y.back_{name}_tau0.001_t0.5"]
            torch.testing.assert_close(torch.tensor([value]), expected, rtol=1e-4, atol=0)

    def test_diffusion_squared_is_the_derivative_of_the_variance(self):
        step = 1e-6
        slope = (IMAGE.std(0.6 + step) ** 2 - IMAGE.std(0.6 - step) ** 2) / (2 * step)
        assert IMAGE.diffusion(0.6) ** 2 == pytest.approx(slope, rel=1e-6)

    def test_time_inverts_std(self):
        assert IMAGE.time(IMAGE.std(0.37)) == pytest.approx(0.37)

    def test_bridge_ends_with_the_variance_of_its_time(self):
        weight, std = OBSERVATION.bridge(0.4, 0.7)
        variance = ((1 - weight) * OBSERVATION.std(0.7)) ** 2 + std**2
        assert variance == pytest.approx(OBSERVATION.std(0.4) ** 2)


def test_shrinking_sigma_is_the_published_one(refs):
    tensors = refs(FILE)
    found = [
        shrunken_sigma_max(step, start=math.sqrt(76800), target=0.5, steps=250_000)
        for step in tensors["vscmde.steps"].tolist()
    ]
    torch.testing.assert_close(
        torch.tensor(found), tensors["vscmde.sigma_max_y"], rtol=1e-6, atol=0
    )


class TestJointScore:
    def test_is_the_published_one(self, refs):
        tensors = refs(FILE)
        network = PairedUnet(SMALL).eval()
        network.load_state_dict(
            {key[3:]: value.float() for key, value in tensors.items() if key.startswith("sd.")}
        )
        score = JointScore(network, score_config())
        with torch.no_grad():
            found = score(tensors["fwd.x"], tensors["fwd.y"], tensors["score.t"])
        for part, name in zip(found, "xy", strict=True):
            expected = tensors[f"score.{name}"]
            torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())

    def test_untrained_preconditioned_score_is_that_of_a_gaussian(self):
        network = PairedUnet(SMALL).eval()
        score = JointScore(network, score_config(preconditioning="gaussian"))
        images, times = 5 * torch.randn(2, 3, 16, 16), torch.tensor([0.2, 0.9])
        with torch.no_grad():
            found, _ = score(images, images, times)
        variance = IMAGE.std(times)[:, None, None, None] ** 2 + PIXEL_STD**2
        torch.testing.assert_close(found, (PIXEL_MEAN - images) / variance, rtol=1e-3, atol=1e-3)

    def test_untrained_score_about_the_observation_is_that_of_a_gaussian_about_it(self):
        network = PairedUnet(replace(SMALL, observation_channels=1)).eval()
        config = replace(score_config(preconditioning="observation"), image_std=0.1)
        images, gray = torch.randn(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
        times = torch.tensor([0.2, 0.9])
        with torch.no_grad():
            found, of_gray = JointScore(network, config)(images, gray, times)
        noise, spread = (
            process.std(times)[:, None, None, None] for process in (IMAGE, OBSERVATION)
        )
        variance = noise**2 + 0.1**2 + spread**2
        torch.testing.assert_close(found, (gray - images) / variance, rtol=1e-3, atol=1e-3)
        expected = (PIXEL_MEAN - gray) / (PIXEL_STD**2 + spread**2)
        torch.testing.assert_close(of_gray, expected, rtol=1e-2, atol=1e-2)

    def test_preconditioned_network_reads_images_of_unit_variance(self):
        read = []

        def network(images, observation, labels):
            read.append((images, labels))
            return torch.zeros_like(images), observation

        score = JointScore(network, score_config(preconditioning="gaussian"))
        images = PIXEL_MEAN + 10 * torch.randn(1, 3, 64, 64)
        score(images, images, torch.tensor([IMAGE.time(10.0)]))
        ((images, labels),) = read
        assert (2 * images - 1).std().item() == pytest.approx(1, rel=0.05)
        assert labels.item() == pytest.approx(999 * IMAGE.time(10.0))


def score_config(**changes):
    return JointScoreConfig(network=SMALL, image=IMAGE, observation=OBSERVATION, **changes)


def toy_score(images, beside, times):
    return -(images - beside) / (IMAGE.std(times)[:, None, None, None] ** 2 + 0.1)


def toy_reversal(observation, noise):
    return Reversal(toy_score, observation, IMAGE, OBSERVATION, noise)


class TestPublishedSampler:
    RUNS = (
        ("pc_N10", {"scales": 10}),
        ("pc_N1000_p10", {"scales": 1000}),
        ("pc_path_N10", {"scales": 10, "path": True}),
        ("p_only_N10", {"scales": 10, "corrector": False}),
    )

    @staticmethod
    def sample(tensors, tag, **changes):
        draws = iter(tensors[f"{tag}.noise"])
        options = PredictorCorrector(steps=10, norm="batch", **changes)
        reversal = toy_reversal(tensors["fwd.y"][:1, :, :8, :8], lambda _: next(draws)[None])
        found = options.sample(reversal)
        assert next(draws, None) is None
        return found

    @pytest.mark.parametrize(("tag", "changes"), RUNS)
    def test_whole_run_is_the_published_one(self, refs, tag, changes):
        tensors = refs(FILE)
        found = self.sample(tensors, tag, official=True, **changes)
        drawn = torch.tensor(len(tensors[f"{tag}.noise"]))
        assert torch.equal(drawn, tensors[f"{tag}.n_draws"])
        expected = tensors[f"{tag}.x_out"]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * expected.abs().max() + 1e-6)

    def test_published_increments_leave_noise_in_few_steps_and_repaired_ones_do_not(self, refs):
        tensors = refs(FILE)
        published = self.sample(tensors, "pc_N1000_p10", official=True)
        repaired = self.sample(tensors, "pc_N1000_p10", official=False)
        assert published.std() > 20
        assert repaired.std() < 1

    def test_repair_changes_nothing_where_steps_are_scales(self, refs):
        tensors = refs(FILE)
        published, repaired = (
            self.sample(tensors, "pc_N10", scales=10, official=official)
            for official in (True, False)
        )
        torch.testing.assert_close(published, repaired)

    @pytest.mark.parametrize("norm", ["image", "batch"])
    def test_samples_depend_on_their_batch_only_with_norms_over_it(self, norm):
        observation = torch.rand(2, 3, 8, 8)
        draws = torch.randn(2, 60, 3, 8, 8)
        options = PredictorCorrector(steps=10, norm=norm)

        def sample(rows):
            noise = iter(draws[rows].unbind(1))
            reversal = toy_reversal(observation[rows], lambda _: next(noise))
            return options.sample(reversal)

        alone, together = sample([0]), sample([0, 1])[:1]
        assert torch.allclose(alone, together, atol=1e-5) is (norm == "image")


class OneHotNoise:
    """Give row k a one in draw k and zeros elsewhere.

    Rows of a linear sampler's result are then its weights of the draws, and the sum of their
    squares is its exact variance.
    """

    def __init__(self, draws):
        self.draws = draws
        self.index = 0

    def __call__(self, shape):
        noise = torch.zeros(self.draws, *shape, dtype=torch.float64)
        noise[self.index].view(-1)[0] = 1
        self.index += 1
        return noise


def spread(sampling, *, std, sigma_min=5e-3):
    """Return the std of samples drawn with the exact score of N(0, std^2), over ``std``."""
    image = VarianceExploding(sigma_min=sigma_min, sigma_max=50.0)

    def score(images, _, times):
        return -images / (std**2 + image.std(times.double())[:, None, None, None] ** 2)

    draws = 1 + 4 * sampling.steps
    nothing = torch.zeros(draws, 3, 1, 1, dtype=torch.float64)
    samples = sampling.sample(Reversal(score, nothing, image, OBSERVATION, OneHotNoise(draws)))
    return samples[:, 0].square().sum().sqrt().item() / std


class TestSpread:
    """Exact variances; the expected numbers come from recursions evaluated elsewhere."""

    @pytest.mark.parametrize(("steps", "expected"), [(10, 1.07), (20, 1.01), (25, 1.005)])
    @pytest.mark.parametrize("std", [0.05, 0.1, 0.25])
    def test_geometric_mean_is_right_within_two_percent_of_20_steps(self, steps, expected, std):
        found = spread(GeometricMean(steps=steps), std=std)
        assert found == pytest.approx(expected, abs=0.01)

    @pytest.mark.parametrize(("steps", "low", "high"), [(10, 1.71, 1.73), (25, 1.19, 1.21)])
    @pytest.mark.parametrize("std", [0.05, 0.1, 0.25])
    def test_reverse_diffusion_is_too_wide(self, steps, low, high, std):
        options = PredictorCorrector(steps=steps, corrector=False)
        found = spread(options, std=std, sigma_min=0.01)
        assert low <= round(found, 2) <= high

    def test_geometric_mean_variance_follows_its_recursion(self):
        std, steps = 0.25, 25
        grid = [0.01 * 5000 ** (k / (steps - 1)) for k in range(steps)]
        variance = grid[-1] ** 2
        for k in reversed(range(steps)):
            upper, lower = grid[k], grid[k - 1] if k else 0.0
            removed = upper**2 - lower**2
            variance *= (1 - removed / (std**2 + upper**2)) ** 2
            variance += lower / upper * removed
        found = spread(GeometricMean(steps=steps), std=std)
        assert found == pytest.approx(math.sqrt(variance) / std, rel=1e-6)


class TestNdmSampler:
    @pytest.fixture
    def network(self):
        network = PairedUnet(SMALL).eval().requires_grad_(requires_grad=False)
        noise = generator(0)
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=noise))
        return network

    @pytest.mark.parametrize(
        "sampling",
        [
            GeometricMean(steps=4),
            PredictorCorrector(steps=4),
            PredictorCorrector(steps=4, path=True),
        ],
    )
    def test_sample_does_not_depend_on_its_batch(self, network, sampling):
        sampler = NdmSampler(network, small_config(sampling))
        observation = torch.rand(3, 3, 16, 16)
        together = sampler(observation, [generator(k) for k in range(3)])
        for k in range(3):
            alone = sampler(observation[k : k + 1], [generator(k)])
            torch.testing.assert_close(alone[0], together[k], rtol=0, atol=1e-4)

    def test_seed_changes_the_sample(self, network):
        sampler = NdmSampler(network, small_config(GeometricMean(steps=4)))
        first, second = sampler(
            torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1), [generator(0), generator(1)]
        )
        assert not torch.equal(first, second)

    def test_super_resolution_repeats_the_observation(self, network):
        config = replace(small_config(GeometricMean(steps=2)), enlargement=4)
        samples = NdmSampler(network, config)(torch.rand(1, 3, 4, 4), [generator(0)])
        assert samples.shape == (1, 3, 16, 16)
        assert samples.min() >= 0
        assert samples.max() <= 1

    @pytest.mark.parametrize(
        "sampling",
        [
            GeometricMean(steps=3),
            PredictorCorrector(steps=3),
            PredictorCorrector(steps=3, corrector=False),
        ],
    )
    def test_nfe_counts_the_network_evaluations(self, sampling):
        calls = []

        def network(images, observation, _):
            calls.append(len(images))
            return torch.zeros_like(images), observation

        sampler = NdmSampler(network, small_config(sampling))
        sampler(torch.rand(1, 3, 16, 16), [generator(0)])
        assert len(calls) == sampler.nfe


def small_config(sampling):
    return NdmConfig(score=score_config(), enlargement=1, sampling=sampling)


class TestConfigurations:
    @pytest.mark.parametrize("task", ["sr16", "colorization", "decompression"])
    def test_tiny_network_fits_into_four_megabytes_of_halves(self, task):
        with torch.device("meta"):
            network = METHOD.build(configure_ndm(task, "tiny"))
        assert sum(2 * value.numel() for value in network.parameters()) < 4_000_000

    def test_official_configuration_is_not_preconditioned_and_follows_the_rule_of_distances(self):
        score = configure_ndm("sr16", "official").score
        assert score.preconditioning == "none"
        assert score.image.sigma_max == pytest.approx(math.sqrt(3 * 512 * 512))

    def test_colorization_observes_one_channel(self):
        config = configure_ndm("colorization", "tiny")
        with torch.device("meta"):
            network = METHOD.build(config)
        assert network.all_modules[2].weight.shape[1] == 4 * config.score.network.patch**2

    def test_how_to_sample_does_not_enter_the_identity_of_weights(self):
        config = configure_ndm("sr16", "tiny")
        other = replace(config, sampling=PredictorCorrector())
        assert METHOD.network_config(config) == METHOD.network_config(other)

    @pytest.mark.parametrize(("task", "name"), [("sr17", "tiny"), ("sr16", "huge")])
    def test_unknown_names_are_refused(self, task, name):
        with pytest.raises(UnknownNameError, match=r"did you mean|known"):
            configure_ndm(task, name)


def test_published_checkpoints_are_renamed_to_our_keys():
    network = PairedUnet(SMALL)
    own = network.state_dict()
    lightning = {f"score_model.module.{key}": value for key, value in own.items()}
    lightning |= {"sigma_max_y": torch.tensor(0.5), "sigma_min_y": torch.tensor(0.005)}
    renamed = rename_official(lightning)
    network.load_state_dict(renamed)
    assert list(renamed) == list(own)
    assert list(rename_official(own)) == list(own)
