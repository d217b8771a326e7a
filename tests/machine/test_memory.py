"""Freed memory stays with the process where that is asked for: touching it again faults no page."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from invbench.machine import bytes_in_use, freed_memory_is_kept

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")

TOUCH_TWICE = """
import resource
from invbench.machine import freed_memory_is_kept, keep_freed_memory
{prepare}
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * 2**27  # 128 MiB, each page of which is written to
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults, freed_memory_is_kept())
"""


CUT_BLOCKS = """
from pathlib import Path
from invbench.machine import keep_freed_memory, return_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
keep_freed_memory()
large, small = [], []
for _ in range(64):  # a small block behind each large one keeps the heap from shrinking
    large.append(bytearray(b"x" * 2**20))
    small.append(bytearray(b"x" * 2**14))
del large
before = resident()
return_freed_memory()
print(before - resident())
"""


def faults_and_answer(prepare: str, **environment: str) -> tuple[int, bool]:
    """Return the page faults of the third of three equal allocations, and what the probe says."""
    done = subprocess.run(
        [sys.executable, "-c", TOUCH_TWICE.format(prepare=prepare)],
        capture_output=True,
        text=True,
        check=True,
        env={"OMP_NUM_THREADS": "1", **environment},
    )
    faults, kept = done.stdout.split()
    return int(faults), kept == "True"


@glibc
def test_blocks_are_mapped_anew_by_default():
    faults, kept = faults_and_answer("")
    assert faults > 50  # 64 of huge pages, 32,768 of small ones
    assert not kept


@glibc
def test_kept_memory_is_touched_without_a_fault():
    faults, kept = faults_and_answer("keep_freed_memory()")
    assert faults < 10
    assert kept


@glibc
def test_a_setting_from_outside_is_seen():
    settings = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
    assert faults_and_answer("", **settings)[1]


def test_another_c_library_keeps_nothing(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not freed_memory_is_kept()
    assert bytes_in_use(torch.device("cpu")) is None


@glibc
@pytest.mark.parametrize("library", [torch, np], ids=["torch", "numpy"])
def test_bytes_in_use_are_those_of_tensors_and_arrays(library):
    before = bytes_in_use(torch.device("cpu"))
    kept = library.ones(10**6, dtype=library.float32)
    assert bytes_in_use(torch.device("cpu")) - before == pytest.approx(4e6, abs=1e5)
    del kept
    assert bytes_in_use(torch.device("cpu")) - before == pytest.approx(0, abs=1e5)


@glibc
def test_garbage_is_not_in_use():
    before = bytes_in_use(torch.device("cpu"))
    cycle = [torch.ones(10**6)]
    cycle.append(cycle)
    del cycle
    assert bytes_in_use(torch.device("cpu")) - before == pytest.approx(0, abs=1e5)


@glibc
def test_freed_memory_between_used_blocks_goes_back():
    command = [sys.executable, "-c", CUT_BLOCKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 32 * 2**20  # of 64 MiB that were freed
