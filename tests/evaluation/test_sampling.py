"""A sample is the same in any company, and what is no image is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from invbench.data.photos import photos
from invbench.errors import InvalidSamplesError
from invbench.evaluation import Settings, draw_samples, draw_within_memory, observe
from invbench.evaluation.sampling import draw
from invbench.images import to_uint8
from invbench.problems import get_task
from invbench.seeding import randn

SIZE = (8, 8)


def noisy(observation, generators):
    """Copy the observation to three channels and add noise, as a sampler might."""
    images = observation[:, :1].expand(-1, 3, -1, -1)
    return (images + 0.2 * randn(generators, images.shape[1:])).clamp(0, 1)


def observations(count):
    return torch.linspace(0, 1, count).reshape(-1, 1, 1, 1).expand(-1, 1, *SIZE)


def test_samples_do_not_depend_on_the_chunk_or_the_shard():
    ids = ["a", "b", "c"]
    together = draw(
        noisy, observations(3), task="t", image_ids=ids, size=SIZE, n_samples=5, chunk_size=4
    )
    assert together.shape == (3, 5, 3, *SIZE)
    for chunk_size in (1, 2, 15, 100):
        again = draw(
            noisy,
            observations(3),
            task="t",
            image_ids=ids,
            size=SIZE,
            n_samples=5,
            chunk_size=chunk_size,
        )
        assert torch.equal(together, again)
    alone = draw(
        noisy, observations(3)[1:2], task="t", image_ids=["b"], size=SIZE, n_samples=2, first=3
    )
    assert torch.equal(alone[0], together[1, 3:])


def test_seed_task_image_and_index_each_give_other_samples():
    def one(**changes):
        arguments = {"task": "t", "image_ids": ["a"], "size": SIZE, "n_samples": 1} | changes
        return draw(noisy, observations(1), **arguments)

    base = one()
    for changes in ({"seed": 1}, {"task": "u"}, {"image_ids": ["b"]}, {"first": 1}):
        assert not torch.equal(base, one(**changes))


def test_samples_are_on_the_8_bit_grid():
    samples = draw(noisy, observations(1), task="t", image_ids=["a"], size=SIZE, n_samples=3)
    assert torch.equal(samples, to_uint8(samples) / 255)


SPOILT = {
    "cropped": (lambda x: x[:, :, :4], "shape"),
    "one too few": (lambda x: x[:-1], "shape"),
    "gray": (lambda x: x[:, :1], "shape"),
    "in 0 to 255": (lambda x: x * 255, r"beyond \[0, 1\]"),
    "in -1 to 1": (lambda x: x * 2 - 1, r"beyond \[0, 1\]"),
    "8 bits": (to_uint8, "dtype torch.uint8; convert"),
    "8 bits in NumPy": (lambda x: to_uint8(x).numpy(), "dtype torch.uint8; convert"),
    "complex": (lambda x: x.to(torch.complex64), "return a dense tensor"),
    "without values": (lambda x: x.to("meta"), "return a dense tensor"),
    "sparse": (lambda x: x.to_sparse(), "return a dense tensor"),
    "a list": (list, "of type list; return one tensor"),
    "a tuple": (lambda x: (x, x), "of type tuple; return one tensor"),
    "nothing": (lambda _: None, "of type NoneType; return one tensor"),
    "text in NumPy": (lambda x: x.numpy().astype(str), "of type ndarray of <U"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_bad_samples_are_refused(spoil, message):
    def sampler(observation, generators):
        return spoil(noisy(observation, generators))

    with pytest.raises(InvalidSamplesError, match=message):
        draw(sampler, observations(1), task="t", image_ids=["a"], size=SIZE, n_samples=2)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.numpy(),
        lambda x: x.numpy()[:, :, ::-1, ::-1][:, :, ::-1, ::-1],
        lambda x: x.numpy().astype(np.float64),
        lambda x: x.double(),
        lambda x: x.requires_grad_(),
        torch.nn.Parameter,
    ],
    ids=["numpy", "negative strides", "numpy float64", "float64", "with a graph", "parameter"],
)
def test_samples_may_come_in_other_types(convert):
    arguments = {"task": "t", "image_ids": ["a"], "size": SIZE, "n_samples": 2}
    expected = draw(noisy, observations(1), **arguments)
    found = draw(lambda *given: convert(noisy(*given)), observations(1), **arguments)
    assert torch.equal(found, expected)
    assert (found.dtype, found.requires_grad) == (torch.float32, False)


class TestGradients:
    """Samplers are called without gradients, and may enable them."""

    def test_are_off_unless_enabled(self):
        weight = torch.nn.Parameter(torch.ones(()))
        modes = []

        def sampler(observation, generators):
            modes.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
            modes.append((observation * weight).requires_grad)
            return noisy(observation, generators)

        draw(sampler, observations(1), task="t", image_ids=["a"], size=SIZE, n_samples=1)
        assert modes == [(False, False), False]

    def test_guide_a_sampler_through_the_linear_twin(self):
        """As in diffusion posterior sampling: each step follows the gradient of the misfit."""
        problem = get_task("sr16").problem((64, 64))
        photo = photos(64, 1)[0]
        observed = observe(photo, problem, torch.device("cpu"))
        exact = []

        def sampler(observation, generators):
            images = 0.5 + 0.05 * randn(generators, (3, 64, 64))
            for _ in range(30):
                with torch.enable_grad():
                    images = images.detach().requires_grad_()
                    residual = problem.linear(images) - observation
                    (gradient,) = torch.autograd.grad(residual.square().sum() / 2, images)
                exact.append((gradient, problem.linear.adjoint(residual.detach())))
                images = images - 200 * gradient
            return images.clamp(0, 1)

        samples = draw_samples(sampler, observed, Settings(n_samples=4, chunk_size=2))
        for gradient, adjoint in exact:
            torch.testing.assert_close(gradient, adjoint)
        error = (problem.operator(samples) - observed.observation).square().mean().sqrt()
        assert error < 4 / 255
        assert samples.std(dim=0).mean() > 0.02


def test_a_nan_is_traced_to_its_sample():
    def sampler(observation, generators):
        samples = noisy(observation, generators)
        samples[1, 0, 0, 0] = torch.nan
        return samples

    with pytest.raises(InvalidSamplesError, match="sample 1 of a: 1 of 192 values are NaN"):
        draw(sampler, observations(1), task="t", image_ids=["a"], size=SIZE, n_samples=2)


class Small:
    """A sampler whose device holds a few samples."""

    def __init__(self, room):
        self.room, self.calls = room, []

    def __call__(self, observation, generators):
        self.calls.append(len(generators))
        if len(generators) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return noisy(observation, generators).repeat_interleave(8, -1).repeat_interleave(8, -2)


def test_where_memory_runs_out_fewer_samples_are_drawn_at_a_time():
    task = get_task("colorization")
    observed = observe(photos(64, 1)[0], task.problem((64, 64)), torch.device("cpu"))
    observed = replace(observed, observation=observed.observation[..., ::8, ::8])
    settings = Settings(n_samples=10, chunk_size=32)
    small = Small(3)
    samples, fits = draw_within_memory(small, observed, settings)
    assert torch.equal(samples, draw_samples(Small(10), observed, settings))
    assert (fits.chunk_size, settings.chunk_size) == (2, 32)
    assert small.calls == [10, 5, 2, 2, 2, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):
        draw_within_memory(Small(0), observed, settings)
