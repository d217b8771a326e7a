"""Losses of BicycleGAN, MSGAN and DivCo, and the optimizers behind them."""

import math

import pytest
import torch
from gan_references import seeded

from invbench.training.bicyclegan import kl_divergence, reparameterize
from invbench.training.divco import (
    LatentContrast,
    contrastive_loss,
    draw_negative,
    draw_positive,
)
from invbench.training.gan import GanOptions, gan_loss, real_and_fake_loss
from invbench.training.msgan import mode_seeking_loss, mode_seeking_ratio
from invbench.training.players import Players


def value(loss):
    return float(loss.detach())


class TestGanLoss:
    def test_sums_means_over_scales(self):
        maps = [torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[3.0]]]])]
        assert value(gan_loss(maps, real=True)) == pytest.approx((1 + 1) / 2 + 4)
        assert value(gan_loss(maps, real=False)) == pytest.approx((0 + 4) / 2 + 9)

    def test_vanilla_is_cross_entropy(self):
        logit = torch.tensor([0.7])
        sigmoid = 1 / (1 + math.exp(-0.7))
        found = [value(gan_loss([logit], real=real, mode="vanilla")) for real in (True, False)]
        assert found == pytest.approx([-math.log(sigmoid), -math.log(1 - sigmoid)])

    def test_wgan_is_the_signed_mean(self):
        logits = torch.tensor([1.0, 3.0])
        assert value(gan_loss([logits], real=True, mode="wgan")) == -2
        assert value(gan_loss([logits], real=False, mode="wgan")) == 2

    @pytest.mark.parametrize("mode", ["lsgan", "vanilla", "wgan"])
    @pytest.mark.parametrize("kind", ["real", "fake"])
    def test_matches_the_original(self, refs, mode, kind):
        tensors = refs("gans/bicycle_losses.safetensors")
        original = {"wgan": "wgangp"}.get(mode, mode)
        maps = [tensors["in/pred0"], tensors["in/pred1"]]
        ours = gan_loss(maps, real=kind == "real", mode=mode)
        torch.testing.assert_close(ours, tensors[f"out/{original}_{kind}_list"])
        bare = gan_loss(list(tensors["in/pred0"]), real=kind == "real", mode=mode)
        quirk = tensors[f"out/{original}_{kind}_singletensor_summed_over_batch"]
        torch.testing.assert_close(bare, quirk)

    def test_discriminator_does_not_teach_the_generator(self):
        fake = torch.rand(1, 1, 4, 4, requires_grad=True)
        judge = torch.nn.Conv2d(1, 1, 1)
        loss = real_and_fake_loss(lambda images: [judge(images)], torch.rand(1, 1, 4, 4), fake)
        loss.backward()
        assert fake.grad is None
        assert judge.weight.grad is not None


class TestCodes:
    def test_kl_of_a_standard_normal_is_zero(self):
        assert torch.equal(kl_divergence(torch.zeros(3, 8), torch.zeros(3, 8)), torch.zeros(3))

    def test_kl_is_that_of_torch_distributions(self):
        mean, log_variance = torch.randn(4, 8), torch.randn(4, 8)
        ours = kl_divergence(mean, log_variance)
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
        theirs = torch.distributions.kl_divergence(posterior, prior).sum(dim=1)
        torch.testing.assert_close(ours, theirs)

    def test_codes_have_the_encoded_mean_and_variance(self):
        noise = torch.randn(100_000, 1, generator=seeded(0))
        codes = reparameterize(torch.tensor([3.0]), torch.tensor([math.log(4.0)]), noise)
        assert float(codes.mean()) == pytest.approx(3, abs=0.02)
        assert float(codes.var()) == pytest.approx(4, rel=0.02)

    def test_matches_the_original(self, refs):
        tensors = refs("gans/bicycle_losses.safetensors")
        mean, log_variance = tensors["in/mu"], tensors["in/logvar"]
        divergence = 0.01 * kl_divergence(mean, log_variance).sum()
        torch.testing.assert_close(divergence, tensors["out/kl_weighted_0.01"])
        codes = reparameterize(mean, log_variance, tensors["in/eps"])
        torch.testing.assert_close(codes, tensors["out/z_reparam"])


class TestPlayers:
    def make(self, **changes):
        networks = {"first": torch.nn.Linear(2, 1), "second": torch.nn.Linear(2, 1)}
        return Players(networks, GanOptions(learning_rate=1e-3, **changes))

    def test_gradient_goes_to_the_named_networks_only(self):
        players = self.make()
        out = sum(network(torch.ones(1, 2)).sum() for network in players.networks.values())
        players.backward({"out": out}, "second")
        assert players.networks["first"].weight.grad is None
        assert players.networks["second"].weight.grad is not None

    @pytest.mark.parametrize(
        ("progress", "rate"), [(0.0, 1e-3), (0.5, 1e-3), (0.75, 5e-4), (1.0, 0.0)]
    )
    def test_rate_is_constant_then_falls_to_zero(self, progress, rate):
        players = self.make()
        players.step("first", progress=progress)
        assert players.optimizers["first"].param_groups[0]["lr"] == pytest.approx(rate)

    def test_rate_rises_over_the_first_steps_of_the_generator(self):
        players = self.make(warm_up_steps=4)
        players.networks["generator"] = players.networks.pop("first")
        players.optimizers["generator"] = players.optimizers.pop("first")
        rates = []
        for _ in range(5):
            for name in ("generator", "second"):
                players.step(name, progress=0)
            rates.append(players.optimizers["generator"].param_groups[0]["lr"])
        assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])

    def test_gradients_are_cleared_after_a_step(self):
        players = self.make()
        out = players.networks["first"](torch.ones(1, 2)).sum()
        players.descend({"out": out}, "first", progress=0)
        assert players.networks["first"].weight.grad is None


class TestModeSeeking:
    def test_ratio_by_hand(self):
        images = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.2, 0.6]]).reshape(2, 1, 3, 1, 1)
        codes = torch.tensor([[[0.0, 1.0]], [[2.0, 0.0]]])
        assert value(mode_seeking_ratio(images, codes)) == pytest.approx(0.3 / 1.5)
        assert value(mode_seeking_loss(images, codes)) == pytest.approx(1 / (0.2 + 1e-5))
        assert value(mode_seeking_loss(images, codes, floor=0.3)) == pytest.approx(2)

    def test_is_a_ratio_of_means(self):
        images = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).reshape(2, 2, 1, 1, 1)
        codes = torch.tensor([[[0.0], [0.0]], [[1.0], [3.0]]])
        assert value(mode_seeking_ratio(images, codes)) == pytest.approx(0.5)

    def test_matches_the_original(self, refs):
        tensors = refs("gans/msgan_losses.safetensors")
        images = torch.stack([tensors["in/fake1"], tensors["in/fake2"]])
        codes = torch.stack([tensors["in/z1"], tensors["in/z2"]])
        torch.testing.assert_close(mode_seeking_ratio(images, codes), tensors["out/ratio"])
        torch.testing.assert_close(mode_seeking_loss(images, codes), tensors["out/loss_lz"])


class TestContrastOfCodes:
    def test_by_hand(self):
        recovered = torch.tensor([[[1.0, 0.0]], [[2.0, 1.0]], [[0.0, 3.0]], [[-1.0, 5.0]]])
        scores = [2.0, 0.0, -1.0]
        expected = -math.log(math.exp(2) / sum(map(math.exp, scores)))
        assert value(contrastive_loss(recovered)[0]) == pytest.approx(expected)

    def test_is_zero_where_only_the_positive_agrees(self):
        recovered = torch.tensor([[[9.0, 0.0]], [[9.0, 0.0]], [[-9.0, 0.0]]])
        assert value(contrastive_loss(recovered)[0]) == pytest.approx(0)

    @pytest.mark.parametrize("normalize", [False, True])
    @pytest.mark.parametrize("temperature", [1.0, 0.07])
    def test_matches_the_original(self, refs, normalize, temperature):
        tensors = refs("gans/divco_losses.safetensors")
        name = f"out/loss_contra_weighted0.3_featnorm{normalize:d}_tau{temperature}"
        term = LatentContrast(normalize=normalize, temperature=temperature, reduction="sum")
        recovered = tensors["in/mu2"].unflatten(0, (12, 2))
        ours = term.losses(recovered, torch.zeros_like(recovered))["contrast"]
        torch.testing.assert_close(ours, tensors[name], atol=1e-5, rtol=1e-4)

    def test_positives_lie_within_the_radius_and_fill_it(self):
        query = torch.randn(4000, 8, generator=seeded(0))
        offset = draw_positive(query, 0.01, seeded(1)) - query
        assert float(offset.abs().max()) <= 0.01 + 1e-6
        assert float(offset.std()) == pytest.approx(0.01 / math.sqrt(3), rel=0.03)

    @pytest.mark.parametrize("whole_batch", [False, True])
    def test_negatives_lie_outside_the_radius_in_every_entry(self, whole_batch):
        query = torch.randn(8, 8, generator=seeded(0))
        for seed in range(20):
            negative = draw_negative(query, 0.05, seeded(seed), whole_batch=whole_batch)
            assert float((negative - query).abs().min()) >= 0.05

    def test_rejection_spares_the_codes_that_are_far_enough(self):
        query = torch.zeros(64, 8)
        first = torch.randn(64, 8, generator=seeded(5))
        near = (first.abs() < 0.1).any(dim=1)
        assert 0 < int(near.sum()) < 64
        kept = draw_negative(query, 0.1, seeded(5))
        assert torch.equal(kept[~near], first[~near])
        redrawn = draw_negative(query[:8], 0.1, seeded(5), whole_batch=True)
        assert not torch.equal(redrawn[~near[:8]], first[:8][~near[:8]])

    def test_codes_are_a_query_a_positive_and_the_negatives(self):
        codes = LatentContrast(negatives=3).draw(5, 8, seeded(0))
        assert codes.shape == (5, 5, 8)
        assert float((codes[1] - codes[0]).abs().max()) <= 0.01 + 1e-6
        assert float((codes[2:] - codes[0]).abs().min()) >= 0.01
