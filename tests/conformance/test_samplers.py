"""Each defect of a sampler is named on its line, and nothing else; honest samplers are clean."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import dishonest
import flawed
import pytest
import torch

from invbench.conformance import check_sampler
from invbench.conformance.effects import SETTINGS
from invbench.data.photos import photos
from invbench.machine import bytes_in_use, timing
from invbench.problems import find_task
from invbench.suite.own_samplers import OwnSampler

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
UNCOUNTED = ["memory"] if bytes_in_use(CPU) is None else []


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Stop the clock; only pretended work moves it."""
    now = SimpleNamespace(seconds=0.0)

    def work(seconds):
        now.seconds += seconds

    def read():
        now.seconds += 1e-9
        return now.seconds

    monkeypatch.setattr(dishonest, "work", work)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=read))
    return now


def check(name, task="colorization", size=32):
    problem = find_task(task).problem((size, size))
    text = f"own=flawed:{name}"
    return check_sampler(
        lambda *given: OwnSampler.parse(text).subject(*given), problem, photos(size, 4), CPU
    )


def of(verdict, findings):
    return [one.name for one in findings if one.verdict == verdict]


@pytest.mark.parametrize(("name", "broken"), [(n, b) for n, (_, b) in flawed.SAMPLERS.items()])
def test_a_defect_is_named_on_its_line_and_nothing_else(name, broken):
    before = {setting: read() for setting, (read, _) in SETTINGS.items()}
    assert of("FAILED", check(name)) == [line for line in broken if line not in UNCOUNTED]
    assert {setting: read() for setting, (read, _) in SETTINGS.items()} == before
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("task", ["colorization", "sr16", "jpeg10", "colorization+n5"])
@pytest.mark.parametrize("name", flawed.HONEST)
def test_honest_samplers_are_clean(name, task):
    findings = check(name, task)
    assert of("FAILED", findings) == []
    assert of("not tested", findings) == UNCOUNTED
    notes = {"unconditional": ["observation"], "deterministic": ["other seeds", "distinct"]}
    assert of("note", findings) == notes.get(name, [])


def seen(name, line, **where):
    return next(one.seen for one in check(name, **where) if one.name == line)


@pytest.mark.parametrize(
    ("name", "line", "text"),
    [
        ("global_torch", "global generators", "advanced that of torch; 4 of 4 samples changed"),
        ("global_numpy", "global generators", "advanced that of numpy; 4 of 4"),
        ("advances_torch", "global generators", "advanced that of torch"),
        ("reads_torch", "global generators", "4 of 4 samples changed"),
        ("global_torch", "other seeds", "global generators failed"),
        ("global_torch", "distinct", "global generators failed"),
        ("channels_last", "shape", "samples have shape (4, 32, 32, 3), not (4, 3, 32, 32)"),
        ("squeezed", "shape", "samples have shape (3, 32, 32), not (1, 3, 32, 32)"),
        ("channels_last", "range", "shape failed"),
        ("signed", "range", "sample 0 of astronaut-0: values span [-"),
        ("nan_if_dark", "finite", "rocket-0: 3072 of 3072 values are NaN"),
        ("four_rows", "batch", "RuntimeError: compiled for 4 rows"),
        ("by_row", "batch", "row number failed"),
        ("reverses_list", "inputs", "changed the list of generators"),
        ("warm_up", "first call", "1.2 s, later ones "),
        ("memoiser", "repeated input", "a repeated input takes 100% less: results are kept"),
        ("leaves_double", "settings of torch", "float32 became torch.float64"),
        ("loads_double", "settings of torch", "became torch.float64 in the factory"),
        ("ten_distinct", "distinct", " of 16 samples of astronaut-0 are distinct"),
        ("raises", "tensor", "ZeroDivisionError: in the second block (flawed.py:"),
        ("lists", "tensor", "samples are of type list; return one tensor"),
        ("no_weights", "loads", "FileNotFoundError: weights.pt (flawed.py:"),
        ("old_form", "loads", "it is no longer given the task's name"),
        ("old_form", "memory", "loads failed"),
        ("double", "dtype", "float64"),
        ("through_numpy", "tensor", "ndarray float64 (4, 3, 32, 32)"),
    ],
)
def test_what_was_seen_helps(name, line, text):
    assert text in seen(name, line)


def test_samples_that_differ_by_less_than_a_level_are_not_decided_by_row(monkeypatch):
    """In any order they look the same, within what counts as the same."""
    monkeypatch.setattr(dishonest, "SPREAD", 0.003)
    assert of("FAILED", check("noisy")) == []


def test_memory_that_is_kept_once_is_no_leak(monkeypatch):
    kept = {}

    def cached(problem, device):
        sampler = flawed.Honest(problem, device)

        def remembering(observation, generators):
            key = observation.numpy().tobytes()
            kept.setdefault(key, torch.zeros(10, *observation.shape))
            return sampler(observation, generators)

        return remembering

    monkeypatch.setitem(flawed.HONEST, "cached", cached)
    assert of("FAILED", check("cached")) == []
    assert len(kept) > 4
