"""The suite runs as users run it: in a process of its own, with its options."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from mixed_folder import encoded, picture, write
from pytest_benchmark.cli import main as pytest_benchmark_main

from invbench.runs.store import RunStore
from invbench.runs.validation import validate

ROOT = Path(__file__).parents[2]
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


def test_all_24_cases_and_the_references_exist():
    done = suite("unused", "--collect-only", "-q")
    ids = re.findall(r"test_pair\[(\w+-\w+)\]", done.stdout)
    assert len(ids) == 27
    assert {"bicyclegan-sr16", "ndm-decompression", "chimle-colorization", "reference-sr16"} <= set(
        ids
    )


def test_k_imle_takes_both_and_k_cimle_one():
    for word, count in (("imle", 6), ("cimle", 3), ("chimle", 3), ("sr16", 9)):
        done = suite("unused", "--collect-only", "-q", "-k", word)
        assert len(re.findall(r"test_pair\[", done.stdout)) == count


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Run a sampler of one's own, with the files that pytest and pytest-benchmark write."""
    folder = tmp_path_factory.mktemp("own")
    done = suite(
        folder / "run",
        "--invbench-sampler=mine=samplers:blurry",
        "-k",
        "mine",
        f"--benchmark-json={folder / 'bench.json'}",
        f"--junitxml={folder / 'junit.xml'}",
        *SMALL,
    )
    assert done.returncode == 0, done.stdout
    return folder, done.stdout


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Run a sampler that breaks the convention beside one that keeps it."""
    folder = tmp_path_factory.mktemp("broken")
    done = suite(
        folder / "run",
        "--invbench-sampler=mine=samplers:broken",
        "--invbench-sampler=good=samplers:blurry",
        "-k",
        "mine-sr16 or good-sr16",
        f"--junitxml={folder / 'junit.xml'}",
        *SMALL,
    )
    assert done.returncode == 1
    return folder, done.stdout


def test_a_sampler_of_ones_own_is_measured_on_every_task(own):
    folder, out = own
    for task in ("sr16", "colorization", "decompression"):
        record = json.loads((folder / "run" / "cases" / f"mine-{task}.json").read_text())
        assert (record["status"], record["contract"]) == ("measured", [])
        assert len(record["throughput"]["seconds_per_round"]) == 2
        assert re.search(rf"mine-{task} +\d+\.\d\d", out)
    run = json.loads((folder / "run" / "run.json").read_text())
    assert run["environment"]["packages"]["torch"]
    assert len(run["expected_cases"]) == 30  # 24, three references, three of its own
    assert run["selected_cases"] == ["mine-sr16", "mine-colorization", "mine-decompression"]
    assert validate(folder / "run") == []


def test_a_broken_sampler_fails_by_name_and_the_others_are_kept(broken):
    folder, out = broken
    assert "InvalidSamplesError: sample 7 of astronaut-0" in out
    store = RunStore(folder / "run")
    assert store.case_ids() == ["good-sr16", "mine-sr16"]
    record = store.read_case("mine-sr16")
    assert (record.status, record.validity) == ("error", {})
    assert record.reason.startswith("InvalidSamplesError: sample 7 of astronaut-0")
    assert store.read_case("good-sr16").status == "measured"


def test_a_sampler_that_breaks_the_contract_fails_if_asked(tmp_path):
    sampler = "--invbench-sampler=mine=dishonest:upsampled"
    arguments = (sampler, "-k", "mine-colorization", *SMALL)
    done = suite(tmp_path / "a", *arguments)
    assert done.returncode == 0
    assert "mine-colorization: duplicate samples: 1 of 4 samples of astronaut-0" in done.stdout
    done = suite(tmp_path / "b", *arguments, "--invbench-strict")
    assert done.returncode == 1
    assert "AssertionError: duplicate samples: 1 of 4 samples" in done.stdout


def test_junit_has_every_case_and_the_failure(own, broken):
    suites = ET.parse(own[0] / "junit.xml").find("testsuite")  # noqa: S314 our own file
    cases = suites.findall("testcase")
    assert [case.get("name") for case in cases] == [
        f"test_pair[mine-{task}]" for task in ("sr16", "colorization", "decompression")
    ]
    assert [len(case) for case in cases] == [0, 0, 0]
    suites = ET.parse(broken[0] / "junit.xml").find("testsuite")  # noqa: S314 our own file
    assert (suites.get("tests"), suites.get("failures")) == ("2", "1")
    failed = {case.get("name"): case.find("failure") for case in suites.findall("testcase")}
    assert failed["test_pair[good-sr16]"] is None
    assert "InvalidSamplesError" in failed["test_pair[mine-sr16]"].get("message")


def test_pytest_benchmark_saves_scores_and_facts_and_compares_its_files(
    own, tmp_path, capsys, monkeypatch
):
    folder, _ = own
    saved = json.loads((folder / "bench.json").read_text(), parse_constant=pytest.fail)
    assert saved["invbench"] == {"run_id": "run"}
    facts = saved["machine_info"]["invbench"]
    assert facts["packages"]["torch"]
    assert "git" not in facts  # it changes from run to run, and would be warned of
    assert len(saved["benchmarks"]) == 3
    for entry in saved["benchmarks"]:
        record = json.loads((folder / "run" / "cases" / f"{entry['param']}.json").read_text())
        assert entry["group"] == record["identity"]["task"]["name"]
        assert set(entry["extra_info"]) == {"psnr", "ssim", "lpips", "coverage"}
        assert all(type(value) is float for value in entry["extra_info"].values())
        assert entry["extra_info"]["psnr"] == record["validity"]["psnr"]["mean"]
        assert entry["stats"]["rounds"] == 2
        entry["stats"]["min"] *= 4
    (tmp_path / "slower.json").write_text(json.dumps(saved))
    files = [str(folder / "bench.json"), str(tmp_path / "slower.json")]
    options = ["--columns=min", "--group-by=param", "--sort=min"]
    monkeypatch.setattr(sys, "argv", ["pytest-benchmark", "compare", *files, *options])
    pytest_benchmark_main()
    table = capsys.readouterr().out
    for task in ("sr16", "colorization", "decompression"):
        assert f"benchmark 'mine-{task}': 2 tests" in table
    assert table.count("(4.00)") == 3


def test_missing_weights_skip_and_are_recorded_or_fail_where_required(tmp_path):
    (tmp_path / "none").mkdir()
    empty = f"--invbench-checkpoints={tmp_path / 'none'}"
    done = suite(tmp_path / "a", "-k", "chimle-sr16", empty)
    assert done.returncode == 4  # nothing was measured
    assert "no such checkpoint" in done.stdout
    record = json.loads((tmp_path / "a" / "cases" / "chimle-sr16.json").read_text())
    assert (record["status"], "no such checkpoint" in record["reason"]) == ("skipped", True)
    both = ("-k", "(chimle or reference) and sr16", "--invbench-images=2", "--invbench-samples=2")
    assert suite(tmp_path / "both", *both, empty).returncode == 0
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
        ("--invbench-sampler=mine", "expected NAME=package.module:factory"),
        ("--invbench-sampler=../x=samplers:blurry", "begins with a letter or digit"),
        ("--invbench-task=sr5", "unknown task 'sr5'; did you mean"),
        ("--invbench-task=sr16=samplers:blurry", "sr16 is a built-in task"),
        ("--invbench-task=mine=samplers:blurry", "called without arguments"),
        ("--invbench-require=chimel", "unknown --invbench-require 'chimel'; did you mean chimle"),
        ("--invbench-checkpoints=nowhere", "--invbench-checkpoints nowhere: no such folder"),
        ("--invbench-data=nowhere", "--invbench-data nowhere: no such folder"),
        ("--invbench-images=0", "--invbench-images 0: give at least 1"),
        ("--invbench-samples=-1", "--invbench-samples -1: give at least 1"),
        ("--invbench-profile=paper", "has no data of its own; give --invbench-data"),
        ("--invbench-shard=3/2", "expected i/n"),
        ("--invbench-groups=folder", "give --invbench-data"),
        ("--invbench-images=82", "sr16: 82 images asked for; the embedded photographs give 81"),
        ("--invbench-lpips-weights=nothing.pth", "nothing.pth: no such file of LPIPS weights"),
        ("--invbench-baseline=nothing", "nothing: no such file, run or baseline of cpu"),
        ("--invbench-columns=psnr,fid", "unknown --invbench-columns 'fid'; known: chi_squared, "),
    ],
    ids=lambda text: text[11:40] if text.startswith("--") else "",
)
def test_bad_options_are_named_before_any_work(tmp_path, option, message):
    done = suite(tmp_path / "run", "-k", "chimle-sr16", option)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()


def test_bad_options_are_named_all_at_once(tmp_path):
    options = ("--invbench-checkpoints=nowhere", "--invbench-images=0", "--invbench-task=sr5")
    done = suite(tmp_path / "run", "-k", "chimle-sr16", *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    for message in ("nowhere: no such folder", "--invbench-images 0", "unknown task 'sr5'"):
        assert message in done.stdout + done.stderr


def test_photographs_that_cannot_be_used_are_named_before_any_work(tmp_path):
    photos = tmp_path / "photos"
    write(photos / "large.png", encoded(picture(0, 128), "PNG"))
    write(photos / "middle.png", encoded(picture(1, 64), "PNG"))
    write(photos / "alps" / "small.png", encoded(picture(2, 32), "PNG"))
    write(photos / "broken.png", b"no image")
    done = suite(tmp_path / "run", "-k", "chimle", f"--invbench-data={photos}")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert not (tmp_path / "run").exists()
    large, small = done.stderr.split("UnreadableImageError: ")[1:]
    mend = "remove or mend what cannot be used"
    assert large.startswith(f"sr16: {photos}: {mend} (3)\n")
    assert small.startswith(f"colorization, decompression: {photos}: {mend} (2)\n")
    for name, listed in {
        "broken.png: cannot be read": (large, small),
        "alps/small.png: 32x32 pixels": (large, small),
        "middle.png: 64x64 pixels; at least 128 are needed": (large,),
        "large.png": (),
    }.items():
        assert [name in part for part in (large, small)] == [p in listed for p in (large, small)]


def test_photographs_of_tasks_that_are_not_selected_may_be_too_small(tmp_path):
    for number in range(2):
        write(tmp_path / "photos" / f"{number}.png", encoded(picture(number, 64), "PNG"))
    arguments = (f"--invbench-data={tmp_path / 'photos'}", "-k", "mine-colorization", *SMALL)
    done = suite(tmp_path / "run", *arguments, "--invbench-sampler=mine=samplers:blurry")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_cannot_be_handed_to_workers_is_named(tmp_path, monkeypatch):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    monkeypatch.setenv("LC_ALL", "C")
    done = suite(tmp_path / "r\u00e9", "-k", "chimle-sr16", "-n", "1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "-n cannot hand this to other processes" in done.stderr
    assert "set PYTHONUTF8=1" in done.stderr
