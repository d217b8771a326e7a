"""IMLE selects, loses and steps as the original does, and its samplers sample alone."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
import torch
from imle_references import config_of, numbered, weights

from invbench.data.synthetic import gaussian_photos
from invbench.errors import MissingDataError, UnknownNameError
from invbench.models.imle import build_tower, configure_tower, network_inputs, to_rgb
from invbench.models.registry import get_method
from invbench.networks.tower import Tower, TowerConfig
from invbench.operators import grayscale, resize_bicubic
from invbench.problems.tasks import get_task
from invbench.seeding import generator
from invbench.training.distances import PixelFeatures, squared_distance
from invbench.training.imle import (
    CHIMLE_OPTIONS,
    CIMLE_OPTIONS,
    ImleLearner,
    ImleOptions,
    imle_loss,
)
from invbench.training.pairs import Pairs
from invbench.training.selection import (
    candidate_distances,
    select_codes,
    select_whole_codes,
    target_pyramid,
)


def flat(images):
    """Compare raw pixels, divided by the width: the stand-in that the references use."""
    return [images.flatten(1) / images.shape[-1]]


class Projected:
    """The same under the references' fixed random projections, one for each level's size."""

    name = "projected pixels"

    def __init__(self, projections):
        self.projections = {projection.shape[0]: projection for projection in projections}

    def __call__(self, images):
        features = flat(images)[0]
        return [features @ self.projections[features.shape[1]]]


LOOPS = ["loop_sr", "loop_colour", "loop_generic"]


@pytest.fixture(params=LOOPS)
def loop(request, refs):
    file = f"imle/{request.param}.safetensors"
    tensors, metadata = refs(file), refs.metadata(file)
    tower = Tower(config_of({"cls": "TIM", **metadata}))
    tower.load_state_dict(weights(tensors))
    return tensors, metadata, tower


def test_selection_is_the_original_one(loop):
    tensors, _, tower = loop
    inputs, targets = numbered(tensors, "input"), numbered(tensors, "target")
    pools, features = numbered(tensors, "pool"), Projected(numbered(tensors, "projection"))
    chosen = select_codes(tower, inputs, targets, pools, features)
    for level, (codes, expected) in enumerate(
        zip(chosen, numbered(tensors, "selected_code"), strict=True)
    ):
        assert torch.equal(codes, expected), level
    for level, pool in enumerate(pools):
        picked = pool[torch.arange(len(pool)), tensors["selected_index"][level]]
        assert torch.equal(chosen[level], picked)


def test_distances_are_the_original_ones(loop):
    tensors, _, tower = loop
    inputs, chosen = numbered(tensors, "input"), numbered(tensors, "selected_code")
    features, carry = Projected(numbered(tensors, "projection")), None
    for level, pool in enumerate(numbered(tensors, "pool")):
        count = pool.shape[1]
        repeated = [image.repeat_interleave(count, dim=0) for image in inputs]
        with torch.inference_mode():
            below = carry.repeat(count) if carry else None
            output, _ = tower.level(level, repeated, pool.flatten(0, 1), below)
            found = features(to_rgb(output, tower.config))
            distance = candidate_distances(found, features(tensors[f"target.{level}"]))
            _, carry = tower.level(level, inputs, chosen[level], carry)
        torch.testing.assert_close(distance.sqrt(), tensors[f"dist.{level}"], atol=1e-4, rtol=0)
        assert torch.equal(distance.argmin(dim=1), tensors["selected_index"][level])


def test_loss_gradient_and_step_are_the_original_ones(loop):
    tensors, metadata, tower = loop
    inputs, targets = numbered(tensors, "input"), numbered(tensors, "target")
    outputs = tower(inputs, numbered(tensors, "selected_code"))
    rgb = [to_rgb(output, tower.config) for output in outputs]
    for output, expected in zip(rgb, numbered(tensors, "output_rgb"), strict=True):
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    parts = zip(rgb, targets, strict=True)
    each = torch.stack([squared_distance(flat(one), flat(other)) for one, other in parts])
    torch.testing.assert_close(each, tensors["loss_per_level"], rtol=1e-5, atol=0)
    loss = len(targets[0]) * imle_loss(rgb, targets, flat)  # the original sums over the batch
    torch.testing.assert_close(loss, tensors["loss_total"], rtol=1e-5, atol=0)
    loss.backward()
    parameters = dict(tower.named_parameters())
    for key, norm in zip(
        json.loads(metadata["grad_norms_key_order"]), tensors["grad_norms"], strict=True
    ):
        gradient = parameters[key].grad
        if norm.isnan():
            assert gradient is None
        else:
            torch.testing.assert_close(gradient.norm(), norm, rtol=1e-3, atol=1e-5)
    groups = [
        {"params": [p for n, p in parameters.items() if ("map" in n) is mapping], "lr": rate}
        for mapping, rate in ((False, 1e-4), (True, 1e-6))
    ]
    torch.optim.Adam(groups).step()
    for key, expected in tensors.items():
        if key.startswith("after_step."):
            name = key.removeprefix("after_step.")
            gradient = parameters[name].grad
            moved = torch.where(gradient.abs() > 1e-5, parameters[name].detach(), expected)
            torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)


def test_target_pyramids_are_the_original_ones(refs):
    tensors = refs("imle/colour_and_downsample.safetensors")
    pixels = tensors["rgb_u8"].permute(2, 0, 1)
    for factor in (2, 4, 8):
        height, width = pixels.shape[-2] // factor, pixels.shape[-1] // factor
        ours = resize_bicubic(pixels, height, width).permute(1, 2, 0) / 255
        assert torch.equal(ours, tensors[f"ds.{factor}"])


def small_learner(*, hierarchical=True, seed=0, decay=0.0, grown=False):
    targets = torch.stack([photo.pixels for photo in gaussian_photos(16, 12)])
    pairs = Pairs(get_task("decompression"), targets, torch.device("cpu"))
    config = TowerConfig(
        form="generic",
        residual_channels=(6, 6),
        growth_channels=(4, 4),
        blocks=1,
        map_channels=4,
        latent_channels=8,
        chained=hierarchical,
    )
    torch.manual_seed(seed)
    network = build_tower(config)
    options = ImleOptions(
        hierarchical=hierarchical,
        candidates=(3, 2),
        pool_size=8,
        epochs_per_pool=2,
        batch_size=4,
        selection_size=4,
        decay=decay,
    )
    return ImleLearner(network, pairs, PixelFeatures(), options, seed=seed, grown=grown)


def test_whole_codes_are_selected_by_the_final_output():
    learner = small_learner(hierarchical=False)
    tower = learner.network
    target, observation = learner.pairs.batch(2, generator(0))
    inputs = network_inputs(observation, tower.config)
    candidates = [
        torch.randn(2, 5, length, generator=generator(level))
        for level, length in enumerate(tower.code_lengths(*inputs[0].shape[-2:]))
    ]
    targets = target_pyramid(target, tower.output_sizes(inputs[0].shape[-1]))
    chosen = select_whole_codes(tower, inputs, targets, candidates, PixelFeatures())
    for image in range(2):
        one = [part[image : image + 1] for part in inputs]
        distances = []
        for index in range(5):
            with torch.inference_mode():
                codes = [level[image : image + 1, index] for level in candidates]
                output = tower(one, codes)[-1]
            features = PixelFeatures()
            wanted = features(target[image : image + 1])
            distances.append(float(squared_distance(features(output), wanted)))
        best = distances.index(min(distances))
        for level, codes in enumerate(chosen):
            assert torch.equal(codes[image], candidates[level][image, best])


@pytest.mark.slow
@pytest.mark.parametrize("hierarchical", [True, False], ids=["chimle", "cimle"])
def test_learning_lowers_the_loss(hierarchical):
    learner = small_learner(hierarchical=hierarchical)
    losses = [learner.step(0.0)["loss"] for _ in range(60)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_learner_continues_exactly(decay):
    first = small_learner(decay=decay)
    for _ in range(3):
        first.step(0.1)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    second = small_learner(seed=1, decay=decay)
    second.load_state_dict(torch.load(saved, weights_only=True))
    assert [first.step(0.2) for _ in range(5)] == [second.step(0.2) for _ in range(5)]
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_official_options_are_the_published_ones():
    options = CHIMLE_OPTIONS["official"]
    assert options.candidates == (200, 200, 20, 10)
    assert (options.learning_rate, options.mapping_rate, options.batch_size) == (1e-4, 0.01, 1)
    assert options.pool_size * options.epochs_per_pool == 10_000
    assert options.grow_until == 0
    flat = CIMLE_OPTIONS["official"]
    assert (flat.hierarchical, flat.candidates) == (False, (80,))


def test_fewer_images_than_a_batch_are_refused():
    learner = small_learner()
    pairs = replace(learner.pairs, targets=learner.pairs.targets[:1])
    options = replace(learner.options, batch_size=2)
    with pytest.raises(MissingDataError, match="1 target cannot fill a batch of 2"):
        ImleLearner(learner.network, pairs, PixelFeatures(), options, seed=0)


def test_growing_trains_low_levels_first():
    learner = small_learner()
    learner.options = ImleOptions(
        hierarchical=True,
        candidates=(2, 2),
        pool_size=4,
        batch_size=4,
        epochs_per_pool=1,
        grow_until=0.5,
    )
    top = learner.network.level_2_out[0].weight_v
    low = learner.network.level_1_out[0].weight_v
    before = top.clone(), low.clone()
    learner.step(0.0)
    assert torch.equal(top, before[0])
    assert not torch.equal(low, before[1])
    learner.step(0.5)
    assert not torch.equal(top, before[0])


def test_a_tower_that_was_trained_before_is_trained_whole():
    learner = small_learner(grown=True)
    learner.options = replace(learner.options, grow_until=0.5)
    top = learner.network.level_2_out[0].weight_v
    before = top.clone()
    learner.step(0.0)
    assert not torch.equal(top, before)
    resumed = small_learner()
    resumed.load_state_dict(learner.state_dict())
    assert resumed.grown


@pytest.mark.parametrize("model", ["chimle", "cimle"])
@pytest.mark.parametrize("task", ["sr16", "colorization", "decompression"])
@torch.inference_mode()
def test_a_sample_does_not_depend_on_its_batch(model, task):
    method = get_method(model)
    config = method.configure(task, "tiny")
    torch.manual_seed(0)
    sampler = method.sampler(method.build(config).eval(), config)
    target = torch.rand(1, 3, 64, 64, generator=generator(0))
    observation = get_task(task).operator(target)
    together = sampler(observation.expand(3, -1, -1, -1), [generator(k) for k in range(3)])
    assert together.shape == (3, 3, 64, 64)
    assert 0 <= together.min() <= together.max() <= 1
    alone = sampler(observation, [generator(2)])
    torch.testing.assert_close(alone[0], together[2], atol=1e-5, rtol=0)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


def test_colorization_keeps_the_lightness_of_gray_where_nothing_is_predicted():
    """Zero chroma must give back the observation, so that validity can be had."""
    config = configure_tower("colorization", "tiny", chained=True)
    observation = torch.linspace(0.02, 1, 64).reshape(1, 1, 8, 8)
    light = network_inputs(observation, config)[-1]
    rgb = to_rgb(torch.cat([light, torch.zeros(1, 2, 8, 8)], dim=1), config)
    reobserved = grayscale((rgb.clamp(0, 1) * 255).round().to(torch.uint8))
    assert (reobserved.float() - observation * 255).abs().max() <= 1


@pytest.mark.parametrize(("task", "name"), [("sr8", "tiny"), ("sr16", "teeny")])
def test_unknown_names_are_refused_with_the_nearest(task, name):
    with pytest.raises(UnknownNameError, match="did you mean"):
        get_method("chimle").configure(task, name)
    with pytest.raises(UnknownNameError, match="did you mean"):
        get_method("chimel")
