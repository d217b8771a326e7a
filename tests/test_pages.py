"""What the pages of docs/ say to type works, and what they link to is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from board_runs import board_run
from pages import commands_of, files_of
from pictures import write_image

from invbench.data.photos import photos
from invbench.images import from_uint8

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FEW = ["--images=2", "--samples=4"]
ELSEWHERE = {"adapters.md", "paper-scale.md", "running.md"}  # have tests of their own
COMMANDS = [(page, c) for page in PAGES if page.name not in ELSEWHERE for c in commands_of(page)]
MY_LAB = """
from torch.nn.functional import avg_pool2d

from invbench.problems import linear_task


def blur():
    return linear_task(lambda images: avg_pool2d(images, 2), size=32)
"""
MY_MODELS = """
import torch


def load(problem, device):
    def sampler(observation, generators):
        noise = [torch.rand(3, *problem.size, generator=g) for g in generators]
        return (torch.stack(noise).to(device) + observation.mean()) / 2

    return sampler
"""


@pytest.fixture
def place(tmp_path):
    """Lay out what the pages speak of: photographs, a run, modules, and the files they show."""
    for photo in photos(128, 2):
        write_image(tmp_path / "photos" / f"{photo.id}.png", from_uint8(photo.pixels))
    board_run(tmp_path / "results" / "mine", day=1, models={"chimle": 28.0, "ndm": 25.0})
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "__init__.py").write_text(MY_LAB)
    (tmp_path / "my_lab" / "models.py").write_text(MY_MODELS)
    return tmp_path


def words_of(command):
    """Turn a command into one that a test can wait for, in the folder of the suite or outside."""
    name, *arguments = shlex.split(command)
    script = str(Path(sys.executable).with_name(name))
    paths = [str(ROOT / a) if a.startswith(("benchmarks/", "tests/")) else a for a in arguments]
    if name == "pytest":
        return [script, "-p", "no:cacheprovider", *paths]
    return [script, *paths, *(FEW if arguments[0] in ("run", "uncertainty") else ())]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page.stem}: {command}" for page, command in COMMANDS]
)
def test_a_command_of_a_page_works(page, command, place):
    for name, code in files_of(page).items():
        (place / name).write_text(code)
    done = subprocess.run(
        words_of(command),
        cwd=place,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def anchor(heading):
    """Return the name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page):
    """Yield every relative link of a page, code left out."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", link):
            yield link


def missing(page, link):
    """Tell whether a link leads to no file, or to no heading of it."""
    path, _, name = link.partition("#")
    target = page.parent / path if path else page
    if not target.is_file():
        return True
    headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if name else ()
    return bool(name) and name not in map(anchor, headings)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    assert [link for link in links(page) if missing(page, link)] == []


@pytest.mark.parametrize(
    ("link", "lost"),
    [
        ("docs/gate.md", False),
        ("docs/none.md", True),
        ("docs/contributing.md#a-task", False),
        ("docs/contributing.md#a-tusk", True),
    ],
)
def test_a_lost_link_is_found(link, lost):
    assert missing(ROOT / "README.md", link) is lost
