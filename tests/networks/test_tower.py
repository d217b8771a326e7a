"""The IMLE networks are the published ones, key for key and value for value."""

from __future__ import annotations

import pytest
import torch
from imle_references import FORMS, config_of, numbered, weights

from invbench.networks.residual_dense import ResidualDenseBlock, ResidualInResidualBlock
from invbench.networks.tower import Tower, TowerConfig, initialize

SMALL = [
    "tim_sr_small",
    "tim_colour_small",
    "tim_generic_small",
    "hyperrim_sr_small",
    "hyperrim_decomp_small",
]
KEYS = {
    "chimle_super_resolution": TowerConfig(form="super-resolution"),
    "chimle_colourization": TowerConfig(form="colorization", in_channels=1, out_channels=2),
    "chimle_generic_decompression": TowerConfig(form="generic"),
    "hyperrim_sr": TowerConfig(form="super-resolution", chained=False),
    "hyperrim_decompression": TowerConfig(
        form="super-resolution",
        residual_channels=(64,),
        growth_channels=(64,),
        chained=False,
        upsample=False,
    ),
}


@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_small_towers_give_the_original_outputs(refs, name):
    file = f"imle/{name}.safetensors"
    tensors = refs(file)
    tower = Tower(config_of(refs.metadata(file)))
    tower.load_state_dict(weights(tensors))
    inputs, codes = numbered(tensors, "input"), numbered(tensors, "code")
    for output, expected in zip(tower(inputs, codes), numbered(tensors, "output"), strict=True):
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)
    partial = numbered(tensors, "partial2")
    for output, expected in zip(tower(inputs, codes[:2]), partial, strict=False):
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["super_resolution", "colourization", "generic_decompression"])
@torch.inference_mode()
def test_towers_of_published_size_give_the_original_outputs(refs, name):
    file = f"imle/tim_official_{name}_8x8.safetensors"
    tensors = refs(file)
    tower = Tower(config_of(refs.metadata(file)))
    fill(tower)
    outputs = tower(numbered(tensors, "input"), numbered(tensors, "code"))
    for output, expected in zip(outputs, numbered(tensors, "output"), strict=True):
        torch.testing.assert_close(output, expected, atol=1e-4, rtol=0)


def fill(tower):
    """Fill weights by the rule that the references were made with."""
    for index, key in enumerate(sorted(tower.state_dict())):
        weight = tower.state_dict()[key]
        draw = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1000 + index))
        if key.endswith("weight_g"):
            draw = (0.25 if "_out." in key else 1.0) * (1 + 0.1 * draw)
        elif key.endswith("bias"):
            draw = 0.1 * draw
        elif not key.endswith("weight_v"):
            draw = draw * (2 / weight.shape[1:].numel()) ** 0.5
        weight.copy_(draw)


@pytest.mark.parametrize("name", KEYS)
def test_published_sizes_have_the_published_keys_and_shapes(refs, name):
    expected = refs.json(f"imle/official_keys_{name}.json")
    with torch.device("meta"):
        tower = Tower(KEYS[name])
    assert {key: list(value.shape) for key, value in tower.state_dict().items()} == expected[
        "state_dict"
    ]
    assert sum(p.numel() for p in tower.parameters()) == expected["n_params"]


def test_dense_blocks_give_the_original_outputs(refs):
    tensors = refs("imle/rrdb_block.safetensors")
    whole = ResidualInResidualBlock(6, 4)
    whole.load_state_dict(weights(tensors))
    first = ResidualDenseBlock(6, 4)
    first.load_state_dict(whole.RDB1.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(first(tensors["x"]), tensors["rdb1"], atol=1e-6, rtol=0)
        torch.testing.assert_close(whole(tensors["x"]), tensors["rrdb"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", FORMS.values())
def test_sizes_and_lengths_are_as_told(form):
    colour = form == "colorization"
    config = TowerConfig(
        form=form,
        in_channels=1 if colour else 3,
        out_channels=2 if colour else 3,
        residual_channels=(4, 4, 4),
        growth_channels=(2, 2, 2),
        blocks=1,
        map_channels=3,
        latent_channels=4,
    )
    tower = Tower(config)
    inputs = [torch.rand(2, config.in_channels, 4 * 2**i, 4 * 2**i) for i in range(3)]
    codes = [torch.randn(2, length) for length in tower.code_lengths(4, 4)]
    sizes = [output.shape[-1] for output in tower(inputs, codes)]
    assert sizes == tower.output_sizes(4)
    assert all(output.shape[1] == 3 for output in tower(inputs, codes))


def test_a_level_on_a_repeated_carry_is_the_whole_tower():
    """Searching one level on top of fixed ones must see what the whole network would give."""
    config = TowerConfig(
        form="generic",
        residual_channels=(4, 4),
        growth_channels=(2, 2),
        blocks=1,
        map_channels=3,
        latent_channels=4,
    )
    tower = Tower(config)
    inputs = [torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)]
    low, high = (torch.randn(2, length) for length in tower.code_lengths(4, 4))
    candidates = torch.randn(2, 3, high.shape[1])
    candidates[:, 1] = high
    with torch.inference_mode():
        _, carry = tower.level(0, inputs, low, None)
        repeated = [image.repeat_interleave(3, dim=0) for image in inputs]
        output, _ = tower.level(1, repeated, candidates.flatten(0, 1), carry.repeat(3))
        expected = tower(inputs, [low, high])[1]
    torch.testing.assert_close(output.reshape(2, 3, 3, 8, 8)[:, 1], expected, atol=1e-6, rtol=0)


def test_initialization_leaves_the_input_audible():
    """At the start samples differ far less than observations do, yet they do differ."""
    torch.manual_seed(0)
    tower = Tower(
        TowerConfig(
            form="super-resolution",
            residual_channels=(16, 16, 16),
            growth_channels=(8, 8, 8),
            blocks=1,
            map_channels=4,
            latent_channels=8,
        )
    )
    initialize(tower)
    images = torch.rand(16, 3, 1, 1).expand(-1, -1, 6, 6)
    codes = [torch.randn(16, length) for length in tower.code_lengths(6, 6)]
    with torch.inference_mode():
        over_images = tower([images], [code[:1].expand(16, -1) for code in codes])[-1].std(0).mean()
        over_codes = tower([images[:1].expand(16, -1, -1, -1)], codes)[-1].std(0).mean()
    assert 0 < over_codes < over_images
