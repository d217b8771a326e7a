"""Noise depends on what it is for, and on nothing else."""

from __future__ import annotations

import threading

import pytest
import torch
from scipy import stats

from invbench.seeding import fill_rows, generator, randn, sample_seed


def test_every_part_of_the_key_changes_the_seed():
    key = (0, "sr16", "a", 1)
    others = [(1, "sr16", "a", 1), (0, "sr", "a", 1), (0, "sr16", "b", 1), (0, "sr16", "a", 2)]
    seeds = {sample_seed(*key), *(sample_seed(*other) for other in others)}
    assert len(seeds) == 5


def test_the_seed_is_a_constant_of_nature():
    # half of the 8-byte blake2b of "0/sr16/astronaut-0/3"; stored samples hang on it
    assert sample_seed(0, "sr16", "astronaut-0", 3) == 5965074949472447003


def test_a_row_depends_on_its_generator_alone():
    together = randn([generator(1), generator(2)], [3, 4])
    assert torch.equal(together[1], randn([generator(2)], [3, 4])[0])


def test_noise_is_standard_normal_across_seeds():
    first = [randn([generator(sample_seed(0, "t", "i", k))], [1]).item() for k in range(2000)]
    assert stats.kstest(first, "norm").pvalue > 0.01


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(), (3,), (15,), (17,), (3, 64, 64), (3, 192, 192)])
@pytest.mark.parametrize("inference", [True, False])
def test_rows_are_what_their_generators_draw_in_any_number_of_threads(
    shape,
    inference,
    two_threads,  # noqa: ARG001
):
    generators = [generator(seed) for seed in range(3)]
    alone = [generator(seed) for seed in range(3)]
    with torch.inference_mode(inference):
        for _ in range(2):
            expected = torch.stack([torch.randn(shape, generator=one) for one in alone])
            assert torch.equal(randn(generators, shape), expected)


def test_large_rows_are_drawn_in_threads_and_small_ones_here(two_threads):  # noqa: ARG001
    def threads_of(values, generators):
        seen = set()
        fill_rows(
            torch.empty(4, values), generators, lambda *_: seen.add(threading.current_thread().name)
        )
        return seen

    here, own = {threading.current_thread().name}, [generator(k) for k in range(4)]
    assert threads_of(100, own) == here
    assert not threads_of(2**16, own) & here
    assert threads_of(2**16, [generator(0)] * 4) == here  # one after the other, or chance decides
