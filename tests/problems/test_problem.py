"""A task at a size is a problem: what it says of operator, twin and noise holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from invbench.data.photos import photos
from invbench.errors import InvalidImagesError, InvalidOptionError
from invbench.evaluation import Settings, draw_samples, observe
from invbench.evaluation.sampling import draw_rows
from invbench.images import from_uint8
from invbench.operators import LinearBicubic, LinearGray, PillowBicubic
from invbench.problems import TASKS, Noise, Task

CPU = torch.device("cpu")
BASELINE = Path(__file__).parents[2] / "fixtures" / "baselines" / "cpu" / "tiny.json"
TARGET = from_uint8(photos(64, 1)[0].pixels)
NOISY = Task(name="noisy", version="1", operator=PillowBicubic(4), noise=Noise(0.1))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
class TestStudy:
    def test_a_problem_knows_its_shapes(self, task):
        problem = task.problem((48, 64))
        assert (problem.name, problem.size) == (task.name, (48, 64))
        images = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
        assert problem.observe(images, "a").shape == problem.observation_shape
        assert not problem.noise
        assert problem.denoiser is None

    def test_the_linear_twin_is_the_operator_but_for_rounding(self, task):
        problem = task.problem((64, 64))
        if task.name == "decompression":
            assert problem.linear is None
            return
        seen, linear = problem.operator(TARGET), problem.linear(TARGET)
        assert (seen - linear).abs().max() < 12 / 255
        assert (seen - linear).abs().mean() < 0.6 / 255

    def test_its_identity_is_that_of_the_baseline(self, task):
        known = json.loads(BASELINE.read_text())["cases"]
        cases = [c for c in known.values() if c["identity"]["task"]["name"] == task.name]
        assert len(cases) >= 8
        for case in cases:
            identity = dict(case["identity"]["task"])
            del identity["dataset"]
            assert task.identity() == identity


def test_the_twins_are_those_of_the_operators():
    assert TASKS["sr16"].problem((64, 32)).linear == LinearBicubic(64, 32, 16)
    assert TASKS["colorization"].problem((64, 32)).linear == LinearGray(64, 32)


def test_a_size_that_cannot_be_observed_is_named():
    with pytest.raises(InvalidImagesError, match="choose a smaller factor"):
        TASKS["sr16"].problem((8, 8))


class TestNoise:
    def test_is_white_and_of_the_given_std(self):
        problem, photo = NOISY.problem((64, 64)), photos(64, 1)[0]
        added = observe(photo, problem, CPU).observation - problem.operator(TARGET)
        scaled = added.double() / 0.1
        count = added.numel()
        assert abs(scaled.mean()) < 4 / count**0.5
        assert abs(scaled.square().mean() - 1) < 4 * (2 / count) ** 0.5
        neighbours = (scaled[..., 1:] * scaled[..., :-1]).mean()
        assert abs(neighbours) < 4 / count**0.5

    def test_hangs_on_task_and_image_and_on_nothing_else(self):
        noise, empty = Noise(0.2), torch.zeros(3, 8, 8)
        first = noise.add(empty, task="a", image_id="x")
        torch.manual_seed(7)
        assert torch.equal(first, noise.add(empty, task="a", image_id="x"))
        for other in ({"task": "b", "image_id": "x"}, {"task": "a", "image_id": "y"}):
            assert not torch.equal(first, noise.add(empty, **other))
        assert torch.equal(2 * first, Noise(0.4).add(empty, task="a", image_id="x"))

    def test_is_the_same_in_any_batch_shard_and_run(self):
        """What a sampler is given of an image, alone and beside others, with other seeds."""
        problem, seen = NOISY.problem((64, 64)), []

        def sampler(observation, generators):
            seen.append(observation[:1].clone())
            return torch.zeros(len(generators), 3, 64, 64)

        first, second = photos(64, 2)
        alone = observe(second, problem, CPU)
        draw_samples(sampler, alone, Settings(n_samples=2, chunk_size=1, seed=5))
        both = [observe(photo, problem, CPU) for photo in (first, second)]
        draw_rows(sampler, both, [(1, 0), (0, 0)], Settings(n_samples=1, chunk_size=2))
        assert all(torch.equal(seen[0], other) for other in seen[1:])

    def test_is_not_clamped(self):
        black = torch.zeros(3, 64, 64)
        assert NOISY.problem((64, 64)).observe(black, "x").min() < 0

    def test_is_in_the_identity_only_where_there_is_some(self):
        assert NOISY.identity()["noise"]["params"] == {"std": 0.1}
        assert "noise" not in TASKS["sr16"].identity()

    @pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf")])
    def test_of_no_sense_is_refused(self, std):
        with pytest.raises(InvalidOptionError, match="give a number from 0 up"):
            Noise(std)
