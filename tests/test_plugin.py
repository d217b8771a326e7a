"""The suite runs as users run it: in a process of its own, with its options."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ("--invbench-images=2", "--invbench-samples=4")


def suite(results, *arguments):
    """Run the pair cases with pytest in a process of its own."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "benchmarks/test_pairs.py",
            "-p",
            "no:cacheprovider",
            f"--invbench-results={results}",
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")},
    )


def test_all_24_cases_exist():
    done = suite("unused", "--collect-only", "-q")
    ids = re.findall(r"test_pair\[(\w+-\w+)\]", done.stdout)
    assert len(ids) == 24
    assert {"bicyclegan-sr16", "ndm-decompression", "chimle-colorization"} <= set(ids)


def test_k_imle_takes_both_and_k_cimle_one():
    for word, count in (("imle", 6), ("cimle", 3), ("chimle", 3), ("sr16", 8)):
        done = suite("unused", "--collect-only", "-q", "-k", word)
        assert len(re.findall(r"test_pair\[", done.stdout)) == count


def test_a_sampler_of_ones_own_is_measured_on_every_task(tmp_path):
    done = suite(tmp_path, "--invbench-sampler=mine=samplers:blurry", "-k", "mine", "-q", *SMALL)
    assert done.returncode == 0, done.stdout
    for task in ("sr16", "colorization", "decompression"):
        record = json.loads((tmp_path / "cases" / f"mine-{task}.json").read_text())
        assert record["status"] == "passed"
        assert len(record["throughput"]["seconds_per_round"]) == 2
        assert re.search(rf"mine-{task} +\d+\.\d\d", done.stdout)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["environment"]["packages"]["torch"]
    assert len(run["expected_cases"]) == 27


def test_a_broken_sampler_fails_by_name_and_the_others_are_kept(tmp_path):
    done = suite(
        tmp_path,
        "--invbench-sampler=mine=samplers:broken",
        "--invbench-sampler=good=samplers:blurry",
        "-k",
        "mine-sr16 or good-sr16",
        *SMALL,
    )
    assert done.returncode == 1
    assert "InvalidSamplesError: sample 3 of astronaut-0" in done.stdout
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["good-sr16.json"]


def test_missing_weights_skip_and_are_recorded_or_fail_where_required(tmp_path):
    empty = f"--invbench-checkpoints={tmp_path / 'none'}"
    done = suite(tmp_path / "a", "-k", "chimle-sr16", empty)
    assert done.returncode == 0
    assert "no such checkpoint" in done.stdout
    record = json.loads((tmp_path / "a" / "cases" / "chimle-sr16.json").read_text())
    assert (record["status"], "no such checkpoint" in record["reason"]) == ("skipped", True)
    done = suite(tmp_path / "b", "-k", "chimle-sr16", empty, "--invbench-require=chimle")
    assert done.returncode == 1
    assert "required:" in done.stdout


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--invbench-profile=huge", "unknown profile 'huge'"),
        ("--invbench-device=cuda:99", "CUDA devices; use auto"),
        ("--invbench-sampler=chimle=samplers:blurry", "a name of your own"),
        ("--invbench-sampler=mine=samplers:nothing", "cannot be imported"),
    ],
    ids=["profile", "device", "taken name", "factory"],
)
def test_bad_options_are_named(tmp_path, option, message):
    done = suite(tmp_path, "-k", "chimle-sr16", option)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_a_folder_of_ones_own_is_measured(tmp_path):
    done = suite(
        tmp_path / "run",
        f"--invbench-data={tmp_path}",
        "--invbench-sampler=mine=samplers:blurry",
        "-k",
        "mine-sr16",
        *SMALL,
    )
    assert "EmptyFolderError" in done.stdout
