"""A sampler of one's own is refused by name before work, declined by itself, or measured."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from samplers import Blurry

from invbench.cli import main
from invbench.errors import InvalidSamplerError, UnknownNameError, UnsupportedProblemError
from invbench.problems import TASKS
from invbench.runs import RunStore
from invbench.suite.own_samplers import OwnSampler

ROOT = Path(__file__).parents[2]
PROBLEM = TASKS["colorization"].problem((64, 64))


@pytest.fixture
def own(monkeypatch):
    """Give the function that parses a factory as the option's text would name it."""

    def parse(factory):
        module = types.ModuleType("my_module")
        module.load = factory
        monkeypatch.setitem(sys.modules, "my_module", module)
        return OwnSampler.parse("mine=my_module:load")

    return parse


def subject(own, sampler):
    return own(lambda problem, device: sampler).subject(PROBLEM, torch.device("cpu"))  # noqa: ARG005


class Class:
    def __init__(self, problem, device):
        self.shape = problem.observation_shape
        self.device = device

    def __call__(self, observation, generators):  # noqa: ARG002
        return torch.zeros(len(generators), 3, 64, 64)


class TestFactory:
    @pytest.mark.parametrize(
        "factory",
        [
            lambda problem, device: Class(problem, device),  # noqa: PLW0108
            lambda device, problem: Class(problem, device),
            lambda problem, device, steps=20: Class(problem, device),  # noqa: ARG005
            lambda **given: Class(**given),  # noqa: PLW0108
            Class,
            functools.partial(Class),
        ],
        ids=["function", "other order", "default", "keywords", "class", "partial"],
    )
    def test_is_called_with_problem_and_device(self, own, factory):
        found = own(factory).subject(PROBLEM, torch.device("cpu")).sampler
        assert (found.shape, found.device) == ((1, 64, 64), torch.device("cpu"))

    @pytest.mark.parametrize(
        ("factory", "message"),
        [
            (lambda task, device: None, "takes (task, device); it is no longer given the task's"),  # noqa: ARG005
            (lambda problem: None, "takes (problem); define it as load(problem, device)"),  # noqa: ARG005
            (lambda: None, "takes (); define it as load(problem, device)"),
            (lambda problem, device, steps: None, "takes (problem, device, steps)"),  # noqa: ARG005
        ],
        ids=["old", "no device", "nothing", "too much"],
    )
    def test_of_another_form_is_told_what_to_change(self, own, factory, message):
        with pytest.raises(InvalidSamplerError) as error:
            own(factory)
        assert message in str(error.value)
        assert "my_module:load" in str(error.value)

    @pytest.mark.parametrize("returned", [None, torch.zeros(1), "mine"], ids=repr)
    def test_that_returns_no_sampler_is_named(self, own, returned):
        with pytest.raises(InvalidSamplerError, match="return a sampler, to be called as"):
            subject(own, returned)


class TestWhatASamplerSays:
    @pytest.mark.parametrize("nfe", [np.int64(7), torch.tensor(7), 7], ids=repr)
    def test_whole_numbers_of_any_library_are_evaluations(self, own, nfe):
        sampler = Blurry(64)
        sampler.nfe = nfe
        assert type(subject(own, sampler).nfe) is int
        assert json.dumps(subject(own, sampler).nfe) == "7"

    @pytest.mark.parametrize("nfe", [7.5, "7", np.float64(7)], ids=repr)
    def test_other_evaluations_are_refused(self, own, nfe):
        sampler = Blurry(64)
        sampler.nfe = nfe
        with pytest.raises(InvalidSamplerError, match="give a whole number"):
            subject(own, sampler)

    def test_stochastic_is_a_text(self, own):
        sampler = Blurry(64)
        sampler.stochastic = False
        with pytest.raises(InvalidSamplerError, match="`stochastic` is False; give a text"):
            subject(own, sampler)


def test_a_declined_problem_is_counted_and_no_failure(tmp_path):
    code = (
        "from invbench.errors import UnsupportedProblemError\n"
        "from samplers import Blurry\n\n"
        "def load(problem, device):\n"
        "    if problem.name == 'colorization':\n"
        "        raise UnsupportedProblemError('it only enlarges')\n"
        "    return Blurry(problem.size[0])\n"
    )
    (tmp_path / "picky.py").write_text(code)
    chosen = "mine and (sr16 or colorization)"
    command = [sys.executable, "-m", "pytest", "benchmarks/", "-k", chosen, "-q"]
    command += ["-p", "no:cacheprovider", "--invbench-sampler=mine=picky:load"]
    command += ["--invbench-images=2", "--invbench-samples=4", "--invbench-require=all"]
    command += [f"--invbench-results={tmp_path / 'run'}"]
    paths = f"{ROOT / 'tests'}:{tmp_path}"
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout
    assert "mine-colorization: declined: it only enlarges" in done.stdout
    store = RunStore(tmp_path / "run")
    declined, measured = (store.read_case(f"mine-{name}") for name in ("colorization", "sr16"))
    assert (declined.status, declined.reason) == ("declined", "it only enlarges")
    assert measured.status == "measured"
    assert main(["validate", str(store.folder)]) == 0

    # Neither does it keep the run from becoming a baseline, nor is it missed in one
    baseline = tmp_path / "cpu" / "mine.json"
    assert (
        main(["baseline", "promote", str(store.folder), "--name=mine", f"--folder={tmp_path}"]) == 0
    )
    assert list(json.loads(baseline.read_text())["cases"]) == ["mine-sr16"]
    arguments = [f"--invbench-baseline={baseline}", "--invbench-fresh"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("falling", "1 / 0", r"ZeroDivisionError: .*falling\.py:2"),
        ("picky", "import pytest; pytest.importorskip('nowhere')", "Skipped: could not import"),
        ("broken", "def (:", "SyntaxError: .*broken.py, line 2"),
        ("leaving", "raise SystemExit", "ends the program"),
    ],
)
def test_a_module_that_fails_is_named(name, line, message, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text(f"\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownNameError, match=message):
        OwnSampler.parse(f"mine={name}:load")


def test_the_error_is_named_where_users_import_it():
    with pytest.raises(UnsupportedProblemError):
        raise UnsupportedProblemError("not mine")
