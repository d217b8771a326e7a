"""Networks of the adversarial methods against the original implementations and by hand."""

import re

import pytest
import torch

from invbench.networks.blur import BlurDown, BlurUp
from invbench.networks.encoder import Encoder, EncoderConfig
from invbench.networks.patch_discriminator import (
    DiscriminatorConfig,
    MultiscaleDiscriminator,
    PatchDiscriminator,
)
from invbench.networks.patch_features import PatchProjector
from invbench.networks.resnet import ResnetConfig, ResnetGenerator
from invbench.networks.resnet_cat import ResnetCatConfig, ResnetCatGenerator
from invbench.networks.unet import InputUnet, Unet, UnetConfig

TAPS = (0, 4, 8, 12, 16)


def close(ours, theirs, tolerance=1e-4):
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def fill(network, tensors):
    """Load ``sd/`` tensors; the constant blur filters are compared instead."""
    weights = {key[3:]: value for key, value in tensors.items() if key.startswith("sd/")}
    weights = {re.sub(r"^model(\d)\.", r"model_\1.", key): weights[key] for key in weights}
    buffers = dict(network.named_buffers())
    for key in [key for key in weights if key.endswith(".filt")]:
        close(buffers[key], weights.pop(key), 0)
    network.load_state_dict(weights)
    return network


def multiscale(**sizes):
    return MultiscaleDiscriminator(DiscriminatorConfig(**sizes))


def single(**sizes):
    return PatchDiscriminator(DiscriminatorConfig(**sizes))


PARITY = {
    "bicycle_G_all_d6": lambda: Unet(UnetConfig(depth=6, channels=4)),
    "bicycle_G_all_unet256": lambda: Unet(UnetConfig(depth=8, channels=2)),
    "bicycle_G_input_d6": lambda: InputUnet(UnetConfig(depth=6, channels=4, injection="input")),
    "msgan_G_all_d6": lambda: Unet(UnetConfig(depth=6, channels=4)),
    "bicycle_E_resnet_b3": lambda: Encoder(EncoderConfig(blocks=3, channels=8)),
    "bicycle_E_resnet_b4": lambda: Encoder(EncoderConfig(blocks=4, channels=8)),
    "bicycle_E_conv_l4": lambda: Encoder(EncoderConfig(blocks=4, channels=8, form="plain")),
    "bicycle_D_multi_l3": lambda: multiscale(channels=8),
    "msgan_D_multi_l3": lambda: multiscale(channels=8, in_channels=6),
    "bicycle_D_single_l3_bn": lambda: single(channels=8, norm="batch").eval(),
    "monce_D_basic": lambda: single(channels=8, blur=True),
    "monce_G_resnet6": lambda: ResnetGenerator(ResnetConfig(channels=4, blocks=6)),
    "monce_G_resnet_cat": lambda: ResnetCatGenerator(ResnetCatConfig(channels=4)),
}


@pytest.mark.parametrize("name", PARITY)
def test_forward_matches_the_original(refs, name):
    tensors = refs(f"gans/{name}.safetensors")
    network = fill(PARITY[name](), tensors)
    inputs = [tensors[key] for key in ("in/x", "in/z") if key in tensors]
    with torch.no_grad():
        outputs = network(*inputs)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    expected = [tensors[key] for key in sorted(tensors) if key.startswith("out/")]
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs, expected, strict=True):
        close(ours, theirs)


@pytest.mark.parametrize(
    ("name", "taps", "prefix"),
    [("monce_G_resnet6", TAPS, "feat/layer"), ("monce_G_resnet_cat", (0, 1, 2, 3), "feat/")],
)
def test_tapped_features_match_the_original(refs, name, taps, prefix):
    tensors = refs(f"gans/{name}.safetensors")
    network = fill(PARITY[name](), tensors)
    with torch.no_grad():
        features = network.features(tensors["in/x"], taps)
    for tap, ours in zip(taps, features, strict=True):
        close(ours, tensors[f"{prefix}{tap}"])
    assert network.tap_channels(taps) == [maps.shape[1] for maps in features]


def test_projected_patches_match_the_original(refs):
    tensors = refs("gans/monce_F_mlp_sample.safetensors")
    projector = fill(PatchProjector([3, 8, 16, 16, 16], 16), tensors)
    features = [tensors[f"in/feat{index}"] for index in range(5)]
    positions = [tensors[f"in/patch_ids{index}"] for index in range(5)]
    for index, ours in enumerate(projector(features, positions)):
        close(ours.flatten(0, 1), tensors[f"out/sample{index}"])


def test_blur_layers_match_the_original(refs):
    tensors = refs("gans/monce_blur_layers.safetensors")
    close(BlurDown(2)(tensors["in/x"]), tensors["out/downsample"])
    close(BlurDown(2)(tensors["in/x_odd"]), tensors["out/downsample_odd"])
    close(BlurUp(2)(tensors["in/x"]), tensors["out/upsample"])
    close(BlurDown(2).filt, tensors["filt/down"], 0)
    close(BlurUp(2).filt, tensors["filt/up"], 0)


# Key list, entry, network at the published size
PUBLISHED = [
    ("bicyclegan", "netG (input_nc=3", lambda: Unet(UnetConfig(depth=8))),
    ("bicyclegan", "netG (input_nc=1", lambda: Unet(UnetConfig(depth=8, in_channels=1))),
    ("bicyclegan", "netG where_add=input", lambda: InputUnet(UnetConfig(depth=8))),
    ("bicyclegan", "netE", lambda: Encoder(EncoderConfig())),
    ("bicyclegan", "netD / netD2", multiscale),
    ("bicyclegan", "netD conditional_D", lambda: multiscale(in_channels=6)),
    ("divco", "netG", lambda: Unet(UnetConfig(depth=8))),
    ("divco", "netE", lambda: Encoder(EncoderConfig())),
    ("divco", "netD", multiscale),
    ("msgan", "netG", lambda: Unet(UnetConfig(depth=8))),
    ("msgan", "netD", lambda: multiscale(in_channels=6)),
    ("monce", "netG (resnet_9blocks", lambda: ResnetGenerator(ResnetConfig())),
    ("monce", "netD", lambda: single(blur=True)),
    ("monce", "netF", lambda: PatchProjector([3, 128, 256, 256, 256])),
]


def shapes(network):
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {key: list(value.shape) for key, value in tensors}


@pytest.mark.parametrize(("method", "entry", "build"), PUBLISHED)
def test_published_names_and_shapes(refs, method, entry, build):
    lists = refs.json(f"gans/keys_{method}_official.json")
    published = next(value for key, value in lists.items() if key.startswith(entry))
    with torch.device("meta"):
        network = build()
    renamed = {
        re.sub(r"^model(\d)\.", r"model_\1.", key): v for key, v in published["keys"].items()
    }
    assert shapes(network) == renamed
    assert sum(value.numel() for value in network.parameters()) == published["n_params"]


# Variants of which the reference has sizes but no tensors
UNTESTED_FORWARD = {
    "bicycle_D_multi_l2": (lambda: multiscale(channels=8, in_channels=6, layers=2), ["in/x"]),
    "msgan_D_single_l3": (lambda: single(channels=8, in_channels=6, last_padding=0), ["in/x"]),
    "monce_D_basic_noaa": (lambda: single(channels=8), ["in/x"]),
    "monce_G_resnet6_noaa": (
        lambda: ResnetGenerator(ResnetConfig(channels=4, blocks=6, blur=False)),
        ["in/x"],
    ),
    "bicycle_G_all_d7_bilinear": (
        lambda: Unet(UnetConfig(depth=7, channels=3, in_channels=1, upsample="bilinear")),
        ["in/x", "in/z"],
    ),
}


@pytest.mark.parametrize("name", UNTESTED_FORWARD)
def test_variants_have_the_original_names_and_shapes(refs, name):
    index = refs.json("gans/INDEX.json")[f"{name}.safetensors"]
    listed = next(part for part in index.values() if isinstance(part, dict) and "in/x" in part)
    build, inputs = UNTESTED_FORWARD[name]
    network = build()
    expected = {key[3:]: shape for key, (shape, _) in listed.items() if key.startswith("sd/")}
    assert shapes(network) == expected
    with torch.no_grad():
        outputs = network(*(torch.rand(listed[key][0]) for key in inputs))
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    named = [shape for key, (shape, _) in sorted(listed.items()) if key.startswith("out/")]
    assert [list(output.shape) for output in outputs] == named
