"""The clock waits for the device, and a speed is that of the median round."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from invbench.evaluation.evaluate import _throughput
from invbench.evaluation.experiment import Settings
from invbench.machine import measure, synchronized_clock


@pytest.fixture
def card(monkeypatch):
    """Pretend a GPU whose work is queued, and done only when one waits for it."""
    state = SimpleNamespace(now=0.0, queued=0.0)

    def synchronize(*_):
        state.now, state.queued = state.now + state.queued, 0.0

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr("time.perf_counter", lambda: state.now)
    return state


def test_the_clock_waits_for_the_work_that_was_queued(card):
    card.queued = 3.0
    assert synchronized_clock() == 3.0


def test_a_round_takes_as_long_as_the_work_it_queued_and_no_longer(card):
    seconds = iter([1.0, 4.0, 2.0])

    def target():
        card.queued += next(seconds)

    def setup():
        card.queued += 100.0  # what is queued before belongs to no round

    assert measure(target, setup=setup, rounds=2, warmup_rounds=1) == [4.0, 2.0]


def test_without_a_card_nothing_is_waited_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("there is no card"))
    assert synchronized_clock() <= synchronized_clock()


def test_samples_a_second_are_those_of_the_median_round():
    experiment = SimpleNamespace(subject=SimpleNamespace(nfe=None))
    settings = Settings(n_samples=20, chunk_size=20)
    record = _throughput(experiment, settings, [1.0, 2.0, 2.5, 4.0, 40.0], None)
    assert record.samples_per_second == 20 / 2.5
    assert record.seconds_per_round == (1.0, 2.0, 2.5, 4.0, 40.0)
