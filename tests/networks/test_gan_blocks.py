"""Building blocks of the adversarial methods' networks, by hand."""

import numpy as np
import pytest
import torch
from gan_references import seeded
from scipy import ndimage

from invbench.errors import InvalidImagesError
from invbench.networks.blur import BlurDown, BlurUp
from invbench.networks.dropout import draw_masks
from invbench.networks.encoder import Encoder, EncoderConfig
from invbench.networks.initialization import initialize_xavier
from invbench.networks.normalization import InstanceNorm
from invbench.networks.patch_discriminator import (
    DiscriminatorConfig,
    MultiscaleDiscriminator,
    PatchDiscriminator,
)
from invbench.networks.patch_features import PatchProjector
from invbench.networks.resnet import ResnetConfig, ResnetGenerator
from invbench.networks.resnet_cat import LayerNorm, ResnetCatConfig, ResnetCatGenerator
from invbench.networks.unet import InputUnet, Unet, UnetConfig


def close(ours, theirs, tolerance=1e-4):
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def multiscale(**sizes):
    return MultiscaleDiscriminator(DiscriminatorConfig(**sizes))


def single(**sizes):
    return PatchDiscriminator(DiscriminatorConfig(**sizes))


class TestUnet:
    def test_published_parameter_counts(self):
        with torch.device("meta"):
            counts = [
                sum(value.numel() for value in Unet(config).parameters())
                for config in (
                    UnetConfig(depth=8),
                    UnetConfig(depth=6, channels=12),
                    UnetConfig(depth=7, channels=10),
                )
            ]
        assert counts == [54_794_627, 1_077_579, 1_072_863]

    def test_every_level_reads_the_code(self):
        network = Unet(UnetConfig(depth=6, channels=4))
        for level in network._levels():
            conv = level.down[-2] if len(level.down) == 3 else level.down[-1]
            assert conv.weight[:, -8:].abs().sum() > 0
            conv.weight.data[:, -8:] = 0
        images = torch.rand(1, 3, 64, 64)
        codes = torch.randn(2, 8)
        with torch.no_grad():
            first, second = network(images, codes[:1]), network(images, codes[1:])
        assert torch.equal(first, second)

    def test_row_does_not_depend_on_its_batch(self):
        network = Unet(UnetConfig(depth=6, channels=4))
        images, codes = torch.rand(3, 3, 64, 64), torch.randn(3, 8)
        with torch.no_grad():
            close(network(images, codes)[1:2], network(images[1:2], codes[1:2]), 1e-6)

    @pytest.mark.parametrize("build", [Unet, InputUnet])
    def test_sides_that_do_not_divide_are_refused(self, build):
        with pytest.raises(InvalidImagesError, match="multiples of 64"):
            build(UnetConfig(depth=6, channels=2))(torch.zeros(1, 3, 96, 64), torch.zeros(1, 8))

    def test_skip_of_input_unet_is_the_activated_input(self):
        config = UnetConfig(depth=6, channels=2, injection="input", activation="elu")
        level = InputUnet(config).model.model[1]
        features = torch.randn(1, 2, 32, 32)
        with torch.no_grad():
            skip = level(features)[:, 2:]
        close(skip, torch.where(features > 0, features, 0.2 * features), 0)

    def test_way_up_reads_the_level_below_first_and_the_skip_second(self):
        network = Unet(UnetConfig(depth=6, channels=2))
        network.model.up[1].weight.data[2:] = 0  # of the skip
        network.model.submodule.up[1].weight.data[:] = 0
        with torch.no_grad():
            out = network(torch.rand(1, 3, 64, 64), torch.randn(1, 8))
        bias = network.model.up[1].bias.detach()
        close(out, bias.tanh()[None, :, None, None].expand(1, 3, 64, 64), 1e-6)

    def test_bilinear_way_up_is_enlargement_then_convolution(self):
        network = Unet(UnetConfig(depth=6, channels=2, upsample="bilinear"))
        up = network.model.up
        features = torch.randn(1, 4, 5, 5)
        rows = np.clip((np.arange(10) + 0.5) / 2 - 0.5, 0, 4)
        grid = np.meshgrid(rows, rows, indexing="ij")
        relu = features.clamp(min=0).numpy()[0]
        enlarged = [ndimage.map_coordinates(channel, grid, order=1) for channel in relu]
        padded = np.pad(np.stack(enlarged), ((0, 0), (1, 1), (1, 1)), mode="reflect")
        weight, bias = up[3].weight.detach().numpy(), up[3].bias.detach().numpy()
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        expected = np.tanh(np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None])
        with torch.no_grad():
            np.testing.assert_allclose(up(features)[0].numpy(), expected, atol=1e-5)

    def test_dropout_acts_on_the_middle_levels(self):
        config = UnetConfig(depth=8, channels=2)
        assert Unet(config).dropout_shapes(256, 256) == [(16, 16, 16), (16, 8, 8), (16, 4, 4)]

    def test_masks_of_one_change_nothing_and_of_zero_do(self):
        network = Unet(UnetConfig(depth=6, channels=2))
        images, codes = torch.rand(1, 3, 64, 64), torch.randn(1, 8)
        (shape,) = network.dropout_shapes(64, 64)
        with torch.no_grad():
            plain = network(images, codes)
            assert torch.equal(network(images, codes, [torch.ones(1, *shape)]), plain)
            assert not torch.equal(network(images, codes, [torch.zeros(1, *shape)]), plain)


class TestEncoder:
    def test_other_sides_are_refused(self):
        with pytest.raises(InvalidImagesError, match="sides of 64"):
            Encoder(EncoderConfig(blocks=3, channels=2))(torch.zeros(1, 3, 128, 128))

    @pytest.mark.parametrize(("blocks", "count"), [(3, 131_536), (4, 338_224)])
    def test_parameter_counts_at_the_small_sizes(self, blocks, count):
        with torch.device("meta"):
            network = Encoder(EncoderConfig(blocks=blocks, channels=32))
        assert sum(value.numel() for value in network.parameters()) == count


class TestDiscriminator:
    @pytest.mark.parametrize(
        ("side", "layers", "maps"),
        [(64, 2, (14, 6)), (64, 3, (6, 2)), (128, 2, (30, 14)), (128, 3, (14, 6))],
    )
    def test_map_sizes(self, side, layers, maps):
        network = multiscale(channels=4, layers=layers)
        sizes = [found.shape[-1] for found in network(torch.zeros(1, 3, side, side))]
        assert tuple(sizes) == maps

    def test_second_scale_sees_the_average_without_the_padding(self):
        network = multiscale(channels=4, layers=2)
        images = torch.rand(1, 3, 64, 64)
        sums = ndimage.convolve(images[0].numpy(), np.ones((1, 3, 3)), mode="constant", cval=0.0)
        counts = ndimage.convolve(np.ones((1, 64, 64)), np.ones((1, 3, 3)), mode="constant")
        halved = torch.from_numpy((sums / counts)[:, ::2, ::2])[None].float()
        with torch.no_grad():
            close(network(images)[1], network.model_1(halved), 1e-5)

    def test_bias_is_dropped_only_before_batch_norm(self):
        biased = [
            conv.bias is not None
            for conv in single(norm="batch").modules()
            if isinstance(conv, torch.nn.Conv2d)
        ]
        assert biased == [True, False, False, False, True]


class TestBlur:
    def test_down_is_the_mirrored_binomial_filter(self):
        image = torch.rand(1, 1, 9, 8)
        kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
        expected = ndimage.convolve(image[0, 0].numpy(), kernel, mode="mirror")[::2, ::2]
        np.testing.assert_allclose(BlurDown(1)(image)[0, 0].numpy(), expected, atol=1e-6)

    def test_up_keeps_constants_and_doubles(self):
        image = torch.full((1, 2, 5, 6), 0.25)
        close(BlurUp(2)(image), torch.full((1, 2, 10, 12), 0.25), 1e-6)

    def test_up_interpolates_between_neighbours(self):
        ramp = torch.arange(6.0).expand(1, 1, 6, 6)
        row = BlurUp(1)(ramp)[0, 0, 5, 2:-2]
        close(row, torch.arange(8.0) / 2 + 0.75, 1e-6)


class TestResnet:
    def test_small_parameter_counts(self):
        with torch.device("meta"):
            counts = [
                sum(value.numel() for value in network.parameters())
                for network in (
                    ResnetGenerator(ResnetConfig(channels=24, blocks=6)),
                    ResnetCatGenerator(ResnetCatConfig(channels=16)),
                    ResnetCatGenerator(ResnetCatConfig(channels=24)),
                    single(channels=24, blur=True),
                )
            ]
        assert counts == [1_107_459, 748_443, 1_643_147, 391_657]

    def test_first_tap_leaves_the_noise_out(self):
        network = ResnetGenerator(ResnetConfig(channels=4, blocks=1, noise_channels=8))
        images = torch.rand(2, 3, 16, 16)
        (padded,) = network.features(images, [0], noise=torch.randn(2, 8, 16, 16))
        assert torch.equal(padded, torch.nn.functional.pad(images, (3, 3, 3, 3), mode="reflect"))

    def test_noise_counts_only_where_it_varies_over_the_image(self):
        network = ResnetGenerator(ResnetConfig(channels=4, blocks=1, noise_channels=2)).double()
        images = torch.rand(1, 3, 16, 16).double()
        flat, varying = torch.randn(2, 2, 1, 1).double(), torch.randn(1, 2, 16, 16).double()
        with torch.no_grad():
            first, second = (network(images, code[None].expand(-1, -1, 16, 16)) for code in flat)
            third = network(images, varying)
        close(first, second, 1e-6)
        assert (first - third).abs().max() > 1e-2

    def test_masks_act_inside_each_block(self):
        network = ResnetGenerator(ResnetConfig(channels=4, blocks=2, dropout=True))
        assert network.dropout_shapes(16, 16) == [(16, 4, 4)] * 2
        features = torch.randn(1, 16, 4, 4)
        block = network.model[12]
        with torch.no_grad():
            silenced = block(features, torch.zeros(1, 16, 4, 4))
        close(silenced, features, 1e-6)

    @pytest.mark.parametrize("blur", [True, False])
    @pytest.mark.parametrize("taps", [(0, 4, 8, 12, 16), (2, 5, 9), (5, 8)])
    @torch.no_grad()
    def test_taps_before_an_activation_are_activated_as_in_place(self, blur, taps):
        network = ResnetGenerator(ResnetConfig(channels=4, blocks=4, blur=blur))
        images = torch.rand(1, 3, 16, 16)
        features, expected = images, []
        for index, module in enumerate(network.model[: max(taps) + 1]):
            relu = isinstance(module, torch.nn.ReLU)
            features = features.relu_() if relu else module(features)
            if index in taps:
                expected.append(features)
        for ours, theirs in zip(network.features(images, taps), expected, strict=True):
            close(ours, theirs)

    def test_output_follows_the_mask_of_its_own_row(self):
        network = ResnetGenerator(ResnetConfig(channels=4, blocks=2, dropout=True))
        images = torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1)
        masks = [torch.ones(2, 16, 4, 4) for _ in range(2)]
        masks[1][1, 0] = 0
        with torch.no_grad():
            outputs, plain = network(images, masks=masks), network(images[:1])
        close(outputs[:1], plain, 1e-5)
        assert (outputs[1] - plain[0]).abs().max() > 1e-3


def test_layer_norm_uses_the_unbiased_deviation_with_eps_outside():
    features = torch.randn(2, 3, 4, 5) * 1e-4 + 1
    norm = LayerNorm(3)
    array = features.double().numpy()
    mean = array.mean(axis=(1, 2, 3), keepdims=True)
    deviation = array.std(axis=(1, 2, 3), keepdims=True, ddof=1)
    expected = (array - mean) / (deviation + 1e-5) * norm.gamma.detach().numpy()[:, None, None]
    np.testing.assert_allclose(norm(features).detach().numpy(), expected, atol=2e-3)


def test_projected_vectors_have_unit_length():
    projector = PatchProjector([3, 5], 7)
    maps = [torch.randn(2, 3, 6, 6), torch.randn(2, 5, 3, 3)]
    vectors = projector(maps, [torch.arange(10), torch.arange(4)])
    assert [tuple(each.shape) for each in vectors] == [(2, 10, 7), (2, 4, 7)]
    for each in vectors:
        close(each.norm(dim=-1), torch.ones(each.shape[:2]), 1e-5)


def test_projection_reads_the_pixel_of_its_index():
    projector = PatchProjector([4], 3)
    maps = torch.randn(1, 4, 2, 5)
    (vectors,) = projector([maps], [torch.tensor([7])])
    raw = projector.mlp_0(maps[0, :, 1, 2])
    close(vectors[0, 0], raw / raw.norm(), 1e-5)


class TestInitialization:
    def test_deviation_is_xaviers_times_the_gain(self):
        linear = torch.nn.Linear(300, 500)
        initialize_xavier(linear, generator=seeded(0))
        assert float(linear.weight.detach().std()) == pytest.approx(
            0.02 * (2 / 800) ** 0.5, rel=0.01
        )
        assert not linear.bias.any()

    def test_generator_decides(self):
        drawn = []
        for _ in range(2):
            network = Encoder(EncoderConfig(blocks=3, channels=2))
            initialize_xavier(network, generator=seeded(3))
            drawn.append(network.state_dict())
        assert all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])


class TestMasks:
    def test_half_is_dropped_and_the_mean_kept(self):
        (mask,) = draw_masks([seeded(0)], [(50, 40, 20)])
        assert set(mask.unique().tolist()) == {0.0, 2.0}
        assert float(mask.mean()) == pytest.approx(1, abs=0.03)

    def test_rate_is_the_part_dropped(self):
        (mask,) = draw_masks([seeded(0)], [(100_000,)], rate=0.2)
        assert float((mask == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
        assert float(mask.max()) == pytest.approx(1.25)

    def test_row_comes_from_its_generator_alone(self):
        shapes = [(2, 3), (5,)]
        pair = draw_masks([seeded(seed) for seed in (1, 2)], shapes)
        alone = draw_masks([seeded(2)], shapes)
        for both, one in zip(pair, alone, strict=True):
            assert torch.equal(both[1:], one)

    def test_a_bit_says_nothing_of_the_others(self):
        (mask,) = draw_masks([seeded(0)], [(64 * 20_000,)])
        words = (mask > 0).double().reshape(-1, 64)
        std = len(words) ** -0.5
        assert float((2 * words.mean(0) - 1).abs().max()) < 5 * std
        between = torch.corrcoef(words.T).fill_diagonal_(0)
        assert float(between.abs().max()) < 5 * std
        assert not torch.equal(words[:-1], words[1:])

    def test_masks_of_one_call_share_no_bits(self):
        first, second = draw_masks([seeded(0)], [(3, 1000), (3000,)])
        agreement = float((first.flatten() == second.flatten()).double().mean())
        assert agreement == pytest.approx(0.5, abs=0.05)


class TestInstanceNorm:
    @pytest.mark.parametrize("count", [1, 3])
    def test_each_channel_of_each_image_is_standardized(self, count):
        features = torch.randn(count, 4, 5, 6, dtype=torch.float64) * 3 + 2
        array = features.numpy()
        mean = array.mean(axis=(2, 3), keepdims=True)
        expected = (array - mean) / np.sqrt(array.var(axis=(2, 3), keepdims=True) + 1e-5)
        np.testing.assert_allclose(InstanceNorm()(features), expected, atol=1e-10)

    @pytest.mark.parametrize("count", [1, 3])
    def test_gradient_does_not_depend_on_the_memory_format(self, count):
        formats = (torch.contiguous_format, torch.channels_last)
        gradient = torch.randn(count, 4, 5, 6, generator=seeded(1))
        found = []
        for first in formats:
            for second in formats:
                features = torch.randn(count, 4, 5, 6, generator=seeded(0))
                features = features.contiguous(memory_format=first).requires_grad_()
                given = gradient.contiguous(memory_format=second)
                found += torch.autograd.grad(InstanceNorm()(features), features, given)
        for other in found[1:]:
            close(other, found[0], 1e-5)
