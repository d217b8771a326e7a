"""What a run prints, in a terminal and where its output goes into a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from invbench.suite.output import choose_display
from invbench.suite.progress import LineDisplay, NoDisplay, TerminalDisplay

ROOT = Path(__file__).parents[2]
SAMPLER = "--invbench-sampler=mine=dishonest:upsampled"  # its samples are equal
SMALL = ("-k", "mine-colorization", "--invbench-images=2", "--invbench-samples=4")


def command(results, *arguments):
    suite = (sys.executable, "-m", "pytest", "benchmarks/", "-p", "no:cacheprovider")
    return [*suite, SAMPLER, *SMALL, f"--invbench-results={results}", *arguments]


def environment(**changes):
    changes |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return os.environ | {"TERM": "xterm", "COLUMNS": "100"} | changes


def piped(results, *arguments):
    """Run the suite with its output in a file."""
    return subprocess.run(
        command(results, *arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def in_terminal(results, *arguments, **changes):
    """Run the suite in a terminal, and return all that it wrote there."""
    pty = pytest.importorskip("pty", reason="needs a POSIX terminal")
    ours, its = pty.openpty()
    with subprocess.Popen(
        command(results, *arguments), cwd=ROOT, env=environment(**changes), stdout=its, stderr=its
    ) as process:
        os.close(its)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so that the other end is closed
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    assert process.returncode == 0
    return b"".join(parts).decode()


def test_a_terminal_shows_every_image_on_a_line_that_is_gone_at_the_end(tmp_path):
    said = in_terminal(tmp_path / "run")
    shown = re.findall(r"\x1b7\r+\n(.*?)\x1b\[K\x1b8", said)
    assert [re.sub(r"\d\d:\d\d", "time", text) for text in shown] == [
        "case 1 of 1, mine-colorization",
        "case 1 of 1, mine-colorization: image 1 of 2, about time left",
        "case 1 of 1, mine-colorization: image 2 of 2, about time left",
        "",
    ]
    rest = re.sub(r"\x1bD\x1bM\x1b7\r+\n.*?\x1b\[K\x1b8", "", said)
    assert re.search(r"test_pairs\.py \S*\.", rest)
    lines = [line.rstrip("\r") for line in rest.split("\n")]
    table = lines.index("K = 4 samples an image, 2 images of 2 photographs (embedded), 64 px wide")
    timings = [line for line in lines if line.startswith(("test_pair[", "Name (time"))]
    assert len(timings) == 2
    assert max(map(len, timings + lines[table : table + 5])) <= 100


@pytest.mark.parametrize(
    ("changes", "display"),
    [
        ({}, TerminalDisplay),
        ({"verbosity": 1}, TerminalDisplay),
        ({"terminal": False}, LineDisplay),
        ({"capture": "no"}, LineDisplay),  # what tests print would run into the line
        ({"term": "dumb"}, LineDisplay),
        ({"verbosity": -1}, NoDisplay),
        ({"verbosity": -1, "terminal": False}, NoDisplay),
        ({"worker": True}, NoDisplay),
    ],
    ids=str,
)
def test_progress_is_shown_where_it_is_in_nobody_s_way(monkeypatch, changes, display):
    how = {"terminal": True, "capture": "fd", "term": "xterm", "verbosity": 0, "worker": False}
    how |= changes
    monkeypatch.setenv("TERM", how["term"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: how["terminal"])
    config = SimpleNamespace(
        option=SimpleNamespace(capture=how["capture"]), get_verbosity=lambda: how["verbosity"]
    )
    if how["worker"]:
        config.workerinput = {}
    assert type(choose_display(config)) is display


def test_a_file_gets_lines_of_their_own(tmp_path):
    lines = piped(tmp_path / "run", "-p", "hasty").splitlines()
    shown = [line for line in lines if "case 1 of 1" in line]
    assert [line.partition(", about")[0] for line in shown] == [
        "case 1 of 1, mine-colorization: image 1 of 2",
        "case 1 of 1, mine-colorization: image 2 of 2",
    ]
    assert any(re.fullmatch(r"\.( +\[ *\d+%\])?", line) for line in lines)


@pytest.mark.slow
def test_processes_side_by_side_are_silent(tmp_path):
    pytest.importorskip("xdist")
    said = piped(tmp_path / "run", "-p", "hasty", "-n", "2")
    assert "case 1 of" not in said
    assert "throughput was not measured (pytest-xdist: " in said


def test_quiet_says_what_is_not_well_and_no_more(tmp_path):
    said = in_terminal(tmp_path / "run", "-q")
    assert "\x1b7" not in said
    dots, *lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    assert "." in dots
    skips = [line for line in lines if "SKIPPED" in line]
    breach, cases, records, *gate = [line for line in lines[: -len(skips) - 1] if "===" not in line]
    assert breach.startswith("mine-colorization: duplicate samples: 1 of 4 samples of astronaut-0")
    assert cases == "cases: 1 measured"
    assert records == f"records: {tmp_path / 'run'}"
    assert all(line.startswith("not compared: mine-colorization: ") for line in gate)
    assert "1 passed" in lines[-1]
