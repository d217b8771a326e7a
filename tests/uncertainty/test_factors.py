"""Factors on disk are counted as those in memory are."""

from __future__ import annotations

import errno
import gc
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invbench.uncertainty import FactorStore

SIZES = [1, 4095, 4096, 4097, 8192, 10000]


def draw(size, seed=0):
    factors = np.random.default_rng(seed).gamma(2, size=size).astype(np.float32).round(1)
    factors[factors > 6] = np.inf
    return np.sort(factors)


@pytest.mark.parametrize("in_memory_bytes", [1, 1000, 1 << 20])
@pytest.mark.parametrize("size", SIZES)
def test_counts_what_lies_beyond(size, in_memory_bytes):
    store = FactorStore(in_memory_bytes)
    images = [draw(size, seed) for seed in range(3)]
    kept = [store.keep(image) for image in images]
    for factors, one in zip(images, kept, strict=True):
        for threshold in np.array([0, *factors[:: max(1, size // 9)], 1.05, np.inf], np.float32):
            assert one.n_beyond(threshold) == np.count_nonzero(factors > threshold)
        assert one.size == size
        assert np.array_equal(one.read(), factors)


@given(st.lists(st.floats(0, 4, width=16), min_size=1, max_size=600), st.floats(-1, 5, width=16))
def test_counts_ties_alike(factors, threshold):
    ordered = np.sort(np.array(factors, dtype=np.float32))
    kept = FactorStore().keep(ordered)
    assert kept.n_beyond(np.float32(threshold)) == sum(factor > threshold for factor in factors)


@pytest.mark.parametrize("fails", ["open", "write"])
def test_a_full_disk_costs_memory_and_no_scores(monkeypatch, fails):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "no space")

    def make():
        if fails == "open":
            raise FileNotFoundError(errno.ENOENT, "no folder for temporary files")
        return Full()

    monkeypatch.setattr("tempfile.TemporaryFile", make)
    store = FactorStore(1)
    for seed in range(3):
        assert np.array_equal(store.keep(draw(300, seed)).read(), draw(300, seed))


def test_an_image_outlives_the_name_of_its_store():
    kept = FactorStore(1).keep(draw(300))
    gc.collect()
    assert not math.isnan(kept.read().sum())
