"""Files of every format, damaged at random, are read or refused by name, in bounded memory."""

from __future__ import annotations

import importlib.util
import random
import resource
import sys
import warnings
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "studies" / "fuzz.py"
MOST_MEGABYTES = 400  # above what the process had before; the largest whole file has 600 kB


@cache
def script():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", list(script().FORMATS))
def test_damage_is_read_or_named(name, tmp_path_factory):
    fuzz = script()
    form = fuzz.FORMATS[name]
    path = form.make(tmp_path_factory.mktemp("fuzz"))
    whole = path.read_bytes()
    assert fuzz.attempt(form, path) == "read"
    before = fuzz.peak_megabytes()

    @settings(
        max_examples=40,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def check(seed):
        rng = random.Random(seed)  # noqa: S311 no secret
        path.write_bytes(fuzz.damaged(form, whole, rng))
        with warnings.catch_warnings(action="ignore"):
            assert fuzz.attempt(form, path) in {"read", "named"}

    check()
    assert fuzz.peak_megabytes() - before < MOST_MEGABYTES


def test_the_script_sees_an_error_that_nobody_named(tmp_path):
    fuzz = script()
    form = fuzz.Format(lambda folder: folder, lambda path: path.read_bytes()[10])
    (tmp_path / "a").write_bytes(b"short")
    assert fuzz.attempt(form, tmp_path / "a").startswith("IndexError")


def test_memory_is_counted_in_megabytes():
    assert script().peak_megabytes() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
