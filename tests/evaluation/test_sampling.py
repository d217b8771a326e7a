"""A sample is the same in any company, and what is no image is refused by name."""

from __future__ import annotations

import pytest
import torch

from invbench.errors import InvalidSamplesError
from invbench.evaluation.sampling import draw
from invbench.images import to_uint8
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
    "in 0 to 255": (lambda x: x * 255, r"not \[0, 1\]"),
    "in -1 to 1": (lambda x: x * 2 - 1, r"not \[0, 1\]"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_bad_samples_are_refused(spoil, message):
    def sampler(observation, generators):
        return spoil(noisy(observation, generators))

    with pytest.raises(InvalidSamplesError, match=message):
        draw(sampler, observations(1), task="t", image_ids=["a"], size=SIZE, n_samples=2)


def test_a_nan_is_traced_to_its_sample():
    def sampler(observation, generators):
        samples = noisy(observation, generators)
        samples[1, 0, 0, 0] = torch.nan
        return samples

    with pytest.raises(InvalidSamplesError, match="sample 1 of a: 1 of 192 values are NaN"):
        draw(sampler, observations(1), task="t", image_ids=["a"], size=SIZE, n_samples=2)
