"""A run becomes a baseline only if it is whole, and compares as the run does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from gate_records import CASES, record, write_run

from invbench.cli import main
from invbench.errors import InvalidRecordError, MissingDataError
from invbench.exit_codes import ExitCode
from invbench.gate import (
    BaselineError,
    Verdict,
    compare,
    device_slug,
    find_baseline,
    promote,
    read_snapshot,
)

GPU = {"gpu": {"name": "NVIDIA H100 80GB HBM3"}, "cpu": {"name": "any"}}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [record(case) for case in CASES])


def test_a_run_is_identical_to_the_baseline_it_became(run, tmp_path):
    file, cases = promote(run, tmp_path / "baselines")
    assert (file, cases) == (tmp_path / "baselines" / "cpu" / "tiny.json", 3)
    report = compare(read_snapshot(file), read_snapshot(run), mode="noninferiority")
    assert {row.verdict for row in report.rows} == {Verdict.IDENTICAL}
    assert len(report.rows) == 3 * 5


def test_a_regression_from_the_baseline_is_found(run, tmp_path):
    file, _ = promote(run, tmp_path / "baselines")
    worse = write_run(tmp_path / "b", [record(shift={"psnr": -1}), *map(record, CASES[1:])])
    (found,) = compare(read_snapshot(file), read_snapshot(worse)).having(Verdict.REGRESSED)
    assert (found.case, found.metric) == ("chimle-sr16", "psnr")


def test_rounding_is_far_below_every_tolerance(run, tmp_path):
    file, _ = promote(run, tmp_path / "baselines")
    entry = json.loads(file.read_text())["cases"]["chimle-sr16"]
    kept = entry["validity"]["psnr"]["per_image"]
    exact = record().validity["psnr"].per_image
    assert kept == [round(value, 6) for value in exact]
    assert kept != list(exact)


def test_the_file_is_reviewed_by_case_and_says_nothing_of_its_machine(run, tmp_path):
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"argv": ["/home/someone/pytest"]}))
    file, _ = promote(run, tmp_path / "baselines")
    assert "someone" not in file.read_text()
    assert sum(line.startswith('"chimle-sr16"') for line in file.read_text().splitlines()) == 2


def test_timings_of_processes_are_kept(run, tmp_path):
    entry = {"environment_key": "k", "samples_per_round": 4, "seconds": [[1.0, 2.0], [3.0, 4.0]]}
    cases = {"chimle-sr16": entry}
    (run / "timing.json").write_text(json.dumps({"schema": "invbench.timing/1", "cases": cases}))
    file, _ = promote(run, tmp_path / "baselines")
    timings = read_snapshot(file).timings
    assert timings["chimle-sr16"].seconds == ((1.0, 2.0), (3.0, 4.0))
    assert timings["ddrm-sr16"].seconds == (record().throughput.seconds_per_round,)


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_run_with_open_cases_is_refused_unless_told(tmp_path, status):
    spoiled = replace(record(), status=status)
    if status == "skipped":
        spoiled = replace(spoiled, validity={}, interval=None)
    run = write_run(tmp_path / "run", [spoiled, record("ddrm-sr16")])
    with pytest.raises(BaselineError, match=f"{status}: chimle-sr16.*--allow-incomplete"):
        promote(run, tmp_path / "baselines")
    assert not (tmp_path / "baselines").exists()
    file, cases = promote(run, tmp_path / "baselines", allow_incomplete=True)
    assert cases == (2 if status == "failed" else 1)
    assert set(read_snapshot(file).cases) == {"ddrm-sr16"} | (
        {"chimle-sr16"} if status == "failed" else set()
    )


def test_a_run_with_missing_cases_is_refused_unless_told(tmp_path):
    run = write_run(tmp_path / "run", [record()], expected=CASES)
    with pytest.raises(BaselineError, match="missing: chimle-colorization, ddrm-sr16"):
        promote(run, tmp_path / "baselines")
    assert promote(run, tmp_path / "baselines", allow_incomplete=True)[1] == 1


def test_a_run_that_measured_nothing_is_refused_always(tmp_path):
    run = write_run(tmp_path / "run", [])
    with pytest.raises(BaselineError, match="no case was measured"):
        promote(run, tmp_path / "baselines", allow_incomplete=True)


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden"])
def test_a_name_cannot_leave_the_folder(run, tmp_path, name):
    with pytest.raises(BaselineError, match="a baseline's name is"):
        promote(run, tmp_path / "baselines", name=name)


@pytest.mark.parametrize(
    ("environment", "slug"),
    [
        ({"gpu": None}, "cpu"),
        ({}, "cpu"),
        (GPU, "nvidia-h100-80gb-hbm3"),
        ({"gpu": {"name": "../X / (TM)"}}, "x-tm"),
    ],
    ids=["cpu", "unsaid", "gpu", "unsafe"],
)
def test_a_device_is_a_safe_folder_name(environment, slug):
    assert device_slug(environment) == slug


class TestFind:
    def test_a_name_a_file_or_a_run(self, run, tmp_path):
        folder = tmp_path / "baselines"
        file, _ = promote(run, folder, name="release-1.0")
        assert find_baseline(type(file)("release-1.0"), folder, "cpu") == file
        assert find_baseline(file, folder, "cpu") == file
        assert find_baseline(run, folder, "cpu") == run

    def test_what_is_none_of_them_lists_those_there_are(self, run, tmp_path):
        promote(run, tmp_path, name="release")
        with pytest.raises(MissingDataError, match=r"baseline of cpu \(there: release\)"):
            find_baseline(run / "relaese", tmp_path, "cpu")
        with pytest.raises(MissingDataError, match=r"there: none"):
            find_baseline(run / "release", tmp_path, "other-device")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:50], "not JSON"),
        (lambda text: text.replace("baseline/1", "baseline/2"), "not of schema"),
        (lambda text: text.replace('"cases"', '"case"'), "not a baseline, 'cases'"),
        (lambda text: text.replace('"profile": "tiny"', '"profil": 1'), "profile or environment"),
        (lambda text: text.replace('"n_samples": 20, "seed"', '"n_samples": 9, "seed"'), "edited"),
        (lambda text: text.replace('"seconds": [[', '"seconds": [["x", '), "timings"),
    ],
    ids=["half", "schema", "cases", "profile", "identity", "timings"],
)
def test_damage_is_named(run, tmp_path, spoil, message):
    file, _ = promote(run, tmp_path / "baselines")
    file.write_text(spoil(file.read_text()))
    with pytest.raises(InvalidRecordError, match=message):
        read_snapshot(file)


def test_the_verb_promotes(run, tmp_path, capsys):
    arguments = ["baseline", "promote", str(run), "--folder", str(tmp_path / "b"), "--name", "x"]
    assert main(arguments) is ExitCode.OK
    assert "cpu/x.json: baseline of 3 cases" in capsys.readouterr().out
    assert main(["baseline", "promote", str(tmp_path / "none")]) is ExitCode.MISSING
    (run / "cases" / "ddrm-sr16.json").unlink()
    assert main(arguments) is ExitCode.USAGE
    assert "missing: ddrm-sr16" in capsys.readouterr().err
    assert main([*arguments, "--allow-incomplete"]) is ExitCode.OK
