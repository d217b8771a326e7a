"""The diffusion networks are the published ones: names, shapes, numbers of weights, outputs."""

from __future__ import annotations

import pytest
import torch

from invbench.networks.guided_unet import GuidedUnet, GuidedUnetConfig
from invbench.networks.paired_unet import PairedUnet, PairedUnetConfig
from invbench.networks.simple_unet import SimpleUnet, SimpleUnetConfig
from invbench.networks.timesteps import phases

HALVED_512 = {"multipliers": (0.5, 1, 1, 2, 2, 4, 4), "attention_factors": (16, 32, 64)}
PUBLISHED = {
    "imagenet_256": (GuidedUnet, GuidedUnetConfig(), 552_814_086),
    "imagenet_256_cc": (GuidedUnet, GuidedUnetConfig(classes=1000), 553_838_086),
    "imagenet_512_cc": (GuidedUnet, GuidedUnetConfig(classes=1000, **HALVED_512), 558_997_638),
    "celeba_hq": (SimpleUnet, SimpleUnetConfig(), 113_673_219),
    "ndm_sr_celebA_ours_NDV_160": (PairedUnet, PairedUnetConfig(), 43_481_862),
    "ndm_sr_deep_celebA_ours_NDV_160": (PairedUnet, PairedUnetConfig(channels=128), 77_263_878),
    "ndm_color_celebA_ours_NDV_128": (
        PairedUnet,
        PairedUnetConfig(size=128, observation_channels=1, attention_sizes=(16, 8, 4)),
        43_478_404,
    ),
    "ndm_edges2shoes_ours_NDV_64": (
        PairedUnet,
        PairedUnetConfig(size=64, channels=128, multipliers=(1, 1, 2, 2), attention_sizes=(16, 8)),
        28_752_902,
    ),
}
SMALL = {"channels": 32, "blocks": 1, "multipliers": (1, 1)}


def shapes(network):
    return {key: list(value.shape) for key, value in network.state_dict().items()}


def weights(tensors):
    return {key[3:]: value.float() for key, value in tensors.items() if key.startswith("sd.")}


def shaken(network, *, scale=0.1):
    """Move every weight off its start, so that no branch is silent."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_the_published_number_of_weights(name):
    network, config, count = PUBLISHED[name]
    with torch.device("meta"):
        assert sum(value.numel() for value in network(config).parameters()) == count


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_key_and_shape_of_the_published_file_is_there(name, refs):
    file = "keys_ndm.json" if name.startswith("ndm") else "keys_guided_diffusion.json"
    entries = refs.json(f"diffusion/{file}")
    (expected,) = (entry for key, entry in entries.items() if key.split(" ")[0] == name)
    network, config, _ = PUBLISHED[name]
    with torch.device("meta"):
        assert shapes(network(config)) == expected["keys"]


class TestGuidedUnet:
    @pytest.fixture
    def published(self, refs):
        tensors = refs("diffusion/gd_unet.safetensors")
        config = GuidedUnetConfig(**SMALL, attention_factors=(2,), head_channels=16)
        network = GuidedUnet(config).eval()
        network.load_state_dict(weights(tensors))
        return network, tensors

    def test_sinusoid_is_the_published_one(self, published):
        _, tensors = published
        angle = phases(tensors["t"], 16, last=16)
        found = torch.cat([angle.cos(), angle.sin()], dim=1)
        torch.testing.assert_close(found, tensors["temb"], rtol=0, atol=1e-5)

    def test_embedding_is_the_published_one(self, published):
        network, tensors = published
        with torch.no_grad():
            found = network.embed(tensors["t"])
        torch.testing.assert_close(found, tensors["emb"], rtol=1e-5, atol=1e-5)

    def test_output_is_the_published_one(self, published):
        network, tensors = published
        with torch.no_grad():
            found = network(tensors["x"], tensors["t"])
        torch.testing.assert_close(found, tensors["y"], rtol=1e-5, atol=1e-5)

    def test_untrained_network_predicts_no_noise(self):
        network = GuidedUnet(GuidedUnetConfig(**SMALL, head_channels=32))
        with torch.no_grad():
            assert not network(torch.randn(1, 3, 8, 8), torch.tensor([7.0])).any()

    def test_class_moves_the_output(self):
        config = GuidedUnetConfig(**SMALL, attention_factors=(), head_channels=32, classes=2)
        network = shaken(GuidedUnet(config))
        images, times = torch.randn(1, 3, 8, 8), torch.tensor([7.0])
        with torch.no_grad():
            first, second = (network(images, times, torch.tensor([k])) for k in (0, 1))
        assert not torch.allclose(first, second)


class TestPairedUnet:
    @pytest.fixture
    def published(self, refs):
        tensors = refs("diffusion/ndm.safetensors")
        network = PairedUnet(PairedUnetConfig(**SMALL, size=16, attention_sizes=(8,))).eval()
        network.load_state_dict(weights(tensors))
        return network, tensors

    def test_sinusoid_is_the_published_one(self, published):
        _, tensors = published
        angle = phases(tensors["fwd.labels"], 16, last=15)
        found = torch.cat([angle.sin(), angle.cos()], dim=1)
        torch.testing.assert_close(found, tensors["fwd.temb"], rtol=0, atol=1e-5)

    def test_outputs_are_the_published_ones(self, published):
        network, tensors = published
        with torch.no_grad():
            found = network(tensors["fwd.x"], tensors["fwd.y"], tensors["fwd.labels"])
        for part, name in zip(found, "xy", strict=True):
            torch.testing.assert_close(part, tensors[f"fwd.out_{name}"], rtol=1e-5, atol=1e-5)

    def test_untrained_network_predicts_next_to_nothing(self):
        network = PairedUnet(PairedUnetConfig(**SMALL, size=8, attention_sizes=())).eval()
        images = torch.rand(1, 3, 8, 8)
        with torch.no_grad():
            found = network(images, images, torch.tensor([500.0]))
        assert max(float(part.abs().max()) for part in found) < 1e-3

    def test_initial_weights_have_the_variance_of_the_mean_fan(self):
        network = PairedUnet(PairedUnetConfig(size=16, channels=64, multipliers=(1, 2), blocks=1))
        conv = network.all_modules[5].Conv_0
        assert conv.weight.shape == (128, 64, 3, 3)
        assert conv.weight.std().item() == pytest.approx((9 * (64 + 128) / 2) ** -0.5, rel=0.02)


class TestSimpleUnet:
    def test_agrees_with_the_paired_network_given_the_same_weights(self):
        # Both are DDPM's U-Net; without attention on the levels only names and input range differ
        simple = shaken(SimpleUnet(SimpleUnetConfig(**SMALL, size=16, attention_sizes=())))
        config = PairedUnetConfig(**SMALL, size=16, observation_channels=0, attention_sizes=())
        paired = PairedUnet(config).eval()
        copy_weights(simple, paired)
        images, times = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 741.0])
        with torch.no_grad():
            found = simple(images, times)
            expected, _ = paired((images + 1) / 2, images[:, :0], times)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    def test_attention_follows_every_block_of_its_level(self):
        network = SimpleUnet(SimpleUnetConfig(**SMALL, size=16, attention_sizes=(8,)))
        counts = [len(level.attn) for level in (*network.down, *network.up)]
        assert counts == [0, 1, 0, 2]


def copy_weights(simple, paired):
    """Give a paired network the weights of a simple one, module by module in the order of use."""
    order = [*simple.temb.dense, simple.conv_in]
    for level in simple.down:
        order += [*level.block, *filter(None, [level.downsample])]
    order += [simple.mid.block_1, simple.mid.attn_1, simple.mid.block_2]
    for level in reversed(simple.up):
        order += [*level.block, *filter(None, [level.upsample])]
    order += [simple.norm_out, simple.conv_out]
    for source, target in zip(order, paired.all_modules, strict=True):
        pairs = zip(source.parameters(), target.named_parameters(), strict=True)
        for value, (name, parameter) in pairs:
            parameter.data.copy_(value.squeeze(3, 2).T if name.endswith("W") else value)


def test_slowest_phase_is_one_ten_thousandth_of_the_time():
    found = phases(torch.tensor([100.0]), 5, last=4)
    torch.testing.assert_close(found, torch.tensor([[100.0, 10.0, 1.0, 0.1, 0.01]]))
