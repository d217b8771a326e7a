"""A network that predicts the difference adds to its image what it would else have returned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from invbench.networks.resnet import ResnetConfig, ResnetGenerator
from invbench.networks.resnet_cat import ResnetCatConfig, ResnetCatGenerator
from invbench.networks.tower import Tower, TowerConfig
from invbench.networks.unet import InputUnet, Unet, UnetConfig

GENERATORS = {
    "unet": (Unet, UnetConfig(depth=3, channels=2), True),
    "input unet": (InputUnet, UnetConfig(depth=3, channels=2, injection="input"), True),
    "bilinear unet": (Unet, UnetConfig(depth=3, channels=2, upsample="bilinear"), True),
    "resnet": (ResnetGenerator, ResnetConfig(channels=2, blocks=1), False),
    "resnet_cat": (ResnetCatGenerator, ResnetCatConfig(channels=2, blocks=1), True),
}


@pytest.mark.parametrize("name", GENERATORS)
@torch.no_grad()
def test_generators_add_twice_their_output(name):
    build, config, reads_code = GENERATORS[name]
    plain, other = build(config), build(replace(config, difference=True))
    other.load_state_dict(plain.state_dict())
    images = 2 * torch.rand(2, 3, 16, 16) - 1
    given = (images, torch.randn(2, config.code_channels)) if reads_code else (images,)
    torch.testing.assert_close(other(*given), images + 2 * plain(*given))


def towers(form, **changes):
    config = TowerConfig(
        form=form,
        residual_channels=(4, 4),
        growth_channels=(2, 2),
        feature_scales=(0.1,),
        blocks=1,
        map_channels=3,
        latent_channels=4,
        **changes,
    )
    plain, other = Tower(config), Tower(replace(config, difference=True))
    other.load_state_dict(plain.state_dict())
    return plain, other


@torch.no_grad()
def test_levels_of_a_generic_tower_add_to_their_input():
    plain, other = towers("generic")
    inputs = [torch.rand(2, 3, side, side) for side in (4, 8)]
    codes = [torch.randn(2, length) for length in plain.code_lengths(4, 4)]
    for image, one, two in zip(inputs, plain(inputs, codes), other(inputs, codes), strict=True):
        torch.testing.assert_close(two, image + (2 * one - 1))


@torch.no_grad()
def test_levels_of_super_resolution_add_to_what_follows_the_observation():
    plain, other = towers("super-resolution")
    observation = torch.rand(2, 3, 4, 4)
    bases = [torch.rand(2, 3, side, side) for side in (8, 16)]
    codes = [torch.randn(2, length) for length in plain.code_lengths(4, 4)]
    ours, carry = other.level(0, [observation, *bases], codes[0], None)
    theirs, plain_carry = plain.level(0, [observation], codes[0], None)
    torch.testing.assert_close(ours, bases[0] + (2 * theirs - 1))

    # The next level reads the image below in [-1, 1], whichever way it came about
    torch.testing.assert_close(carry.prediction, 2 * ours - 1)
    ours, _ = other.level(1, [observation, *bases], codes[1], carry)
    below = replace(plain_carry, prediction=carry.prediction)
    theirs, _ = plain.level(1, [observation], codes[1], below)
    torch.testing.assert_close(ours, bases[1] + (2 * theirs - 1))


@torch.no_grad()
def test_colorization_is_the_same_with_and_without():
    plain, other = towers("colorization", in_channels=1, out_channels=2)
    inputs = [torch.rand(2, 1, side, side) for side in (4, 8)]
    codes = [torch.randn(2, length) for length in plain.code_lengths(4, 4)]
    for one, two in zip(plain(inputs, codes), other(inputs, codes), strict=True):
        assert torch.equal(one, two)
