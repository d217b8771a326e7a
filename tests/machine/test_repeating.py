"""How much a repeated round saves, by a clock that shows what the test says."""

from __future__ import annotations

import pytest

from invbench.machine import timing
from invbench.machine.timing import saved_by_repeating


@pytest.fixture
def took(monkeypatch):
    """Let the next rounds, in any order, take given seconds; return which were called."""
    calls = []

    def prepare(repeats, news):
        waiting = {"repeat": list(repeats), "new": list(news)}

        def measure(target):
            target()
            return [waiting[calls[-1]].pop(0)]

        monkeypatch.setattr(timing, "measure", measure)
        return calls

    return prepare


def share(calls, seconds):
    return saved_by_repeating(
        lambda: calls.append("repeat"), lambda: calls.append("new"), seconds, noticeable=0.1
    )


def test_one_round_is_enough_where_nothing_is_saved(took):
    calls = took([1.0], [])
    assert share(calls, [1.1, 1.05, 2.0]) == pytest.approx(1 - 1 / 1.05)
    assert calls == ["repeat"]
    assert share(took([3.0], []), [1.0]) == pytest.approx(-2)


def test_what_is_kept_is_looked_at_again(took):
    calls = took([0.01, 0.02, 0.01, 0.01, 0.01, 0.01], [1.0, 0.9, 1.0, 1.0, 1.0])
    assert share(calls, [1.1, 1.2]) == pytest.approx(1 - 0.02 / 0.9)
    assert calls == ["repeat", *["new", "repeat"] * 5]


def test_a_second_look_ends_as_soon_as_one_round_is_as_slow_as_a_new_one(took):
    calls = took([0.5, 0.5, 0.99], [1.0, 1.0])
    assert share(calls, [1.0]) == pytest.approx(0.01)
    assert calls == ["repeat", *["new", "repeat"] * 2]


def test_a_machine_that_became_faster_is_no_sampler_that_keeps_results(took):
    assert share(took([0.5, 0.5, 0.5], [0.5, 0.5]), [1.0, 1.0]) == 0


def test_one_fast_round_is_chance(took):
    assert share(took([0.5, 1.0, 1.0], [1.0, 1.0]), [1.0, 1.0]) == 0


def test_rounds_too_short_for_the_clock_save_nothing(took):
    assert share(took([0.0], []), [0.0]) == 0
