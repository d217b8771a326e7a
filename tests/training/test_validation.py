"""Skill is 1 for the truth and 0 for the reference, and compares mean scores."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from invbench.data.photos import photos
from invbench.images import from_uint8
from invbench.models import reference_sampler
from invbench.problems import TASKS, get_task
from invbench.training.pairs import Pairs
from invbench.training.validation import reference_crps, validate

SIZE = 128


@pytest.fixture(params=TASKS)
def held_out(request):
    targets = torch.stack([photo.pixels for photo in photos(SIZE, 3)])
    return Pairs(get_task(request.param), targets, torch.device("cpu"))


def scores_of(sampler, held_out, **options):
    method = SimpleNamespace(sampler=lambda *_: sampler)
    network = torch.nn.Linear(1, 1)
    found = validate(method, None, held_out, network, **options)
    assert network.training
    return found


def constant(value):
    def sample(_, generators):
        return torch.full((len(generators), 3, SIZE, SIZE), value)

    return sample


def test_of_the_truth_is_one(held_out):
    truths = iter(from_uint8(held_out.targets))

    def sample(_, generators):
        return next(truths).expand(len(generators), -1, -1, -1)

    scores = scores_of(sample, held_out)
    assert (scores["skill"], scores["crps"], scores["width"]) == (1, 0, 0)
    assert (scores["psnr"], scores["ssim"]) == (100, 1)


def test_of_the_reference_is_near_zero(held_out):
    scores = scores_of(reference_sampler(held_out.task.problem((SIZE, SIZE))), held_out)
    assert scores["skill"] == pytest.approx(0, abs=0.2)  # 4 draws against 16, of 3 photographs
    assert scores["width"] > 0.02


def test_is_one_less_the_ratio_of_mean_scores(held_out):
    # A CRPS of samples that are all the same is their mean absolute error
    error = (from_uint8(held_out.targets[:2]) - 51 / 255).abs().mean()
    scores = scores_of(constant(51 / 255), held_out, images=2)
    assert scores["crps"] == pytest.approx(float(error), abs=1e-4)
    expected = 1 - float(error) / reference_crps(held_out, 2)
    assert scores["skill"] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("task", ["sr16", "colorization"])
def test_the_reference_is_consistent_with_what_it_saw(task):
    problem = get_task(task).problem((SIZE, SIZE))
    operator = problem.operator
    target = from_uint8(photos(SIZE, 1)[0].pixels) / 2 + 0.25  # clear of clamping
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    observation = operator(target)
    samples = reference_sampler(problem)(observation.expand(2, -1, -1, -1), generators)
    assert (operator(samples) - observation).abs().mean() < 3 / 255
    assert (samples[0] - samples[1]).abs().mean() > 0.02
