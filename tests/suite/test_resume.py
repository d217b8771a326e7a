"""A run that was killed is continued: what was whole is kept, the rest measured the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from samplers import Blurry

from invbench.errors import ExistingRunError, InvalidOptionError, ResumeWarning, StorageError
from invbench.evaluation import Facts, Subject
from invbench.models.cases import Case
from invbench.models.checkpoints import Checkpoint
from invbench.runs.store import RunStore
from invbench.suite.options import Options
from invbench.suite.resolve import Suite
from invbench.suite.session import Session

ROOT = Path(__file__).parents[2]
TIMED = {"wall_s", "seconds_per_round", "samples_per_second"}
CASES = [Case("mine", task) for task in ("sr16", "colorization", "decompression")]


def suite(folder, *arguments):
    """Return the command that runs the three cases in a process of its own."""
    return [
        *(sys.executable, "-m", "pytest", "benchmarks/test_pairs.py", "-k", "mine"),
        *("-p", "no:cacheprovider", "--benchmark-disable"),
        *("--invbench-images=2", "--invbench-samples=3"),
        "--invbench-sampler=mine=samplers:blurry",
        f"--invbench-results={folder}",
        *arguments,
    ]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "tests")}


@cache
def metrics():
    return Suite(Options(device="cpu"), ROOT).metrics


class Counting(Blurry):
    """A sampler that says how often it was called."""

    calls = 0

    def __call__(self, observation, generators):
        self.calls += 1
        return super().__call__(observation, generators)


def session(folder, **options):
    """Begin a session of a run as the plugin does."""
    chosen = {"images": 2, "samples": 3, "sampler": ["mine=samplers:blurry"], "device": "cpu"}
    suite = Suite(Options(**chosen | {"results": folder} | options), ROOT)
    vars(suite)["metrics"] = metrics()  # loaded once for all sessions
    run = Session(suite, RunStore(folder))
    run.begin(["pytest"], [case.id for case in CASES])
    return run


def measure(run, case, **facts):
    """Measure one case; return its record and how often the sampler was called."""
    sampler = Counting({"sr16": 128}.get(case.task, 64))
    record = run.run(case, Subject(sampler, Facts(source="samplers:blurry", **facts)))
    return record, sampler.calls


def timeless(folder):
    """Return every file of a run but ``run.json``, byte for byte apart from times."""

    def without(value):
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k not in TIMED}
        return value

    return {
        path.relative_to(folder).as_posix(): without(json.loads(path.read_text()))
        if path.suffix == ".json"
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Measure the three cases."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    run = session(folder)
    for case in CASES:
        measure(run, case)
    return folder


@pytest.fixture
def whole(undisturbed, tmp_path):
    """Copy the run, for tests that change it."""
    return Path(shutil.copytree(undisturbed, tmp_path / "whole"))


def test_a_killed_run_is_continued_to_the_same_records(tmp_path, whole):
    folder = tmp_path / "run"
    process = subprocess.Popen(suite(folder), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    first = folder / "cases" / "mine-sr16.json"
    while process.poll() is None and not first.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "cases" / "mine-decompression.json").exists()
    stored = first.read_bytes()

    done = subprocess.run(
        suite(folder, "--invbench-resume"),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "kept from an earlier session" in done.stdout
    assert first.read_bytes() == stored  # its times too: it was not measured again
    assert timeless(folder) == timeless(whole)
    run = json.loads((folder / "run.json").read_text())
    assert [len(earlier["argv"]) for earlier in run["earlier"]] == [len(run["argv"]) - 1]


def test_what_is_whole_is_kept_and_not_measured(whole):
    before = {path: path.read_bytes() for path in whole.rglob("*-*.*")}
    run = session(whole, resume=True)
    assert [measure(run, case)[1] for case in CASES] == [0, 0, 0]
    assert run.kept == [case.id for case in CASES]
    assert {path: path.read_bytes() for path in whole.rglob("*-*.*")} == before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("cases/mine-sr16.json", b'{"schema": "invbench.case/1"', "not JSON"),
        ("cases/mine-sr16.json", b"", "not JSON"),
        ("scores/mine-sr16.npz", b"PK", "damaged"),
        ("scores/mine-sr16.npz", None, "no scores for mine-sr16"),
    ],
    ids=["half a record", "empty record", "half the scores", "no scores"],
)
def test_what_is_damaged_is_measured_again_with_a_warning(whole, file, content, message):
    before = timeless(whole)
    if content is None:
        (whole / file).unlink()
    else:
        (whole / file).write_bytes(content)
    run = session(whole, resume=True)
    with pytest.warns(ResumeWarning, match=rf"{message}.*; measured anew"):
        _, calls = measure(run, CASES[0])
    assert calls > 0
    assert timeless(whole) == before


@pytest.mark.parametrize(
    ("options", "facts", "named"),
    [
        ({"seed": 1}, {}, r"sampling\.seed"),
        ({"samples": 4}, {}, r"sampling\.n_samples"),
        ({"images": 3}, {}, r"task\.dataset\.sha256"),
        ({}, {"checkpoint": Checkpoint(Path("x"), "x", 1, {})}, r"model\.checkpoint"),
    ],
    ids=["seed", "samples", "images", "weights"],
)
def test_what_was_measured_otherwise_is_measured_again_with_a_warning(whole, options, facts, named):
    run = session(whole, resume=True, **options)
    with pytest.warns(ResumeWarning, match=rf"measured with another .*{named}"):
        _, calls = measure(run, CASES[0], **facts)
    assert calls > 0


def test_a_skipped_case_is_tried_again(whole):
    session(whole, fresh=True).skip(CASES[0], "no weights")
    assert RunStore(whole).read_case("mine-sr16").status == "skipped"
    record, calls = measure(session(whole, resume=True), CASES[0])
    assert (record.status, calls > 0) == ("passed", True)


def test_weights_that_are_gone_do_not_cost_what_was_measured(whole):
    before = timeless(whole)
    session(whole, resume=True).skip(CASES[0], "no weights")
    assert timeless(whole) == before
    (whole / "cases" / "mine-sr16.json").write_text("half")
    session(whole, resume=True).skip(CASES[0], "no weights")
    assert RunStore(whole).read_case("mine-sr16").status == "skipped"


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyError("weights")])
def test_an_error_is_recorded_and_tried_again(whole, error):
    """Whatever a sampler raises is raised, and stands in the record for the report."""

    class Failing(Blurry):
        def __call__(self, *_):
            raise error

    run = session(whole, fresh=True)
    with pytest.raises(type(error)):
        run.run(CASES[0], Subject(Failing(128), Facts(source="samplers:blurry")))
    record = run.store.read_whole_case("mine-sr16")
    assert (record.status, record.reason) == ("error", f"{type(error).__name__}: {error}")
    record, calls = measure(session(whole, resume=True), CASES[0])
    assert (record.status, calls > 0) == ("passed", True)


def test_limits_are_checked_anew(whole, monkeypatch):
    """A record that failed under other limits passes if it keeps those of today, and back."""
    run = session(whole, resume=True)
    record, _ = measure(run, CASES[0])
    run.store.write_case(replace(record, status="failed", reason="psnr below its limit"))
    assert measure(run, CASES[0])[0] == record
    failed = {"status": "failed", "reason": "x"}
    monkeypatch.setattr(Session, "_check_limits", lambda _, record, __: replace(record, **failed))
    assert measure(run, CASES[0])[0].status == "failed"
    assert run.store.read_case("mine-sr16").reason == "x"


def test_another_environment_is_warned_of_and_written_down(whole):
    path = whole / "run.json"
    raw = json.loads(path.read_text())
    raw["environment"]["packages"]["torch"] = "2.0.0"
    path.write_text(json.dumps(raw))
    with pytest.warns(ResumeWarning, match=r"other conditions: environment\.packages\.torch"):
        run = session(whole, resume=True)
    earlier = run.store.read_run()["earlier"]
    assert [facts["environment"]["packages"]["torch"] for facts in earlier] == ["2.0.0"]
    path.write_text("{")
    with pytest.warns(ResumeWarning, match="written anew"):
        session(whole, resume=True)


class TestUsage:
    def test_a_run_is_not_written_over(self, whole):
        before = timeless(whole)
        with pytest.raises(ExistingRunError):
            session(whole)
        assert timeless(whole) == before
        session(whole, fresh=True)
        assert timeless(whole) == {}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"resume": True, "fresh": True}, "choose one"),
            ({"resume": True, "results": None}, "--resume needs --results"),
            *(({"shard": text}, "expected i/n") for text in ("0/2", "3/2", "2", "/2", "1/", "a/b")),
        ],
    )
    def test_options_that_make_no_sense_are_named(self, tmp_path, options, message):
        with pytest.raises(InvalidOptionError, match=message):
            session(tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()

    def test_a_folder_that_cannot_be_written_to_is_found_at_once(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError):
            session(tmp_path / "file" / "run")

    def test_the_suite_ends_before_it_begins(self, tmp_path):
        """Wrong usage is status 4 of pytest, with the error's name and no traceback."""
        (tmp_path / "file").write_text("")
        done = subprocess.run(
            suite(tmp_path / "file" / "run"),
            cwd=ROOT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert done.stderr.startswith("ERROR: StorageError: ")
        assert "test_pair" not in done.stdout


def test_a_shard_under_xdist_measures_its_cases_without_speed(tmp_path, whole):
    pytest.importorskip("xdist", reason="needs pytest-xdist, of the dependency group `tests`")
    done = subprocess.run(
        suite(tmp_path / "run", "--invbench-shard=1/2", "-n1"),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    store = RunStore(tmp_path / "run")
    assert store.case_ids() == ["mine-decompression", "mine-sr16"]
    facts = store.read_run()
    assert (facts["shard"], facts["selected_cases"]) == ("1/2", ["mine-sr16", "mine-decompression"])
    record = store.read_case("mine-sr16")
    assert record.throughput is None
    assert "xdist" in record.not_measured["throughput"]
    assert record.validity == RunStore(whole).read_case("mine-sr16").validity


def test_every_case_is_in_exactly_one_shard():
    cases = [case.id for case in Suite(Options(), ROOT).cases]
    parts = []
    for index in range(1, 6):
        parts += Suite(Options(shard=f"{index}/5"), ROOT).shard.select(cases)
    assert sorted(parts) == sorted(cases)


@pytest.fixture(autouse=True)
def unexpected_warnings_are_errors():
    """Outside of `pytest.warns`, as the project's settings say; the plugin would only show them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResumeWarning)
        yield
