"""The adversarial methods as the suite sees them: configurations, samplers, published names."""

from dataclasses import asdict, replace
from importlib import import_module

import pytest
import torch
from gan_references import seeded
from PIL import Image

from invbench.errors import UnknownNameError
from invbench.images import to_signed, to_uint8
from invbench.models import Sampler, checkpoints
from invbench.models.gan import UnetSampler, build_unet, condition
from invbench.networks.unet import InputUnet, UnetConfig

METHODS = {
    name: import_module(f"invbench.models.configurations.{name}")
    for name in ("bicyclegan", "msgan", "divco", "monce")
}
TASKS = ("sr16", "colorization", "decompression")
TARGET_SIDES = {"sr16": 128, "colorization": 64, "decompression": 64}


def observe(task, count=1):
    side = TARGET_SIDES[task] // (16 if task == "sr16" else 1)
    channels = 1 if task == "colorization" else 3
    return torch.rand(1, channels, side, side, generator=seeded(0)).expand(count, -1, -1, -1)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", METHODS)
class TestMethod:
    def test_tiny_weights_fit_three_megabytes(self, name, task):
        method = METHODS[name].METHOD
        network = method.build(method.configure(task, "tiny"))
        halves = sum(2 * tensor.numel() for tensor in network.state_dict().values())
        assert halves <= 3_000_000

    def test_tiny_samples_have_the_target_size(self, name, task):
        method = METHODS[name].METHOD
        config = method.configure(task, "tiny")
        sampler = method.sampler(method.build(config).eval(), config)
        assert isinstance(sampler, Sampler)
        with torch.no_grad():
            samples = sampler(observe(task, 2), [seeded(1), seeded(2)])
        side = TARGET_SIDES[task]
        assert samples.shape == (2, 3, side, side)
        assert float(samples.min()) >= 0
        assert float(samples.max()) <= 1

    def test_checkpoint_gives_back_the_samples(self, name, task, tmp_path):
        method = METHODS[name].METHOD
        config = method.configure(task, "tiny")
        network = method.build(config).half().float()
        path = tmp_path / "weights.safetensors"
        checkpoints.save_checkpoint(
            path,
            network.state_dict(),
            method=name,
            stem=method.stem(task, "tiny"),
            config=config,
            card={},
        )
        sampler, _ = checkpoints.load_checkpoint(
            path, method=method, task=task, configuration="tiny"
        )
        with torch.no_grad():
            expected = method.sampler(network.eval(), config)(observe(task), [seeded(1)])
        torch.testing.assert_close(sampler(observe(task), [seeded(1)]), expected)

    def test_official_size_is_the_published_one(self, name, task):
        method = METHODS[name].METHOD
        with torch.device("meta"):
            network = method.build(method.configure(task, "official"))
        published = 11_378_179 if name == "monce" else 54_794_627
        assert sum(tensor.numel() for tensor in network.parameters()) == published

    def test_unknown_names_are_refused(self, name, task):
        configure = METHODS[name].METHOD.configure
        with pytest.raises(UnknownNameError, match="task"):
            configure("sr4", "tiny")
        with pytest.raises(UnknownNameError, match="configuration"):
            configure(task, "huge")

    def test_configuration_can_be_recorded(self, name, task):
        config = METHODS[name].METHOD.configure(task, "small")
        assert asdict(config)["enlarge"] == (16 if task == "sr16" else 1)
        assert checkpoints.describe(config)


class TestUnetSampler:
    def sampler(self):
        config = METHODS["bicyclegan"].METHOD.configure("decompression", "tiny")
        network = build_unet(config)
        for weights in network.parameters():
            weights.data = torch.randn(weights.shape, generator=seeded(1)) * 0.1
        return UnetSampler(network.eval(), config)

    @torch.no_grad()
    def test_seeds_decide_and_batches_do_not(self):
        sampler = self.sampler()
        both = sampler(observe("decompression", 2), [seeded(3), seeded(4)])
        alone = sampler(observe("decompression"), [seeded(4)])
        torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)
        assert float((both[0] - both[1]).abs().max()) > 0.01

    def test_injection_chooses_the_network(self):
        config = METHODS["bicyclegan"].METHOD.configure("decompression", "tiny")
        sizes = replace(config.network, injection="input")
        assert isinstance(build_unet(replace(config, network=sizes)), InputUnet)


class TestCondition:
    def test_enlarges_like_pillow(self):
        observation = torch.rand(1, 3, 8, 8, generator=seeded(0))
        pixels = to_uint8(observation)[0].permute(1, 2, 0).numpy()
        enlarged = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC)
        ours = to_uint8(condition(observation, enlarge=16) / 2 + 0.5)[0]
        assert ours.permute(1, 2, 0).numpy().tobytes() == enlarged.tobytes()

    def test_replicates_gray(self):
        gray = torch.rand(2, 1, 4, 4)
        assert torch.equal(condition(gray, enlarge=1), to_signed(gray).repeat(1, 3, 1, 1))

    def test_passes_colour_as_it_is(self):
        images = torch.rand(2, 3, 4, 4)
        assert torch.equal(condition(images, enlarge=1), to_signed(images))


class TestPublishedNames:
    def tensors(self, *keys):
        return {key: torch.full((), float(index)) for index, key in enumerate(keys)}

    @pytest.mark.parametrize("name", METHODS)
    def test_own_names_stay(self, name):
        module = METHODS[name]
        config = module.METHOD.configure("sr16", "tiny")
        weights = module.METHOD.build(config).state_dict()
        assert list(module.rename_official(weights)) == list(weights)

    @pytest.mark.parametrize("name", METHODS)
    def test_data_parallel_wrapping_is_undone(self, name):
        renamed = METHODS[name].rename_official(self.tensors("module.model.1.bias"))
        assert list(renamed) == ["model.1.bias"]

    @pytest.mark.parametrize("name", METHODS)
    def test_statistics_go_where_there_are_no_weights(self, name):
        given = self.tensors(
            "model.3.weight",
            "model.3.running_mean",
            "model.5.running_mean",
            "model.5.running_var",
            "model.5.num_batches_tracked",
        )
        kept = METHODS[name].rename_official(given)
        assert list(kept) == ["model.3.weight", "model.3.running_mean"]

    def test_scales_of_msgan(self):
        given = self.tensors(
            "model0.0.weight", "model1.11.bias", "model.0.weight", "model_0.2.bias"
        )
        renamed = METHODS["msgan"].rename_official(given)
        expected = ["model_0.0.weight", "model_1.11.bias", "model.0.weight", "model_0.2.bias"]
        assert list(renamed) == expected
        assert list(renamed.values()) == list(given.values())

    def test_dropout_and_filters_of_monce(self):
        given = self.tensors(
            "model.7.filt",
            "model.12.conv_block.1.weight",
            "model.12.conv_block.6.weight",
            "model.6.weight",
        )
        renamed = METHODS["monce"].rename_official(given)
        assert renamed == {
            "model.12.conv_block.1.weight": given["model.12.conv_block.1.weight"],
            "model.12.conv_block.5.weight": given["model.12.conv_block.6.weight"],
            "model.6.weight": given["model.6.weight"],
        }

    def test_published_monce_file_with_dropout_fits(self, refs):
        lists = refs.json("gans/keys_monce_official.json")
        listed = next(value for key, value in lists.items() if "with dropout" in key)["keys"]
        with torch.device("meta"):
            published = {key: torch.empty(shape) for key, shape in listed.items()}
            network = METHODS["monce"].METHOD.build(
                METHODS["monce"].METHOD.configure("sr16", "official")
            )
        network.load_state_dict(METHODS["monce"].rename_official(published))

    def test_codes_of_another_length_show_in_the_shapes(self):
        with torch.device("meta"):
            network = build_unet(
                replace(
                    METHODS["msgan"].METHOD.configure("sr16", "tiny"),
                    network=UnetConfig(depth=6, channels=2, code_channels=3),
                )
            )
        assert network.state_dict()["model.down.0.weight"].shape == (2, 6, 4, 4)
