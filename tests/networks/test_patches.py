"""A network that reads patches is the plain network on squares of pixels laid out as channels."""

from __future__ import annotations

from dataclasses import replace

import torch

from invbench.networks.guided_unet import GuidedUnet, GuidedUnetConfig
from invbench.networks.paired_unet import PairedUnet, PairedUnetConfig


def lay_out(images, side):
    """Put pixel (i, j) of every square of a channel into channel ``side * i + j`` of that one."""
    parts = [images[:, :, i::side, j::side] for i in range(side) for j in range(side)]
    return torch.stack(parts, dim=2).flatten(1, 2)


def fill(network, other):
    for weight in network.parameters():
        weight.data = 0.1 * torch.randn(weight.shape)
    other.load_state_dict(network.state_dict())


@torch.no_grad()
def test_guided_unet():
    config = GuidedUnetConfig(
        channels=32,
        multipliers=(1,),
        blocks=1,
        attention_factors=(),
        head_channels=32,
        in_channels=12,
        out_channels=12,
    )
    plain = GuidedUnet(config)
    other = GuidedUnet(replace(config, in_channels=3, out_channels=3, patch=2))
    fill(plain, other)
    images, times = torch.randn(2, 3, 8, 8), torch.tensor([3.0, 700.0])
    found = other(images, times)
    assert found.shape == images.shape
    torch.testing.assert_close(lay_out(found, 2), plain(lay_out(images, 2), times))


@torch.no_grad()
def test_paired_unet_attends_at_the_size_it_works_at():
    config = PairedUnetConfig(
        size=4,
        channels=32,
        multipliers=(1,),
        blocks=1,
        attention_sizes=(4,),
        dropout=0.0,
        image_channels=12,
        observation_channels=4,
    )
    plain = PairedUnet(config)
    other = PairedUnet(replace(config, size=8, image_channels=3, observation_channels=1, patch=2))
    fill(plain, other)
    image, observation, times = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8), torch.rand(2)
    found = other(image, observation, times)
    expected = plain(lay_out(image, 2), lay_out(observation, 2), times)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(lay_out(ours, 2), theirs)
