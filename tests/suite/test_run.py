"""The suite runs from a wheel, in any folder, and brings none of the project's own settings."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pictures import write_image

from invbench.cli import main
from invbench.data.photos import photos
from invbench.exit_codes import ExitCode
from invbench.images import from_uint8
from invbench.suite import Options, as_arguments
from invbench.suite.command import Command

ROOT = Path(__file__).parents[2]
SHORT = ("--images=2", "--samples=4")
# Warns, and has the name of a file in tests/
SAMPLERS = """
import warnings
import torch

def load(problem, device):
    def sampler(observation, generators):
        warnings.warn("mind the step")
        noise = torch.stack([torch.randn(3, 64, 64, generator=g) for g in generators])
        return (observation + 0.05 * noise).clamp(0, 1)
    return sampler
"""


def python(folder, *arguments, **environment):
    """Run Python in a folder, as a user's shell would."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def place(tmp_path):
    """Give an empty folder with a sampler of the user's own in it."""
    (tmp_path / "samplers.py").write_text(SAMPLERS)
    (tmp_path / "photos").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the wheel and unpack it, as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_a_wheel_has_the_suite_with_weights_limits_and_baseline(site, tmp_path):
    before = set(site.rglob("*"))
    done = python(
        tmp_path, "-m", "invbench", "run", "-k", "msgan-colorization", "-q", PYTHONPATH=str(site)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout or "2 passed" in done.stdout
    assert "passed, identical" in done.stdout
    assert list((tmp_path / "results").glob("*/cases/msgan-colorization.json"))
    assert set(site.rglob("*")) == before  # nothing is written beside the code


def test_a_user_s_warning_is_shown_and_fails_nothing(place):
    sampler = "--sampler=mine=samplers:load"
    done = python(place, "-m", "invbench", "run", sampler, "-k", "mine-colorization", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UserWarning: mind the step" in done.stdout


def test_tests_of_the_project_shadow_no_module_of_a_user_s(place):
    # pytest looks for settings above all folders that it is given, and takes the value for one
    arguments = ["--invbench-sampler=mine=samplers:load", "-k", "mine", "--collect-only", "-q"]
    done = python(
        place, "-m", "pytest", str(ROOT / "benchmarks"), *arguments, "--invbench-data", "photos"
    )
    assert "test_pair[mine-colorization]" in done.stdout, done.stdout + done.stderr


def test_arguments_are_read_as_they_were_written():
    options = Options(seed=3, strict=True, sampler=["a=lab:a", "b=lab:b"], data=Path("my photos"))
    assert as_arguments(Options()) == []
    assert as_arguments(options) == [
        "--invbench-seed=3",
        "--invbench-data=my photos",
        "--invbench-sampler=a=lab:a",
        "--invbench-sampler=b=lab:b",
        "--invbench-strict",
    ]


def test_only_run_passes_on_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit):
        main(["list", "--frobnicate"])
    assert "unrecognized arguments: --frobnicate" in capsys.readouterr().err


def test_a_quiet_run_says_once_what_is_used_of_a_folder_and_leaves_only_its_records(place):
    for photo in photos(64, 3):
        write_image(place / "photos" / f"{photo.id}.png", from_uint8(photo.pixels))
    chosen = ("-k", "reference-colorization or test_gray_of_gray", "--data=photos")
    done = python(place, "-m", "invbench", "run", "-q", *chosen, *SHORT, "--results=results/mine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("photos: the first 2 of 3 images are used") == 1
    assert "warning" not in done.stdout + done.stderr
    assert "SKIPPED [1] test_gate.py:" in done.stdout
    assert {path.name for path in place.iterdir()} == {"photos", "results", "samplers.py"}


@pytest.mark.parametrize(
    ("start", "shown", "status"),
    [
        (("invbench", "run", "--images=0", "--checkpoints=none"), "--", ExitCode.USAGE),
        (
            ("pytest", ROOT / "benchmarks", "--invbench-images=0", "--invbench-checkpoints=none"),
            "--invbench-",
            pytest.ExitCode.USAGE_ERROR,
        ),
    ],
    ids=["command", "pytest"],
)
def test_messages_name_options_as_the_user_gives_them(place, start, shown, status):
    done = python(place, "-m", *map(str, start))
    assert done.returncode == status
    assert f": {shown}images 0: give at least 1" in done.stdout + done.stderr
    assert f": {shown}checkpoints none: no such folder" in done.stdout + done.stderr


def test_an_option_that_nobody_has_is_named_and_those_of_pytest_pass_through(place):
    of_pytest = (
        "--maxfail=1",
        "--tb=short",
        "--benchmark-columns=min",
        "-k",
        "msgan",
        "--collect-only",
    )
    done = python(place, "-m", "invbench", "run", *of_pytest, "--imges", "2", "--frobnicate=3")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.split("\n", 2)[:2] == [
        "ERROR: UnknownNameError: unknown option '--imges'; did you mean --images?",
        "UnknownNameError: unknown option '--frobnicate'; see `invbench run --help`",
    ]
    assert python(place, "-m", "invbench", "run", *of_pytest).returncode == ExitCode.OK


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--results=old",), ExitCode.USAGE),
        (("--data=none",), ExitCode.MISSING),
        (("-k", "nothing"), ExitCode.INCOMPARABLE),
    ],
)
def test_its_status_is_that_of_every_verb(place, options, status):
    (place / "old").mkdir()
    (place / "old" / "run.json").write_text("{}")
    done = python(place, "-m", "invbench", "run", "-k", "reference-sr16", *options)
    assert done.returncode == status, done.stdout + done.stderr


def test_tests_that_cannot_be_read_are_no_interruption():
    command = Command()
    assert command.status(pytest.ExitCode.INTERRUPTED) == 130
    command.pytest_collectreport(pytest.CollectReport("x", "failed", None, None))
    assert command.status(pytest.ExitCode.INTERRUPTED) == ExitCode.FAULT


@pytest.mark.parametrize("style", ["auto", "native"])
def test_what_a_sampler_says_moves_no_cursor_and_limits_of_pillow_s_refuse_nothing(place, style):
    (place / "rude.py").write_text(
        "import sys, warnings\nfrom PIL import Image\nImage.MAX_IMAGE_PIXELS = 1\n"
        "RUDE = '\\x1b]8;;http://a\\x07\\u202e\\n::error::x'\n"
        "def load(problem, device):\n    def sampler(observation, generators):\n"
        "        warnings.warn(RUDE)\n        print(RUDE)\n        print(RUDE, file=sys.stderr)\n"
        "        raise type(RUDE, (ValueError,), {})(RUDE)\t\n"
        "    called = {'__call__': lambda _, *a: sampler(*a), '__repr__': lambda _: RUDE}\n"
        "    return type('S', (), called)()\n"
    )
    case = ("--sampler=rude=rude:load", "-k", "rude and sr16", *SHORT, "--results=r")
    given = ("-m", "invbench", "run", *case, f"--tb={style}")
    done = python(place, *given, PYTHONIOENCODING="utf-8")
    assert done.returncode == ExitCode.FAILED, done.stdout + done.stderr
    # the error, what was printed twice, what was warned of, and the summary
    assert done.stdout.count(r"\x1b]8;;http://a\x07\u202e") >= 5
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)
    assert "\n::error" not in done.stdout
