"""Tasks are read from names and factories, or refused by name; a run measures on those chosen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from invbench.errors import InvalidImagesError, InvalidTaskError, UnknownNameError
from invbench.models import MODELS, Case
from invbench.problems import TASKS, Noise, linear_task
from invbench.suite import names
from invbench.suite.options import Options
from invbench.suite.own_samplers import OwnSampler
from invbench.suite.own_tasks import read_task, read_tasks
from invbench.suite.resolve import Suite

ROOT = Path(__file__).parents[2]


def halves():
    return linear_task(lambda images: images[..., ::2, ::2], noise=Noise(0.02), size=32)


@pytest.fixture
def module(monkeypatch):
    """Give a module whose contents the option's text can name."""
    made = types.ModuleType("my_tasks")
    made.halves = halves
    monkeypatch.setitem(sys.modules, "my_tasks", made)
    return made


def suite(**options):
    return Suite(Options(device="cpu", **options))


class TestReading:
    def test_a_factorys_task_gets_the_name_that_was_given(self, module):  # noqa: ARG002
        task = read_task("mine=my_tasks:halves")
        assert (task.name, task.size, task.source) == ("mine", 32, "my_tasks:halves")
        identity = task.identity()
        assert identity["noise"]["params"] == {"std": 0.02}
        assert len(identity["source_sha256"]) == 64
        json.dumps(identity)

    def test_built_in_tasks_are_read_by_name(self):
        assert list(read_tasks(["sr4", "deblur-motion+n5"])) == ["sr4", "deblur-motion+n5"]
        assert read_tasks(["sr16"])["sr16"] is TASKS["sr16"]
        assert read_tasks([]) is TASKS

    def test_installed_tasks_and_samplers_are_read_by_name(self, module, monkeypatch):
        from samplers import blurry

        module.load = blurry
        points = {
            "invbench.tasks": [EntryPoint("theirs", "my_tasks:halves", "invbench.tasks")],
            "invbench.samplers": [EntryPoint("their", "my_tasks:load", "invbench.samplers")],
        }
        monkeypatch.setattr(names, "entry_points", lambda group: points[group])
        assert read_task("theirs").source == "my_tasks:halves"
        assert OwnSampler.parse("their").source == "my_tasks:load"
        with pytest.raises(UnknownNameError, match=r"installed: theirs"):
            read_task("their")

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            ("sr5", UnknownNameError, "unknown task 'sr5'"),
            ("mine=", UnknownNameError, "expected NAME="),
            ("my_tasks:halves", UnknownNameError, "expected NAME="),
            ("=my_tasks:halves", UnknownNameError, "expected NAME="),
            ("../../x=my_tasks:halves", UnknownNameError, "expected NAME="),
            ("a/b=my_tasks:halves", UnknownNameError, "expected NAME="),
            ("sr4=my_tasks:halves", UnknownNameError, "sr4 is a built-in task"),
            ("mine=my_tasks:nothing", UnknownNameError, "cannot be imported"),
            ("mine=my_tasks:one", InvalidTaskError, "return a Task"),
            ("mine=my_tasks:needs", InvalidTaskError, "called without arguments"),
            ("mine=my_tasks:skips", InvalidTaskError, "Skipped: could not import"),
            (
                "mine=my_tasks:fails",
                InvalidTaskError,
                r"ZeroDivisionError: .*tasks\.py:\d",
            ),
        ],
    )
    def test_what_names_no_task_is_refused(self, module, text, error, message):
        module.one = lambda: 1
        module.needs = lambda size: size
        module.fails = lambda: 1 / 0
        module.skips = lambda: pytest.importorskip("nowhere")
        with pytest.raises(error, match=message):
            read_task(text)

    def test_one_name_is_one_task(self):
        with pytest.raises(UnknownNameError, match="sr4 is named twice"):
            read_tasks(["sr4", "sr8", "sr4"])
        texts = ["mine=samplers:blurry", "mine=samplers:broken"]
        with pytest.raises(UnknownNameError, match="mine is named twice"):
            _ = suite(sampler=texts).own


class TestCases:
    def test_methods_run_on_what_they_were_trained_for(self):
        chosen = ["sr4", "sr16", "jpeg5", "denoise10"]
        found = suite(task=chosen, sampler=["mine=samplers:blurry"]).cases
        assert found[:8] == tuple(Case(model, "sr16") for model in MODELS)
        assert found[8:12] == tuple(Case("reference", name) for name in chosen)
        assert found[12:] == tuple(Case("mine", name) for name in chosen)

    def test_what_has_no_reference_has_no_case_of_it(self, module):
        from dataclasses import replace

        module.crooked = lambda: replace(halves(), linear=None)
        found = suite(task=["odd=my_tasks:crooked"], sampler=["mine=samplers:blurry"]).cases
        assert found == (Case("mine", "odd"),)

    def test_two_cases_of_one_id_are_refused(self, module):  # noqa: ARG002
        texts = ["a-b=samplers:blurry", "a=samplers:blurry"]
        tasks = ["c=my_tasks:halves", "b-c=my_tasks:halves"]
        with pytest.raises(UnknownNameError, match="a-b-c would be the id of two cases"):
            _ = suite(sampler=texts, task=tasks).cases

    def test_ids_that_differ_in_capitals_alone_are_refused(self):
        """Some file systems take them for one file."""
        with pytest.raises(UnknownNameError, match="MINE-sr16, mine-sr16 would be the id of two"):
            _ = suite(sampler=["mine=samplers:blurry", "MINE=samplers:blurry"], task=["sr16"]).cases

    def test_sizes_are_the_profiles_the_tasks_or_the_usual_one(self, module):  # noqa: ARG002
        run = suite(task=["sr16", "mine=my_tasks:halves", "sr4"])
        sizes = [run.problem(name).size for name in run.tasks]
        assert sizes == [(128, 128), (32, 32), (64, 64)]
        assert suite(task=["sr4"], profile="small").size("sr4") == 128
        assert run.data_set("mine").photos[0].pixels.shape == (3, 32, 32)

    def test_a_task_that_cannot_observe_its_size_is_refused(self, module):
        module.large = lambda: linear_task(lambda x: x[..., 32:, :], size=32)
        with pytest.raises(InvalidImagesError, match=r"to \(1, 3, 0, 32\); return"):
            suite(task=["mine=my_tasks:large"]).problem("mine")


def test_a_run_on_other_tasks_is_a_run_as_any(tmp_path):
    """Its records are whole, it becomes a baseline, and the gate compares with it."""
    code = (
        "from invbench.problems import Noise, linear_task\n\n"
        "def halves():\n"
        "    return linear_task(lambda x: x[..., ::2, ::2], noise=Noise(0.02), size=32)\n\n"
        "def load(problem, device):\n"
        "    from invbench.models import reference_sampler\n"
        "    return reference_sampler(problem)\n"
    )
    (tmp_path / "my_halves.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "benchmarks/", "-k", "mine", "-q"]
    command += ["-p", "no:cacheprovider", "--invbench-sampler=mine=my_halves:load"]
    command += ["--invbench-task=half=my_halves:halves", "--invbench-task=deblur-motion+n5"]
    command += ["--invbench-images=2", "--invbench-samples=4"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(name, *arguments):
        done = subprocess.run(
            [*command, f"--invbench-results={tmp_path / name}", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    said = run("run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["selected_cases"] == ["mine-half", "mine-deblur-motion+n5"]
    assert len(facts["expected_cases"]) == 4
    for case in facts["selected_cases"]:
        record = json.loads((tmp_path / "run" / "cases" / f"{case}.json").read_text())
        assert record["status"] == "measured"
        assert record["noise_fit"]["n_measurements"] > 700
        assert list(record["validity"]) == ["chi_squared_error"]
        assert f"{case}: chi-squared " in said
        assert record["skill"]["crps"]["value"] == pytest.approx(0, abs=1e-9)
    invbench = [sys.executable, "-m", "invbench"]
    for verb in (["validate"], ["baseline", "promote", "--name=mine", f"--folder={tmp_path}"]):
        subprocess.run([*invbench, *verb, str(tmp_path / "run")], check=True, cwd=ROOT)
    said = run("again", f"--invbench-baseline={tmp_path / 'cpu' / 'mine.json'}")
    assert "gate (regression): passed, identical" in said
