"""Learning by denoising: published losses and averages, and runs that continue exactly."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from invbench.models.diffusion import ALPHA_BARS, PriorConfig, as_denoiser
from invbench.models.multispeed import JointScore, JointScoreConfig, VarianceExploding
from invbench.models.natural import expected_noise, noise_spread
from invbench.models.ndm import NdmConfig
from invbench.networks.guided_unet import GuidedUnet, GuidedUnetConfig
from invbench.networks.paired_unet import PairedUnet, PairedUnetConfig
from invbench.training.denoising import DenoisingOptions
from invbench.training.descent import Average, Descent, DescentOptions
from invbench.training.ndm import NdmLearner, NdmOptions, joint_score_errors
from invbench.training.prior import PriorLearner, prior_loss

FILE = "diffusion/ndm.safetensors"
PAIRED = PairedUnetConfig(
    size=16, channels=32, multipliers=(1, 1), blocks=1, attention_sizes=(8,), dropout=0.0
)
SCORE = JointScoreConfig(
    network=PAIRED,
    image=VarianceExploding(sigma_max=math.sqrt(768)),
    observation=VarianceExploding(sigma_max=0.5),
)
GUIDED = GuidedUnetConfig(
    channels=32, multipliers=(1, 1), blocks=1, attention_factors=(), head_channels=32
)
QUICK = DescentOptions(learning_rate=1e-3, warm_up_steps=1)


class Pairs:
    """Two flat gray levels, observed at a quarter of the size."""

    def batch(self, size, generator):
        level = torch.randint(2, (size, 1, 1, 1), generator=generator) * 0.5 + 0.25
        return level.expand(-1, 3, 8, 8).clone(), level.expand(-1, 3, 2, 2).clone()


def prior_learner(seed=0, *, preconditioning="none", emphasis=0.0):
    torch.manual_seed(seed)
    config = PriorConfig(network=GUIDED, preconditioning=preconditioning)
    options = DenoisingOptions(batch_size=4, descent=QUICK, emphasis=emphasis)
    return PriorLearner(GuidedUnet(GUIDED), Pairs(), config, options, seed=seed)


def ndm_learner(seed=0, *, dropout=0.0, **options):
    torch.manual_seed(seed)
    network = replace(PAIRED, size=8, attention_sizes=(), dropout=dropout)
    config = NdmConfig(score=replace(SCORE, network=network), enlargement=4)
    chosen = NdmOptions(batch_size=4, descent=QUICK, **options)
    return NdmLearner(PairedUnet(network), Pairs(), config, chosen, seed=seed)


LEARNERS = {
    "prior": prior_learner,
    "ndm": ndm_learner,
    "ndm with dropout": lambda seed=0: ndm_learner(seed, dropout=0.3),
    "ndm with shrinking noise": lambda seed=0: ndm_learner(
        seed, first_sigma_max=10.0, shrinking_steps=10
    ),
}


class TestLosses:
    @pytest.fixture
    def published(self, refs):
        tensors = refs(FILE)
        network = PairedUnet(PAIRED).eval().requires_grad_(requires_grad=False)
        network.load_state_dict(
            {key[3:]: value.float() for key, value in tensors.items() if key.startswith("sd.")}
        )
        return JointScore(network, SCORE), tensors

    def test_joint_loss_is_the_published_one(self, published):
        score, tensors = published
        errors = joint_score_errors(
            score,
            tensors["fwd.x"],
            tensors["fwd.y"],
            tensors["loss.u"] * (1 - 1e-5) + 1e-5,
            noise=(tensors["loss.z_x"], tensors["loss.z_y"]),
        )
        loss = torch.cat(errors, dim=1).mean()
        torch.testing.assert_close(loss, tensors["loss.value"], rtol=1e-5, atol=0)

    def test_error_of_the_image_beside_a_clean_observation_is_the_published_one(self, published):
        score, tensors = published
        errors = joint_score_errors(
            score,
            tensors["fwd.x"],
            tensors["fwd.y"],
            tensors["cde_loss.u"] * (1 - 1e-5) + 1e-5,
            noise=(tensors["cde_loss.z_x"], torch.zeros_like(tensors["fwd.y"])),
        )
        loss = errors[0].mean()
        torch.testing.assert_close(loss, tensors["cde_loss.value"], rtol=1e-5, atol=0)

    def test_perfect_noise_costs_nothing_and_none_costs_its_variance(self):
        images, noise = torch.rand(64, 3, 8, 8) * 2 - 1, torch.randn(64, 3, 8, 8)
        times = torch.randint(1000, (64,))
        signal = ALPHA_BARS[times][:, None, None, None]

        def perfect(diffused, _):
            return (diffused - signal.sqrt() * images) / (1 - signal).sqrt()

        assert prior_loss(perfect, images, times, noise) < 1e-6
        silent = prior_loss(lambda diffused, _: 0 * diffused, images, times, noise)
        assert silent == pytest.approx(noise.square().mean())

    @pytest.mark.parametrize("time", [0, 100, 500, 999])
    def test_with_emphasis_the_output_of_a_preconditioned_network_counts_alike(self, time):
        images, noise = torch.rand(8, 3, 8, 8) * 2 - 1, torch.randn(8, 3, 8, 8)
        times, signal = torch.full((8,), time), ALPHA_BARS[time].double()
        spread = noise_spread(signal.expand(1, 1, 1, 1), 8, 8)

        def off_by_a_tenth(diffused, _):
            return (noise.double() - expected_noise(diffused, signal)) / spread + 0.1

        denoiser = as_denoiser(off_by_a_tenth, preconditioning="natural")
        loss = prior_loss(denoiser, images.double(), times, noise.double(), emphasis=1.0)
        assert loss.item() == pytest.approx(0.01, rel=1e-3)


class TestAverage:
    def test_trace_is_the_published_one(self, refs):
        expected = refs(FILE)["ema.trace_decay0.999_params_1to20"]
        network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(network.weight)
        average, found = Average(network, 0.999), []
        for value in range(1, 21):
            nn.init.constant_(network.weight, value)
            average.update(network)
            found.append(average.network.weight.item())
        torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-6, atol=0)

    def test_learner_offers_the_average_and_trains_the_other(self):
        learner = prior_learner()
        learner.step(0.0)
        learner.step(0.0)
        own, trained = learner.network.state_dict(), learner.descent.network.state_dict()
        assert not any(parameter.requires_grad for parameter in learner.network.parameters())
        assert not learner.network.training
        assert any(not torch.equal(own[key], trained[key]) for key in own)


class TestDescent:
    @pytest.mark.parametrize(
        ("steps", "progress", "expected"),
        [
            (0, 0.0, 0.1),
            (4, 0.0, 0.5),
            (9, 0.0, 1.0),
            (20, 0.5, 1.0),
            (20, 0.75, 0.5),
            (20, 1.0, 0),
        ],
    )
    def test_rate_rises_stays_and_falls_to_zero(self, steps, progress, expected):
        network = nn.Linear(1, 1)
        descent = Descent(network, DescentOptions(learning_rate=1.0, warm_up_steps=10), seed=0)
        descent.average.updates = steps
        descent.step(network(torch.ones(1, 1)).sum(), progress)
        (group,) = descent.optimizer.param_groups
        assert group["lr"] == pytest.approx(expected)

    def test_gradients_are_clipped(self):
        network = nn.Linear(1, 1, bias=False)
        descent = Descent(network, DescentOptions(clip_norm=0.5), seed=0)
        descent.step(1000 * network(torch.ones(1, 1)).sum(), 0.0)
        assert network.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


class TestLearners:
    @pytest.mark.parametrize("name", LEARNERS)
    def test_run_continues_exactly_from_its_state(self, name):
        straight = LEARNERS[name]()
        for _ in range(2):
            straight.step(0.1)
        file = io.BytesIO()
        torch.save(straight.state_dict(), file)
        file.seek(0)
        resumed = LEARNERS[name](seed=1)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        for _ in range(2):
            assert straight.step(0.6) == resumed.step(0.6)
        for part in ("network", "average"):
            states = (each.state_dict()[part] for each in (straight, resumed))
            expected, found = (state.get("network", state) for state in states)
            assert all(torch.equal(expected[key], found[key]) for key in expected)

    @pytest.mark.parametrize("name", LEARNERS)
    def test_seed_decides_the_run_whatever_else_draws(self, name):
        first, second = LEARNERS[name](), LEARNERS[name]()
        expected = [first.step(0.0) for _ in range(3)]
        found = []
        for _ in range(3):
            torch.rand(5)
            found.append(second.step(0.0))
        assert found == expected

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, (0.9, 1.1)),  # the variance of the noise
            ({"preconditioning": "natural"}, (0.02, 0.1)),  # of what flat images hide of it
            ({"preconditioning": "natural", "emphasis": 1.0}, (0.5, 1.5)),  # in units of spread
        ],
    )
    def test_an_untrained_prior_knows_what_its_options_say(self, options, expected):
        learner = prior_learner(**options)
        with torch.no_grad():
            for parameter in learner.descent.network.parameters():
                parameter.zero_()
        learner.descent.options = replace(QUICK, learning_rate=0.0)
        losses = [learner.step(0.0)["loss"] for _ in range(40)]
        assert expected[0] < sum(losses) / 40 < expected[1]

    @pytest.mark.parametrize("name", ["prior", "ndm"])
    def test_loss_falls(self, name):
        learner = LEARNERS[name]()
        losses = [learner.step(0.0)["loss"] for _ in range(60)]
        assert sum(losses[-20:]) < 0.8 * sum(losses[:20])

    def test_dropout_leaves_the_global_generator_alone(self):
        learner = ndm_learner(dropout=0.3)
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        learner.step(0.0)
        assert torch.rand(1) == expected

    def test_shrinking_noise_starts_wide_and_ends_at_the_configured_width(self):
        learner = ndm_learner(first_sigma_max=10.0, shrinking_steps=4)
        assert learner.current_config().observation.sigma_max == 10.0
        for _ in range(4):
            learner.step(0.0)
        assert learner.current_config().observation.sigma_max == pytest.approx(0.5)
