"""A run becomes a baseline only if it is whole, and compares as the run does."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from gate_records import CASES, record, write_run
from run_records import timing_record

from invbench.cli import main
from invbench.errors import InvalidRecordError, MissingDataError
from invbench.exit_codes import ExitCode
from invbench.gate import (
    BASELINES,
    BaselineError,
    Verdict,
    compare,
    device_slug,
    find_baseline,
    promote,
    read_baselines,
    read_snapshot,
    release_name,
)
from invbench.gate.snapshots import _digest
from invbench.runs import RunStore

GPU = {"gpu": {"name": "NVIDIA H100 80GB HBM3"}, "cpu": {"name": "any"}}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [record(case) for case in CASES])


def test_a_run_is_identical_to_the_baseline_it_became(run, tmp_path):
    promotion = promote(run, tmp_path / "baselines")
    file = promotion.file
    assert file == tmp_path / "baselines" / "cpu" / "tiny.json"
    assert (set(promotion.cases), promotion.kept) == (set(CASES), ())
    report = compare(read_snapshot(file), read_snapshot(run), mode="noninferiority")
    assert {row.verdict for row in report.rows} == {Verdict.IDENTICAL}
    assert len(report.rows) == 3 * 5


def test_a_regression_from_the_baseline_is_found(run, tmp_path):
    file = promote(run, tmp_path / "baselines").file
    worse = write_run(tmp_path / "b", [record(shift={"psnr": -1}), *map(record, CASES[1:])])
    (found,) = compare(read_snapshot(file), read_snapshot(worse)).losses
    assert (found.case, found.metric) == ("chimle-sr16", "psnr")


def test_rounding_is_far_below_every_tolerance(run, tmp_path):
    file = promote(run, tmp_path / "baselines").file
    entry = json.loads(file.read_text())["cases"]["chimle-sr16"]
    kept = entry["validity"]["psnr"]["per_image"]
    exact = record().validity["psnr"].per_image
    assert kept == [round(value, 6) for value in exact]
    assert kept != list(exact)


def test_the_file_is_reviewed_by_case_and_says_nothing_of_its_machine(run, tmp_path):
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"argv": ["/home/someone/pytest"]}))
    file = promote(run, tmp_path / "baselines").file
    assert "someone" not in file.read_text()
    assert sum(line.startswith('"chimle-sr16"') for line in file.read_text().splitlines()) == 2


def test_timings_of_processes_are_kept(run, tmp_path):
    RunStore(run).write_timing(timing_record(seconds=((1.0, 2.0), (3.0, 4.0))))
    file = promote(run, tmp_path / "baselines").file
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
    promotion = promote(run, tmp_path / "baselines", allow_incomplete=True)
    assert len(promotion.cases) == (2 if status == "failed" else 1)
    assert set(read_snapshot(promotion.file).cases) == {"ddrm-sr16"} | (
        {"chimle-sr16"} if status == "failed" else set()
    )


def test_a_run_with_missing_cases_is_refused_unless_told(tmp_path):
    run = write_run(tmp_path / "run", [record()], expected=CASES)
    with pytest.raises(BaselineError, match="missing: chimle-colorization, ddrm-sr16"):
        promote(run, tmp_path / "baselines")
    assert promote(run, tmp_path / "baselines", allow_incomplete=True).cases == ("chimle-sr16",)


def test_a_run_of_selected_cases_is_complete_if_all_of_those_are(tmp_path):
    expected = [*CASES, "mine-sr16"]
    run = write_run(
        tmp_path / "run", [record("mine-sr16")], expected=expected, selected=["mine-sr16"]
    )
    assert promote(run, tmp_path / "baselines").cases == ("mine-sr16",)
    gone = write_run(tmp_path / "gone", [record()], expected=expected, selected=["mine-sr16"])
    with pytest.raises(BaselineError, match="missing: mine-sr16"):
        promote(gone, tmp_path / "baselines")


class TestJoining:
    """A run of one's own samplers joins the baseline of the others; each keeps its run's facts."""

    def own(self, tmp_path, **changes):
        cases = ["mine-sr16"]
        return write_run(tmp_path / "own", [record("mine-sr16", **changes)], selected=cases)

    def test_other_cases_stay_as_they_were(self, run, tmp_path):
        first = read_snapshot(promote(run, tmp_path / "b").file)
        promotion = promote(self.own(tmp_path), tmp_path / "b")
        assert (promotion.cases, set(promotion.kept)) == (("mine-sr16",), set(CASES))
        joined = read_snapshot(promotion.file)
        assert set(joined.cases) == {*CASES, "mine-sr16"}
        assert {case: joined.cases[case] for case in CASES} == dict(first.cases)
        assert set(joined.timings) == {*CASES, "mine-sr16"}
        assert joined.facts_of("mine-sr16")["run_id"] == "own"
        assert joined.facts_of("ddrm-sr16")["run_id"] == "run"

    def test_a_case_measured_again_is_replaced(self, tmp_path):
        promote(self.own(tmp_path), tmp_path / "b")
        again = write_run(tmp_path / "x" / "own", [record("mine-sr16", shift={"psnr": 1})])
        file = promote(again, tmp_path / "b").file
        (before, after) = (record("mine-sr16", shift={"psnr": s}) for s in (0, 1))
        found = read_snapshot(file).cases["mine-sr16"].validity["psnr"].mean
        assert found == pytest.approx(after.validity["psnr"].mean)
        assert found != pytest.approx(before.validity["psnr"].mean)

    def test_two_runs_of_one_name_are_two_runs(self, run, tmp_path):
        promote(run, tmp_path / "b")
        other = write_run(
            tmp_path / "x" / "run", [record("mine-sr16")], environment={"packages": {"torch": "9"}}
        )
        joined = read_snapshot(promote(other, tmp_path / "b").file)
        assert "packages" in joined.facts_of("mine-sr16")["environment"]
        assert "packages" not in joined.facts_of("ddrm-sr16")["environment"]

    def test_one_s_own_baseline_comes_before_the_suite_s(self, run, tmp_path):
        promote(run, tmp_path / "suite")
        better = write_run(tmp_path / "y", [record(shift={"psnr": 1}), record("mine-sr16")])
        promote(better, tmp_path / "own")
        folders = [tmp_path / "own", tmp_path / "suite"]
        joined = read_baselines(folders, "cpu", "tiny")
        assert set(joined.cases) == {*CASES, "mine-sr16"}
        shifted = record(shift={"psnr": 1}).validity["psnr"].mean
        assert joined.cases["chimle-sr16"].validity["psnr"].mean == pytest.approx(shifted)
        assert all(str(tmp_path / part) in joined.name for part in ("own", "suite"))
        assert read_baselines(folders, "gpu", "tiny") is None
        assert read_baselines(folders[1:] * 2, "cpu", "tiny").name.count("suite") == 1


def test_a_release_is_pinned_beside_the_baseline(run, tmp_path):
    promote(run, tmp_path / "b")
    promotion = promote(run, tmp_path / "b", release="1.0")
    assert promotion.file.name == "tiny.release.json"
    pinned = read_baselines([tmp_path / "b"], "cpu", release_name("tiny"))
    assert pinned.facts_of("ddrm-sr16")["release"] == "1.0"
    worse = write_run(tmp_path / "w", [record(c, shift={"psnr": -0.2}) for c in CASES])
    promote(worse, tmp_path / "b")
    assert read_baselines([tmp_path / "b"], "cpu", release_name("tiny")) == pinned


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
        file = promote(run, folder, name="release-1.0").file
        places = [tmp_path / "none", folder]
        assert find_baseline(type(file)("release-1.0"), places, "cpu") == file
        assert find_baseline(file, places, "cpu") == file
        assert find_baseline(run, places, "cpu") == run

    def test_what_is_none_of_them_lists_those_there_are(self, run, tmp_path):
        promote(run, tmp_path, name="release")
        with pytest.raises(MissingDataError, match=r"baseline of cpu \(there: release\)"):
            find_baseline(run / "relaese", [tmp_path], "cpu")
        with pytest.raises(MissingDataError, match=r"there: none"):
            find_baseline(run / "release", [tmp_path], "other-device")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:50], "not JSON"),
        (lambda text: text.replace("baseline/2", "baseline/1"), "not of schema"),
        (lambda text: text.replace('"cases"', '"case"'), "cases is missing"),
        (lambda text: text.replace('"profile": "tiny"', '"profil": 1'), "profile is missing"),
        (lambda text: text.replace('"n_samples": 20, "seed"', '"n_samples": 9, "seed"'), "edited"),
        (lambda text: text.replace('"mean": 0.', '"mean": 0.0', 1), "it was edited"),
        (lambda text: re.sub(r'("per_image": \[)\d+', r"\g<1>23", text, count=1), "it was edited"),
        (lambda text: text.replace('"run": "run"', '"run": "other"', 1), "a run is not stated"),
        (lambda text: text.replace('"seconds": [[', '"seconds": [["x", '), "timings"),
    ],
    ids=["half", "schema", "cases", "profile", "identity", "mean", "scores", "run", "timings"],
)
def test_damage_is_named(run, tmp_path, spoil, message):
    file = promote(run, tmp_path / "baselines").file
    file.write_text(spoil(file.read_text()))
    with pytest.raises(InvalidRecordError, match=message):
        read_snapshot(file)


def test_a_mean_that_is_not_of_its_images_is_refused_with_a_digest_that_agrees(run, tmp_path):
    file = promote(run, tmp_path / "baselines").file
    lines = file.read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines) if line.startswith('"ddrm-sr16": {"run"')]
    entry = json.loads("{" + lines[number].rstrip(",") + "}")["ddrm-sr16"]
    entry["validity"]["psnr"]["per_image"][0] -= 5.0
    entry["digest"] = _digest(entry)
    lines[number] = f'"ddrm-sr16": {json.dumps(entry)}' + "," * lines[number].endswith(",")
    file.write_text("\n".join(lines))
    with pytest.raises(InvalidRecordError, match=r"psnr 2\S+ is not the mean of its images"):
        read_snapshot(file)


def test_the_verb_promotes(run, tmp_path, capsys):
    arguments = ["baseline", "promote", str(run), "--folder", str(tmp_path / "b"), "--name", "x"]
    assert main(arguments) is ExitCode.OK
    shown = capsys.readouterr().out
    assert f"{tmp_path}/b/cpu/x.json: baseline of 3 cases" in shown
    assert f"`invbench run --baseline {tmp_path}/b/cpu/x.json`" in shown
    assert main(["baseline", "promote", str(tmp_path / "none")]) is ExitCode.MISSING
    (run / "cases" / "ddrm-sr16.json").unlink()
    assert main(arguments) is ExitCode.USAGE
    assert "missing: ddrm-sr16" in capsys.readouterr().err
    assert main([*arguments, "--allow-incomplete"]) is ExitCode.OK


def test_the_verb_says_where_the_gate_looks(run, tmp_path, monkeypatch, capsys):
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    assert main(["baseline", "promote", str(run)]) is ExitCode.OK
    shown = capsys.readouterr().out
    assert f"{place / BASELINES}/cpu/tiny.json: baseline of 3 cases" in shown
    assert "when it is started from this folder" in shown
    assert main(["baseline", "promote", str(run), "--release", "1.0"]) is ExitCode.OK
    assert (place / BASELINES / "cpu" / "tiny.release.json").is_file()
