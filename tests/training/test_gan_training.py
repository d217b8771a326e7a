"""Training steps of BicycleGAN, MSGAN and DivCo."""

import math

import pytest
import torch
from gan_references import (
    make_pairs,
    part,
    record_gradients,
    record_passes,
    same_gradients,
    seeded,
)

from invbench.errors import MissingDataError
from invbench.models.gan import build_unet, configure_unet
from invbench.networks.unet import InputUnet, Unet, UnetConfig
from invbench.training import bicyclegan, divco, monce, msgan
from invbench.training.bicyclegan import BicycleLearner, BicycleOptions, LatentRegression
from invbench.training.divco import LatentContrast
from invbench.training.gan import generate_with, real_and_fake_loss
from invbench.training.msgan import MsganLearner, MsganOptions
from invbench.training.pairs import InvalidOptionsError
from invbench.training.players import Players

NAMES = {"G": "generator", "E": "encoder", "D": "discriminator", "D2": "discriminator2"}
SMALL = {"encoder_channels": 2, "discriminator_channels": 2, "discriminator_layers": 2}


def randomize(network, scale=0.2):
    for weights in network.parameters():
        weights.data.normal_(0, 1, generator=seeded(1)).mul_(scale)
    return network


def tiny_unet(depth=6):
    return randomize(Unet(UnetConfig(depth=depth, channels=2)))


def bicycle(**changes):
    options = BicycleOptions(**{**SMALL, **changes})
    learner = BicycleLearner(tiny_unet(), make_pairs(64), options, seed=0)
    for name, network in learner.players.networks.items():
        if name != "generator":
            randomize(network)
    return learner


def fill(learner, tensors):
    for letter, name in NAMES.items():
        if weights := part(tensors, f"init/{letter}/"):
            learner.players.networks[name].load_state_dict(weights)


def same_weights(learner, tensors):
    """Compare the weights after the step; Adam's first step is the gradient's sign, see atol."""
    compared = 0
    for letter, name in NAMES.items():
        weights = (
            learner.players.networks[name].state_dict() if part(tensors, f"after/{letter}/") else {}
        )
        for key, value in part(tensors, f"after/{letter}/").items():
            gradient = part(tensors, f"grad/{letter}/") or part(tensors, f"grad_total/{letter}/")
            torch.testing.assert_close(weights[key], value, atol=4.1e-4, rtol=0)
            if key in gradient:
                moved = torch.where(gradient[key].abs() > 1e-4, weights[key], value)
                torch.testing.assert_close(moved, value, atol=1e-6, rtol=0)
            compared += 1
    assert compared


def same_pass(passes, tensors, second):
    """Compare what generator and encoder read and gave in a step of BicycleGAN or DivCo."""
    ((_, codes), fakes), *_ = passes["generator"]
    (_, (mean, log_variance)), (_, (recovered, _)) = passes["encoder"]
    found = {
        "mu": mean,
        "logvar": log_variance,
        "z_encoded": codes[:1],
        "fake_B_encoded": fakes[:1],
        second: fakes[1:2],
        "mu2": recovered,
    }
    for name, ours in found.items():
        torch.testing.assert_close(ours.detach(), tensors[f"fwd/{name}"], atol=1e-5, rtol=0)


def value(loss):
    return float(loss.detach())


class TestBicycleStep:
    def run(self, refs):
        tensors = refs("gans/bicycle_step.safetensors")
        learner = BicycleLearner(tiny_unet(7), make_pairs(128), BicycleOptions(**SMALL), seed=0)
        fill(learner, tensors)
        gradients, passes = record_gradients(learner), record_passes(learner)
        losses = learner.update(
            tensors["in/A"],
            tensors["in/B"],
            epsilon=tensors["in/eps_encode"],
            z=tensors["in/z_random"][None],
            progress=0.0,
        )
        same_pass(passes, tensors, "fake_B_random")
        return tensors, learner, gradients, losses

    def test_matches_the_original(self, refs):
        tensors, learner, gradients, losses = self.run(refs)
        names = {
            "gan": "G_GAN",
            "gan2": "G_GAN2",
            "l1": "G_L1",
            "kl": "kl",
            "latent": "z_L1",
            "discriminator": "D",
            "discriminator2": "D2",
        }
        for ours, theirs in names.items():
            expected = tensors[f"loss/{theirs}"]
            torch.testing.assert_close(losses[ours].detach(), expected, atol=0, rtol=1e-4)
        for letter in ("G", "D", "D2"):
            same_gradients(gradients[NAMES[letter]], part(tensors, f"grad_total/{letter}/"))
        same_weights(learner, tensors)

    def test_gradient_before_latent_regression_matches_the_original(self, refs, monkeypatch):
        found, backward = [], Players.backward

        def record(players, *given, **options):
            backward(players, *given, **options)
            named = players.networks["generator"].named_parameters()
            found.append({key: one.grad.clone() for key, one in named if one.grad is not None})

        monkeypatch.setattr(Players, "backward", record)
        tensors, *_ = self.run(refs)
        same_gradients(found[0], part(tensors, "grad_EG/G/"))

    def test_latent_regression_does_not_move_the_encoder(self, refs):
        tensors, _, gradients, _ = self.run(refs)
        same_gradients(gradients["encoder"], part(tensors, "grad_EG/E/"))

    def differing_losses(self, *steps):
        """Return the names of the losses in which two steps from the same state differ."""
        learner = bicycle()
        state = learner.players.state_dict()
        found = []
        for given, z in steps:
            learner.players.load_state_dict(state)
            losses = learner.update(given, given, epsilon=torch.ones(1, 8), z=z, progress=1.0)
            found.append({name: value(loss) for name, loss in losses.items()})
        return {name for name in found[0] if found[0][name] != found[1][name]}

    def test_second_half_only_shows_what_is_real(self):
        first, second, third = torch.rand(3, 3, 64, 64, generator=seeded(0)) * 2 - 1
        codes = torch.ones(1, 1, 8)
        differing = self.differing_losses(
            (torch.stack([first, second]), codes), (torch.stack([first, third]), codes)
        )
        assert differing == {"discriminator2"}

    def test_random_codes_touch_their_own_losses_only(self):
        given = torch.rand(2, 3, 64, 64, generator=seeded(0)) * 2 - 1
        codes = torch.ones(1, 1, 8)
        differing = self.differing_losses((given, codes), (given, -codes))
        assert differing == {"gan2", "latent", "discriminator2"}

    def test_latent_losses_reach_the_generator_only(self):
        gradients = []
        for weight in (0.0, 5.0):
            learner = bicycle(latent=LatentRegression(weight=weight))
            gradients.append(record_gradients(learner))
            learner.step(0.0)
        first, second = gradients
        assert all(
            torch.equal(first["encoder"][key], second["encoder"][key]) for key in first["encoder"]
        )
        assert any(
            not torch.equal(first["generator"][key], second["generator"][key])
            for key in first["generator"]
        )

    def test_losses_of_a_discriminator_that_says_nothing(self):
        learner = bicycle()
        for name in ("discriminator", "discriminator2"):
            randomize(learner.players.networks[name], scale=0)
        losses = learner.step(0.0)
        names = ("gan", "gan2", "discriminator", "discriminator2")
        assert [losses[name] for name in names] == [2.0] * 4

    def test_kl_reduction_makes_the_weight_independent_of_the_batch(self):
        totals = {}
        for reduction in ("mean", "sum"):
            learner = bicycle(batch_size=4, kl_reduction=reduction)
            totals[reduction] = learner.step(0.0)["kl"]
        assert totals["sum"] == pytest.approx(2 * totals["mean"])

    @pytest.mark.parametrize(
        "changes",
        [
            {"conditional": True},
            {"shared_discriminator": True},
            {"dropout": True},
            {"encoder_form": "plain"},
            {"gan_mode": "vanilla"},
        ],
    )
    def test_options_change_the_step(self, changes):
        losses = []
        for learner in (bicycle(), bicycle(**changes)):
            learner.step(0.0)
            losses.append(learner.step(0.0))
        assert all(math.isfinite(loss) for loss in losses[1].values())
        assert losses[0] != losses[1]

    def test_shared_discriminator_learns_from_both_parts(self):
        learner, twin = (bicycle(shared_discriminator=True) for _ in range(2))
        assert set(learner.players.networks) == {"generator", "encoder", "discriminator"}
        gradients = record_gradients(learner)
        given = torch.rand(2, 3, 64, 64) * 2 - 1
        noise, codes = torch.ones(1, 8), -torch.ones(1, 1, 8)
        with torch.no_grad():
            mean, log_variance = twin.players.networks["encoder"](given[:1])
            encoded = twin.network(given[:1], bicyclegan.reparameterize(mean, log_variance, noise))
            random = twin.network(given[:1], codes[0])
        learner.update(given, given, epsilon=noise, z=codes, progress=0.0)
        judge = twin.players.networks["discriminator"]
        expected = sum(
            real_and_fake_loss(judge, real[None], fake)
            for real, fake in zip(given, (encoded, random), strict=True)
        )
        expected.backward()
        theirs = {key: tensor.grad for key, tensor in judge.named_parameters()}
        same_gradients(gradients["discriminator"], theirs)


class TestMsganStep:
    @pytest.mark.parametrize(("floor", "weight"), [(1e-5, 1.0), (0.25, 1.0), (0.25, 2.0)])
    def test_floor_bounds_the_regularizer_where_codes_do_not_show(self, floor, weight):
        options = MsganOptions(
            batch_size=2,
            mode_seeking_floor=floor,
            mode_seeking_weight=weight,
            discriminator_channels=2,
            discriminator_layers=2,
        )
        learner = MsganLearner(tiny_unet(), make_pairs(64), options, seed=0)
        randomize(learner.network, scale=0)
        assert learner.step(0.0)["mode_seeking"] == pytest.approx(weight / floor)

    def test_losses_of_a_discriminator_that_says_nothing(self):
        options = MsganOptions(batch_size=2, discriminator_channels=2, discriminator_layers=2)
        learner = MsganLearner(tiny_unet(), make_pairs(64), options, seed=0)
        randomize(learner.players.networks["discriminator"], scale=0)
        losses = learner.step(0.0)
        assert (losses["gan"], losses["discriminator"]) == (4.0, 4.0)

    def test_matches_the_original(self, refs):
        tensors = refs("gans/msgan_step.safetensors")
        options = MsganOptions(batch_size=2, discriminator_channels=2, discriminator_layers=2)
        learner = MsganLearner(tiny_unet(7), make_pairs(128), options, seed=0)
        fill(learner, tensors)
        gradients, passes = record_gradients(learner), record_passes(learner)
        losses = learner.update(
            tensors["in/A"],
            tensors["in/B"],
            z=torch.stack([tensors["in/z_random1"], tensors["in/z_random2"]]),
            progress=0.0,
        )
        ((_, fakes),) = passes["generator"]
        for index, ours in enumerate(fakes.detach().chunk(2), start=1):
            expected = tensors[f"fwd/fake_B_random{index}"]
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
        total = losses["gan"] + losses["l1"] + losses["mode_seeking"]
        torch.testing.assert_close(total.detach(), tensors["loss/G"], atol=0, rtol=1e-4)
        names = {"gan": "G_GAN", "l1": "G_L1", "mode_seeking": "lz", "discriminator": "D"}
        for ours, theirs in names.items():
            expected = tensors[f"loss/{theirs}"]
            torch.testing.assert_close(losses[ours].detach(), expected, atol=0, rtol=1e-4)
        for letter in ("G", "D"):
            same_gradients(gradients[NAMES[letter]], part(tensors, f"grad/{letter}/"))
        same_weights(learner, tensors)


class TestDivcoStep:
    @pytest.mark.parametrize("backward", [True, False], ids=["repaired", "official"])
    def test_matches_the_original(self, refs, backward):
        tensors = refs("gans/divco_step.safetensors")
        options = BicycleOptions(**SMALL, latent=LatentContrast(backward=backward))
        learner = BicycleLearner(tiny_unet(7), make_pairs(128), options, seed=0)
        fill(learner, tensors)
        gradients, passes = record_gradients(learner), record_passes(learner)
        queries = tensors["in/z_query"][None], tensors["in/z_pos"][None]
        losses = learner.update(
            tensors["in/A"],
            tensors["in/B"],
            epsilon=tensors["in/eps_encode"],
            z=torch.cat([*queries, tensors["in/z_negs"]]),
            progress=0.0,
        )
        same_pass(passes, tensors, "fake_B_query")
        names = {"gan": "G_GAN", "gan2": "G_GAN2", "l1": "G_L1", "kl": "kl", "contrast": "contra"}
        names["latent"] = "z_L1"
        for ours, theirs in names.items():
            expected = tensors[f"loss/{theirs}"]
            torch.testing.assert_close(losses[ours].detach(), expected, atol=0, rtol=1e-4)
        kind = "repaired" if backward else "official"
        same_gradients(gradients["generator"], part(tensors, f"grad_{kind}/G/"))
        same_gradients(gradients["encoder"], part(tensors, "grad_repaired/E/"))


LEARNERS = {
    "bicyclegan": lambda: BicycleLearner(
        tiny_unet(), make_pairs(64), BicycleOptions(**SMALL), seed=1
    ),
    "msgan": lambda: MsganLearner(
        tiny_unet(), make_pairs(64), MsganOptions(batch_size=2, discriminator_channels=2), seed=1
    ),
    "divco": lambda: BicycleLearner(
        tiny_unet(),
        make_pairs(64),
        BicycleOptions(**SMALL, latent=LatentContrast(negatives=2)),
        seed=1,
    ),
}


@pytest.mark.parametrize("method", LEARNERS)
class TestLearner:
    def test_continues_exactly_from_its_state(self, method, tmp_path):
        learner = LEARNERS[method]()
        learner.step(0.0)
        torch.save(learner.state_dict(), tmp_path / "state.pt")
        expected = [learner.step(0.6) for _ in range(2)]
        resumed = LEARNERS[method]()
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert [resumed.step(0.6) for _ in range(2)] == expected

    def test_only_a_seed_decides(self, method):
        torch.manual_seed(0)
        first = LEARNERS[method]()
        torch.manual_seed(1)
        second = LEARNERS[method]()
        assert first.step(0.0) == second.step(0.0)

    def test_moves_every_network(self, method):
        learner = LEARNERS[method]()
        before = {
            name: next(network.parameters()).detach().clone()
            for name, network in learner.players.networks.items()
        }
        learner.step(0.0)
        for name, network in learner.players.networks.items():
            assert not torch.equal(next(network.parameters()), before[name]), name

    def test_stands_still_at_the_end_of_the_run(self, method):
        learner = LEARNERS[method]()
        before = {key: tensor.clone() for key, tensor in learner.network.state_dict().items()}
        learner.step(1.0)
        for key, tensor in learner.network.state_dict().items():
            assert torch.equal(tensor, before[key])

    def test_trains_the_generator_it_was_given(self, method):
        learner = LEARNERS[method]()
        assert learner.network is learner.players.networks["generator"]


class TestAverage:
    def test_ships_the_average_and_trains_the_weights(self):
        learner = bicycle(decay=0.9)
        trained, shipped = learner.players.networks["generator"], learner.network
        before = trained.state_dict()["model.up.1.weight"].clone()
        learner.step(0.0)
        after = trained.state_dict()["model.up.1.weight"]
        # The first decay is (1 + 1) / (10 + 1)
        expected = before + (1 - 2 / 11) * (after - before)
        torch.testing.assert_close(shipped.state_dict()["model.up.1.weight"], expected)
        assert not torch.equal(after, expected)

    def test_continues_exactly(self, tmp_path):
        first, second = bicycle(decay=0.9), bicycle(decay=0.9)
        first.step(0.0)
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for learner in (first, second):
            learner.step(0.1)
        pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


class TestRefusals:
    def test_too_few_targets(self):
        with pytest.raises(MissingDataError, match="4 targets cannot fill a batch of 8"):
            MsganLearner(tiny_unet(), make_pairs(64), MsganOptions(batch_size=8), seed=0)

    def test_odd_batches_of_bicyclegan(self):
        with pytest.raises(InvalidOptionsError, match="multiple of 2"):
            BicycleLearner(tiny_unet(), make_pairs(64), BicycleOptions(batch_size=3), seed=0)

    def test_dropout_of_the_input_unet(self):
        with pytest.raises(InvalidOptionsError, match='injection="all"'):
            generate_with(InputUnet(UnetConfig(depth=6, channels=2)), seeded(0), dropout=True)


def test_dropout_masks_are_drawn_afresh():
    generator = tiny_unet()
    generate = generate_with(generator, seeded(0), dropout=True)
    images, codes = torch.rand(1, 3, 64, 64), torch.randn(1, 8)
    with torch.no_grad():
        assert not torch.equal(generate(images, codes), generate(images, codes))


def test_defaults_are_the_published_ones():
    options = bicyclegan.OPTIONS["official"]
    weights = (options.gan_weight, options.gan2_weight, options.l1_weight, options.kl_weight)
    assert weights == (1.0, 1.0, 10.0, 0.01)
    assert (options.latent, options.batch_size) == (LatentRegression(weight=0.5), 2)
    assert (options.learning_rate, options.betas) == (2e-4, (0.5, 0.999))
    contrast = divco.OPTIONS["official"].latent
    assert (contrast.weight, contrast.negatives, contrast.radius) == (0.3, 10, 0.01)
    assert (contrast.temperature, contrast.normalize, contrast.regression_weight) == (1, False, 0)
    assert msgan.OPTIONS["official"].batch_size == 1
    assert monce.OPTIONS["official"].patches == 256


@pytest.mark.parametrize("module", [bicyclegan, msgan, divco, monce])
def test_every_configuration_has_options(module):
    assert set(module.OPTIONS) == {"tiny", "small", "official"}


def test_a_whole_step_enlarges_the_observation():
    pairs = make_pairs(128, 2, operator=lambda images: images[..., ::16, ::16])
    config = configure_unet("sr16", "tiny")
    options = MsganOptions(batch_size=2, discriminator_channels=2, discriminator_layers=2)
    losses = MsganLearner(build_unet(config), pairs, options, seed=0).step(0.0)
    assert losses["mode_seeking"] > 1
