"""What the README and the page on running say to type works, and what to write."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pages import commands_of, files_of
from pictures import write_image

from invbench.data.photos import photos
from invbench.images import from_uint8

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
RUNNING = ROOT / "docs" / "running.md"
COMMANDS = commands_of(ROOT / "README.md") + commands_of(RUNNING)
FEW = ["--images=2", "--samples=4"]


@pytest.fixture
def place(tmp_path):
    """Lay out the folders and the file that the README speaks of."""
    for photo in photos(128, 4):
        target = from_uint8(photo.pixels)
        write_image(tmp_path / "photos" / f"{photo.id}.png", target)
        for k in range(3):
            write_image(tmp_path / "samples" / "mine" / photo.id / f"{k}.png", target)
    for name, code in files_of(ROOT / "README.md").items():
        (tmp_path / name).write_text(code)
    return tmp_path


def installed(command):
    """Return the script that a reader starts, which puts no folder on Python's path."""
    return str(Path(sys.executable).with_name(command))


def shortened(command):
    """Turn a command into one that a test can wait for: fewer images, samples and steps."""
    name, *arguments = shlex.split(command)
    steps = ["1" if a.isdigit() and a == "4000" else a for a in arguments]
    return [installed(name), *steps, *(FEW if steps[0] == "run" else ())]


def run(command, place):
    return subprocess.run(
        shortened(command),
        cwd=place,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


MINE = 'invbench run -k "mine or reference" --sampler mine='
LATER = ("python3 -m venv", "invbench score", MINE, "invbench report")


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith(LATER)])
def test_the_command_works(command, place):
    done = run(command, place)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_two_commands_set_up_and_run():
    main_job, tests = (c for c in COMMANDS if c.startswith("python3 -m venv"))
    setup = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/pytest"
    assert main_job == f"{setup} benchmarks/ -k chimle"
    assert tests == setup


def test_a_model_of_ones_own_is_measured_and_becomes_a_page(place):
    for start in (MINE, "invbench report"):
        (command,) = (c for c in COMMANDS if c.startswith(start))
        done = run(command, place)
        assert done.returncode == 0, done.stdout + done.stderr
    page = (place / "report.html").read_text()
    assert 'id="case-mine-colorization"' in page
    assert 'id="case-reference-sr16"' in page


def test_samples_that_are_scored_are_those_of_the_photographs_that_were_observed(place):
    for word in ("observe", "score"):
        (command,) = (c for c in COMMANDS if c.startswith(f"invbench {word}"))
        done = run(command, place)
    assert "mine-sr16" in done.stdout, done.stderr
    assert "not scored" not in done.stdout


def test_every_option_it_names_exists():
    help_text = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks/", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    named = set(re.findall(r"--invbench-[a-z-]+", TEXT + RUNNING.read_text()))
    options, *_ = re.findall(r"## Options\n.*?\n## ", RUNNING.read_text(), re.DOTALL)
    of_run = set(re.findall(r"`--(?!invbench-)([a-z-]+)", options))
    assert len(of_run) > 5
    for option in named | {f"--invbench-{name}" for name in of_run}:
        assert option in help_text


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 200


def test_every_page_can_be_reached_from_the_front():
    linked = set(re.findall(r"\(docs/([\w-]+\.md)\)", TEXT))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")}
