"""MoNCE for pairs: contrast and difference of a trunk's features, and its training step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gan_references import make_pairs, seeded
from torch.nn import functional

from invbench.models.monce import MonceConfig, build_monce
from invbench.training.contrast import transport_plan
from invbench.training.monce_paired import (
    PairedMonceLearner,
    PairedMonceOptions,
    compare_features,
)

SMALL = PairedMonceOptions(
    batch_size=2, patches=6, discriminator_channels=4, discriminator_layers=2, warm_up_steps=0
)


def trunk(images):
    halves = functional.avg_pool2d(images, 4)
    return [halves, functional.avg_pool2d(halves.square(), 2)]


def make_learner(**changes):
    torch.manual_seed(0)
    generator = build_monce(MonceConfig(channels=4, blocks=2, difference=True))
    options = replace(SMALL, **changes)
    return PairedMonceLearner(generator, make_pairs(32), options, seed=1, trunk=trunk)


def by_hand(ours, theirs, picked, temperature, *, modulated):
    """Return the contrast of one image's map, patch by patch."""
    unit = [maps[:, picked].numpy().T for maps in (ours.flatten(1), theirs.flatten(1))]
    queries, keys = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in unit)
    similarity = queries @ keys.T
    count, losses = len(picked), []
    weights = np.ones((count, count))
    if modulated:
        plan = transport_plan(torch.from_numpy(similarity)[None], regularization=1.0)[0].numpy()
        weights = plan * count + 1e-8
    for i in range(count):
        gain = weights[i].max() if modulated else 1.0
        positive = gain * math.exp(similarity[i, i] / temperature)
        negatives = sum(
            weights[i, j] * math.exp(similarity[i, j] / temperature) for j in range(count) if j != i
        )
        losses.append(-math.log(positive / (positive + negatives)))
    return np.mean(losses)


def test_features_are_compared_map_by_map_and_the_last_one_is_modulated():
    found, wanted = (
        [torch.randn(2, 3, 4, 4, generator=seeded(k)).double() for k in keys]
        for keys in ((0, 1), (2, 3))
    )
    positions = [torch.tensor([0, 5, 9, 14]), torch.tensor([3, 1, 8])]
    contrast, difference = compare_features(found, wanted, positions, temperature=0.5)
    expected = [
        by_hand(ours[row], theirs[row], picked, 0.5, modulated=layer == 1)
        for layer, (ours, theirs, picked) in enumerate(zip(found, wanted, positions, strict=True))
        for row in range(2)
    ]
    assert contrast.item() == pytest.approx(np.mean(expected), rel=1e-5)
    both = [(ours - theirs).abs().mean().item() for ours, theirs in zip(found, wanted, strict=True)]
    assert difference.item() == pytest.approx(np.mean(both))


class TestLearner:
    def test_steps_move_the_generator_and_the_discriminator(self):
        learner = make_learner()
        before = {
            name: [one.clone() for one in network.parameters()]
            for name, network in learner.players.networks.items()
        }
        losses = learner.step(0.0)
        assert set(losses) == {"gan", "contrast", "features", "discriminator"}
        assert all(math.isfinite(loss) for loss in losses.values())
        for name, network in learner.players.networks.items():
            same = zip(network.parameters(), before[name], strict=True)
            assert not all(torch.equal(*pair) for pair in same)

    def test_a_generator_that_returns_the_target_loses_least(self):
        learner = make_learner()
        for weights in learner.trained.parameters():
            weights.data.zero_()
        target = 2 * torch.rand(2, 3, 32, 32, generator=seeded(3)) - 1
        right, wrong = (
            learner.update(source, target, noise={}, progress=1.0)
            for source in (target, target.flip(-1))
        )
        assert right["features"].item() == 0
        assert wrong["features"].item() > 0
        assert right["contrast"].item() < wrong["contrast"].item()

    def test_continues_exactly_from_its_state(self, tmp_path):
        learner = make_learner()
        learner.step(0.0)
        torch.save(learner.state_dict(), tmp_path / "state.pt")
        expected = [learner.step(0.6) for _ in range(2)]
        resumed = make_learner()
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert [resumed.step(0.6) for _ in range(2)] == expected
        same = zip(learner.network.parameters(), resumed.network.parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in same)
