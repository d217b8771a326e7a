"""What adapted samplers are held against: the contract, and a world with known answers."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from invbench.evaluation.contract import global_states
from invbench.problems import find_task
from invbench.seeding import generator
from invbench.worlds import get_world

CPU = torch.device("cpu")
GAUSSIAN = get_world("gaussian")


def needs(*libraries):
    """Skip a module's tests, saying why, where a library is not installed."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"{', '.join(missing)} not installed; `tox -e adapters` has them"
        pytest.skip(reason, allow_module_level=True)


def problem_of(name, size=16):
    return find_task(name).problem((size, size))


def in_world(name="sr4", size=16):
    """Return a problem whose images are Gaussian, with the exact denoiser, and an observation."""
    task = GAUSSIAN.tasks({name: (find_task(name), size)})[name]
    problem = GAUSSIAN.problem(task, size)
    target = GAUSSIAN.photos(size, 1)[0].pixels.float() / 255
    return problem, problem.observe(target, "a")[None]


def against_truth(sampler, problem, observation, count=8):
    """Return how far the samples' mean is from the exact one, and chi-squared of the samples.

    The first is a root mean square in units of the posterior's standard deviation: about
    1 / sqrt(count) for exact samples, whose chi-squared is about 1.
    """
    exact = GAUSSIAN.posterior(problem)
    many = observation.expand(count, -1, -1, -1)
    truth = exact(many, [generator(1000 + k) for k in range(count)])
    with torch.no_grad():
        samples = sampler(many, [generator(k) for k in range(count)])
    error = (samples.mean(0) - exact.mean(observation)[0].float()).square().mean().sqrt()
    missed = (problem.linear(samples) - observation) / problem.noise.std
    return float(error / truth.std(0).mean()), float(missed.square().mean())


def assert_contract(sampler, problem, *, same=False):
    """Hold a sampler to what the suite asks of it, as the suite calls it."""
    source = torch.Generator().manual_seed(7)
    observation = torch.rand(3, *problem.observation_shape, generator=source)
    given, before = observation.clone(), global_states()
    with torch.no_grad():
        samples = sampler(observation, [generator(k) for k in range(3)])
        assert not torch.is_grad_enabled()
        assert global_states() == before
        torch.rand(5)  # what the global generators hold has no part in a sample
        again = sampler(observation[[2, 0]], [generator(2), generator(0)])
        twice = sampler(observation[[0, 0]], [generator(0), generator(5)])
    assert torch.equal(observation, given)
    assert samples.shape == (3, 3, *problem.size)
    assert samples.dtype == torch.float32
    assert not samples.requires_grad
    assert samples.isfinite().all()
    assert 0 <= samples.min() <= samples.max() <= 1
    torch.testing.assert_close(again, samples[[2, 0]], atol=1e-4, rtol=0)
    torch.testing.assert_close(twice[0], samples[0], atol=1e-4, rtol=0)
    assert torch.equal(twice[0], twice[1]) == same
