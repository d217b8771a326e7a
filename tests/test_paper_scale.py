"""What docs/paper-scale.md says to type works, with small networks, images and numbers."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from pictures import write_image

from invbench.data.photos import photos
from invbench.images import from_uint8
from invbench.models import get_method
from invbench.suite import Options, as_arguments

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "paper-scale.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, flags=re.MULTILINE)
SHORT = {
    "import-checkpoint": ["--configuration=tiny"],
    "run": ["--images=2", "--samples=2", "--gate=off"],
    "time": ["--samples=2", "--processes=1"],
    "merge": [],
}
SMALL = {
    "paper": "tiny",
    "cuda": "cpu",
    "slurm_partition=gpu": "cluster=local",  # there is no cluster here
    "num_cpus=4": "num_cpus=1",
}
PACKAGES = {"slurm": "submitit", "ray": "ray"}


def needed(command):
    """Return the package that a command needs, if that is not one of ours."""
    executor = re.search(r"--executor (\w+)", command)
    return executor and PACKAGES[executor[1]]


def shortened(command):
    _, verb, *words = shlex.split(command)
    words = [SMALL.get(word, word) for word in words]
    return [sys.executable, "-m", "invbench", verb, *words, *SHORT[verb]]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Lay out photographs, and a network as its authors would have published it."""
    place = tmp_path_factory.mktemp("paper")
    for photo in photos(64, 2):
        write_image(place / "photos" / f"{photo.id}.png", from_uint8(photo.pixels))
    method = get_method("chimle")
    network = method.build(method.configure("colorization", "tiny"))
    torch.save({"state_dict": network.state_dict()}, place / "generator.pt")
    return place


@pytest.mark.slow
def test_the_commands_work_one_after_the_other(place):
    for command in COMMANDS:
        if (package := needed(command)) and not find_spec(package):
            continue
        done = subprocess.run(
            shortened(command),
            cwd=place,
            env=os.environ | {"OMP_NUM_THREADS": "1", "RAY_ADDRESS": "local"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, command + done.stdout + done.stderr
    results = place / "results"
    assert (place / "checkpoints" / "chimle-colorization.safetensors").exists()
    for run, dtype in (("float32", "float32"), ("bfloat16", "bfloat16")):
        record = json.loads((results / run / "cases" / "chimle-colorization.json").read_text())
        assert record["status"] == "measured"
        assert record["identity"]["sampling"]["dtype"] == dtype
    timing = json.loads((results / "speed" / "timing.json").read_text())
    assert timing["cases"]["chimle-colorization"]["weights"] == "random"
    parts = [set((results / f"part-{n}" / "cases").iterdir()) for n in (1, 2)]
    whole = {path.name for path in (results / "whole" / "cases").iterdir()}
    assert {path.name for part in parts for path in part} == whole
    assert "chimle-colorization.json" in whole


def test_every_executor_is_shown_and_every_option_exists():
    assert [needed(command) for command in COMMANDS if needed(command)] == list(PACKAGES.values())
    known = " ".join(as_arguments(Options(executor="ray", executor_setting=["a=1"]), prefix="--"))
    assert "--executor=ray" in known
    help_text = subprocess.run(
        [sys.executable, "-m", "invbench", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for command in (command for command in COMMANDS if command.startswith("invbench run")):
        for option in re.findall(r"--[a-z-]+", command):
            assert option in help_text


def test_what_it_says_of_the_profile_is_so():
    from invbench.executors import ATTEMPTS
    from invbench.problems import get_profile

    paper = get_profile("paper")
    assert (paper.size, paper.n_samples, paper.n_images, paper.chunk_size) == (512, 50, 100, 10)
    assert ATTEMPTS == 3
