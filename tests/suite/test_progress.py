"""Progress says how far a run is and how long the rest takes, and is in nobody's way."""

from __future__ import annotations

import shutil

import pytest

from invbench.gate import BASELINES
from invbench.models import CASES
from invbench.suite.places import suite_folder
from invbench.suite.progress import LineDisplay, Progress, TerminalDisplay, known_costs

COSTS = {"fast-sr16": 1.0, "slow-sr16": 9.0}


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Shown:
    """A display that keeps what it is given."""

    def __init__(self):
        self.texts = []

    def show(self, text):
        self.texts.append(text)

    def clear(self):
        self.texts.append("")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(clock):
    progress = Progress(Shown(), clock=clock)
    progress.begin(["fast-sr16", "mine-sr16", "slow-sr16"], COSTS)
    return progress


def test_time_left_is_in_proportion_to_what_cases_cost(progress, clock):
    with progress.case("fast-sr16") as on_image:
        clock.now += 2.0
        on_image(1, 2)  # half of 1 in 2 s; 0.5 + 5 (the mean of the known) + 9 are left
    clock.now += 2.0
    assert progress.display.texts == [
        "case 1 of 3, fast-sr16",
        "case 1 of 3, fast-sr16: image 1 of 2, about 00:58 left",
        "",
    ]


def test_what_was_measured_counts_for_the_cases_to_come(progress, clock):
    with progress.case("fast-sr16") as on_image:
        clock.now += 2.0
        on_image(2, 2)
    with progress.case("mine-sr16") as on_image:
        clock.now += 10.0
        on_image(1, 1)
    with progress.case("slow-sr16"):
        pass
    assert progress.display.texts[-2:] == ["case 3 of 3, slow-sr16, about 00:18 left", ""]


def test_a_case_that_fails_is_done_and_its_line_is_cleared(progress, clock):
    with pytest.raises(ValueError, match="no"), progress.case("fast-sr16") as on_image:
        clock.now += 3.0
        on_image(1, 1)
        raise ValueError("no")
    assert progress.display.texts[-1] == ""
    assert (progress.measured, progress.seconds, len(progress.pending)) == (1.0, 3.0, 2)


def test_cases_that_are_kept_or_left_out_take_no_time_and_none_is_expected_of_them(progress, clock):
    progress.left_out("slow-sr16")
    with progress.case("mine-sr16"):
        clock.now += 500.0  # a stored record was read: no image was measured
    with progress.case("fast-sr16") as on_image:
        clock.now += 4.0
        on_image(1, 2)
    assert progress.display.texts[-2] == ("case 3 of 3, fast-sr16: image 1 of 2, about 00:04 left")


def test_lines_come_seldom_and_the_first_is_late(clock):
    said = []
    display = LineDisplay(said.append, clock=clock)
    for seconds in (0, 29, 30, 31, 59, 61, 200):
        clock.now = 100.0 + seconds
        display.show(str(seconds))
        display.clear()
    assert said == ["30", "61", "200"]


def screen(text, columns=20, row=0, column=0):
    """Act on the few control sequences there are as a terminal of three rows does."""
    rows = [[" "] * columns for _ in range(3)]
    saved = (0, 0)
    while text:
        if text.startswith("\x1bD"):
            row, text = row + 1, text[2:]
        elif text.startswith("\x1bM"):
            row, text = row - 1, text[2:]
        elif text.startswith("\x1b7"):
            saved, text = (row, column), text[2:]
        elif text.startswith("\x1b8"):
            (row, column), text = saved, text[2:]
        elif text.startswith("\x1b[K"):
            rows[row][column:] = [" "] * (columns - column)
            text = text[3:]
        elif text[0] == "\r":
            column, text = 0, text[1:]
        elif text[0] == "\n":
            row, text = row + 1, text[1:]
        else:
            rows[row][column] = text[0]
            column, text = column + 1, text[1:]
        if row == 3:  # the screen scrolls
            rows, row = [*rows[1:], [" "] * columns], 2
    return ["".join(line).rstrip() for line in rows], (row, column)


@pytest.mark.parametrize("row", [0, 2])
def test_a_line_stands_below_what_pytest_writes_which_goes_on_where_it_was(monkeypatch, row):
    monkeypatch.setenv("COLUMNS", "20")
    written = ["tests .."]
    display = TerminalDisplay(written.append)
    display.show("case 1 of 2, a name that is long")
    display.show("case 1 of 2")
    written.append(".")
    top = min(row, 1)  # where the last row was, everything moves up
    rows, cursor = screen("".join(written), row=row)
    assert rows[top : top + 2] == ["tests ...", "case 1 of 2"]
    assert cursor == (top, 9)
    display.clear()
    rows, cursor = screen("".join(written), row=row)
    assert [line for line in rows if line] == ["tests ..."]
    assert cursor == (top, 9)


def test_a_line_is_cut_where_the_terminal_ends(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    written = []
    TerminalDisplay(written.append).show("x" * 40)
    assert written[0].count("x") == 9


def test_the_shipped_baseline_tells_slow_methods_from_fast_ones():
    costs = known_costs()
    assert {case.id for case in CASES} <= costs.keys()
    assert costs["ndm-sr16"] > 5 * costs["bicyclegan-sr16"]


def test_a_damaged_baseline_is_no_business_of_progress(monkeypatch, tmp_path):
    shutil.copytree(suite_folder() / BASELINES, tmp_path / BASELINES)
    monkeypatch.setattr("invbench.suite.progress.suite_folder", lambda: tmp_path)
    assert known_costs()
    baseline = tmp_path / BASELINES / "cpu" / "tiny.json"
    baseline.write_text("{")
    assert known_costs() == {}
    baseline.unlink()
    assert known_costs() == {}
