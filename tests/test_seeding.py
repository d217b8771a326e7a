"""Noise depends on what it is for, and on nothing else."""

from __future__ import annotations

import torch
from scipy import stats

from invbench.seeding import generator, randn, sample_seed


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
