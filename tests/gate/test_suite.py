"""`benchmarks/test_gate.py`, on runs whose cases are done: what it finds, says and ends with."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from gate_records import CASES, record, write_run

from invbench.exit_codes import ExitCode
from invbench.gate import BASELINES, promote

ROOT = Path(__file__).parents[2]
OTHER = {"checkpoint": "b"}


@pytest.fixture
def run(tmp_path):
    """Give a function that writes a run of all cases and returns its folder."""

    def write(name, *, cases=CASES, **changes):
        return str(write_run(tmp_path / name, [record(case, **changes) for case in cases]))

    return write


@pytest.fixture
def gate(tmp_path):
    """Give a function that runs the gate on a run that is there, from a folder of one's own."""
    place = tmp_path / "place"
    place.mkdir()

    def judge(results, *arguments):
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", str(ROOT / "benchmarks" / "test_gate.py")),
                *("-p", "no:cacheprovider", f"--invbench-results={results}", "--invbench-resume"),
                *arguments,
            ],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")},
        )

    judge.place = place
    return judge


OWN = "--invbench-sampler=mine=samplers:blurry"


class TestNamedBaseline:
    def test_each_case_is_judged_and_the_worst_fails(self, gate, run):
        worse = run("b", shift={"psnr": -1.0}, cases=CASES[:2], **OTHER)
        done = gate(worse, f"--invbench-baseline={run('a')}", "--invbench-alpha=0.04")
        assert done.returncode == 1
        assert "psnr regressed, worse by 1, tolerated 0.25" in done.stdout
        assert "all incomparable, missing in the candidate" in done.stdout
        assert "rows of all cases together, family-wise error 0.04" in done.stdout
        assert "gate (regression): REGRESSED: 2 regressed" in done.stdout

    def test_a_selected_case_that_it_lacks_fails(self, gate, run):
        done = gate(run("b"), "-k", "ndm-sr16", f"--invbench-baseline={run('a')}")
        assert done.returncode == 1
        assert "nothing compared: ndm-sr16 is not in" in done.stdout

    def test_nothing_compared_is_a_failed_item(self, gate, run):
        done = gate(run("b"), "-k", "chimle-sr16", f"--invbench-baseline={run('a', cases=())}")
        assert done.returncode == 1
        assert "gate (regression): nothing compared" in done.stdout

    def test_selected_cases_are_compared_alone(self, gate, run, tmp_path):
        worse = run("b", shift={"psnr": -1.0}, cases=CASES[:1], **OTHER)
        baseline = f"--invbench-baseline={run('a')}"
        done = gate(worse, "-k", "chimle-sr16", baseline, "--invbench-gate=warn")
        assert done.returncode == 0
        assert "1 row of the selected cases" in done.stdout
        assert "gate (warn): REGRESSED: 1 regressed" in done.stdout
        written = json.loads((tmp_path / "b" / "gate.json").read_text())
        assert (written["selected"], written["missing_cases"]) == (True, [])

    def test_one_that_is_not_there_is_named(self, gate, run):
        done = gate(run("b"), "-k", "chimle-sr16", "--invbench-baseline=nowhere")
        assert done.returncode == ExitCode.MISSING
        assert "nowhere: no such file, run or baseline of cpu" in done.stderr


class TestNoBaselineNamed:
    def test_a_case_of_one_s_own_is_skipped_with_the_command_that_makes_a_baseline(self, gate, run):
        mine = run("b", cases=["mine-sr16"])
        done = gate(mine, "-k", "mine-sr16", OWN)
        assert done.returncode == 0
        assert "FAILED" not in done.stdout
        assert f"invbench baseline promote {mine}" in done.stdout
        assert "not compared: mine-sr16: not in" in done.stdout

    def test_what_was_promoted_here_is_found_here(self, gate, run):
        """The model of one's own, in a folder of one's own, with no option but the sampler's."""
        mine = run("b", cases=["mine-sr16"])
        promote(Path(mine), gate.place / BASELINES)
        same = gate(mine, "-k", "mine-sr16", OWN)
        assert same.returncode == 0
        assert "gate (regression): passed, identical" in same.stdout
        assert str(gate.place / BASELINES / "cpu" / "tiny.json") in same.stdout
        worse = run("c", cases=["mine-sr16"], shift={"psnr": -0.69}, **OTHER)
        done = gate(worse, "-k", "mine-sr16", OWN)
        assert done.returncode == 1
        assert "gate (regression): REGRESSED: 1 regressed" in done.stdout

    def test_a_run_of_another_size_is_skipped_and_compared_with_its_own_baseline(self, gate, run):
        small = run("b", cases=["mine-sr16"], n_samples=4)
        promote(Path(run("a", cases=["mine-sr16"])), gate.place / BASELINES)
        done = gate(small, "-k", "mine-sr16", OWN, "--invbench-samples=4")
        assert done.returncode == 0
        assert "of another size or data (sampling.n_samples: 20 -> 4)" in done.stdout
        assert gate(small, "-k", "mine-sr16", OWN).returncode == 1  # nobody asked for 4
        promote(Path(small), gate.place / BASELINES)
        done = gate(small, "-k", "mine-sr16", OWN, "--invbench-samples=4")
        assert "gate (regression): passed, identical" in done.stdout

    def test_a_release_is_compared_with_as_well(self, gate, run):
        folder = gate.place / BASELINES
        cases = ["mine-sr16"]
        promote(Path(run("a", cases=cases)), folder, release="1.0")
        for step in (1, 2):
            run(f"b{step}", cases=cases, shift={"psnr": -0.2 * step}, checkpoint=f"b{step}")
        promote(folder.parents[2] / "b1", folder)
        done = gate(str(folder.parents[2] / "b2"), "-k", "mine-sr16", OWN)
        assert "worse, by no more than is tolerated: mine-sr16 psnr by 0.2" in done.stdout
        assert "gate (regression): passed, shown no worse" in done.stdout
        assert "gate (regression): REGRESSED: 1 regressed" in done.stdout
        assert done.returncode == 1

    def test_a_profile_without_a_baseline_says_how_to_make_one(self, gate, tmp_path):
        mine = write_run(tmp_path / "b", [record("mine-sr16")], profile="small")
        done = gate(mine, "-k", "mine-sr16", OWN, "--invbench-profile=small")
        assert done.returncode == 0
        assert "FAILED" not in done.stdout
        assert "no small.json in" in done.stdout
        assert f"make one by `invbench baseline promote {mine}`" in done.stdout


def test_a_bad_error_rate_is_refused_before_any_work(gate, tmp_path):
    done = gate(tmp_path / "none", "--invbench-alpha=2")
    assert done.returncode == 4
    assert "expected a probability" in done.stderr
    assert not (tmp_path / "none").exists()


def test_it_comes_last_and_the_order_of_the_others_is_kept():
    hooks = runpy.run_path(str(ROOT / "benchmarks" / "conftest.py"))
    items = [SimpleNamespace(path=Path(f"{name}.py")) for name in ("b", "test_gate", "a")]
    hooks["pytest_collection_modifyitems"](items)
    assert [item.path.stem for item in items] == ["b", "a", "test_gate"]
