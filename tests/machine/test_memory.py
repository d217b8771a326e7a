"""Freed memory stays with the process where that is asked for: touching it again faults no page."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from invbench.machine import freed_memory_is_kept

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
