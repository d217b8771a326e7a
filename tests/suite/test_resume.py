"""A run that was killed is continued: what was whole is kept, the rest measured the same."""

from __future__ import annotations

import importlib
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

import dishonest
import gate_records
import pytest
from samplers import Blurry, blurry

from invbench.errors import ExistingRunError, InvalidOptionError, ResumeWarning, StorageError
from invbench.evaluation import Facts, Subject
from invbench.models.cases import Case
from invbench.models.checkpoints import Checkpoint
from invbench.runs.store import RunStore
from invbench.suite.fingerprint import source_digest
from invbench.suite.options import Options
from invbench.suite.resolve import Suite
from invbench.suite.session import Session

ROOT = Path(__file__).parents[2]
TIMED = {
    *("wall_s", "seconds_per_round", "samples_per_second"),
    *("first_call_s", "saved_by_repeating"),
}
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
    return Suite(Options(device="cpu")).metrics


class Counting(Blurry):
    """A sampler that says how often it was called."""

    calls = 0

    def __call__(self, observation, generators):
        self.calls += 1
        return super().__call__(observation, generators)


def session(folder, **options):
    """Begin a session of a run as the plugin does."""
    chosen = {"images": 2, "samples": 3, "sampler": ["mine=samplers:blurry"], "device": "cpu"}
    suite = Suite(Options(**chosen | {"results": folder} | options))
    vars(suite)["metrics"] = metrics()  # loaded once for all sessions
    run = Session(suite, RunStore(folder))
    run.begin(["pytest"], [case.id for case in CASES])
    return run


def digest(sampler):
    """Return what the suite itself finds of `samplers.blurry`."""
    return source_digest(blurry, "samplers", Blurry(sampler.size))


def measure(run, case, **facts):
    """Measure one case; return its record and how often the sampler was called."""
    sampler = Counting({"sr16": 128}.get(case.task, 64))
    known = {"source": "samplers:blurry", "source_sha256": digest(sampler)} | facts
    record = run.run(case, Subject(sampler, Facts(**known)))
    return record, sampler.calls


def timeless(folder):
    """Return what a run holds but ``run.json`` and times: entries of records, bytes of files."""

    def entries(name, value):
        if not isinstance(value, dict):
            return {name: value}
        parts = [entries(f"{name} {k}", v) for k, v in value.items() if k not in TIMED]
        return {name: one for part in parts for name, one in part.items()}

    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "run.json":
            is_record = path.suffix == ".json"
            content = json.loads(path.read_text()) if is_record else path.read_bytes()
            found |= entries(path.relative_to(folder).as_posix(), content)
    return found


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
        ("cases/mine-sr16.json", b'{"schema": "invbench.case/2"', "not JSON"),
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
        ({}, {"source_sha256": "of other code"}, r"model\.source_sha256"),
    ],
    ids=["seed", "samples", "images", "weights", "code"],
)
def test_what_was_measured_otherwise_is_measured_again_with_a_warning(whole, options, facts, named):
    run = session(whole, resume=True, **options)
    with pytest.warns(ResumeWarning, match=rf"measured with another .*{named}"):
        _, calls = measure(run, CASES[0], **facts)
    assert calls > 0


def test_a_sampler_that_nothing_identifies_is_measured_again_with_a_warning(tmp_path):
    facts = {"source_sha256": None}
    measure(session(tmp_path / "run"), CASES[0], **facts)
    run = session(tmp_path / "run", resume=True)
    with pytest.warns(ResumeWarning, match="mine-sr16: neither source code nor a fingerprint"):
        _, calls = measure(run, CASES[0], **facts)
    assert calls > 0


def test_a_sampler_whose_code_was_edited_is_measured_again(tmp_path, monkeypatch):
    """As a user does it: edit the file, run again with ``--invbench-resume``."""
    code = "from samplers import Blurry\n\ndef load(problem, device):\n    return Blurry(128, {})\n"
    file = tmp_path / "my_edited_sampler.py"
    monkeypatch.syspath_prepend(tmp_path)

    def run(noise, **options):
        file.write_text(code.format(noise))
        sys.modules.pop("my_edited_sampler", None)
        importlib.invalidate_caches()
        begun = session(tmp_path / "run", sampler=["mine=my_edited_sampler:load"], **options)
        return begun.run(CASES[0], begun.suite.subject(CASES[0])).validity["psnr"].mean

    before = run(0.06)
    assert run(0.06, resume=True) == before
    with pytest.warns(ResumeWarning, match=r"measured with another model\.source_sha256"):
        assert run(0.2, resume=True) < before - 1


class TestDigest:
    """A sampler is known again by its module's source and by its fingerprint."""

    def test_it_hangs_on_the_code_of_factory_and_sampler_and_on_the_fingerprint(self):
        class Named(Blurry):
            __module__ = "samplers"
            fingerprint = "weights 1"

        plain, named = Blurry(64), Named(64)
        found = source_digest(blurry, "samplers", plain)
        assert found == source_digest(blurry, "samplers", Blurry(128))
        others = {
            found,
            source_digest(blurry, "samplers", named),
            source_digest(blurry, "run_records", plain),
            source_digest(dishonest.Honest, "samplers", plain),
            source_digest(blurry, "samplers", gate_records.record),
        }
        assert len(others) == 5
        named.fingerprint = "weights 2"
        assert source_digest(blurry, "samplers", named) not in others

    def test_without_a_file_there_is_the_fingerprint_or_nothing(self):
        scope = {"__name__": "made_up"}
        exec("def load(problem, device): ...\ndef sample(observation, generators): ...", scope)  # noqa: S102
        load, sample = scope["load"], scope["sample"]
        assert source_digest(load, "made_up", sample) is None
        for fingerprint in ("1", "half of a letter: \ud800"):
            sample.fingerprint = fingerprint
            assert source_digest(load, "made_up", sample) is not None


class TestContract:
    """A sampler that breaks the contract fails where that is asked for, or is the suite's own."""

    def run(self, folder, case, **options):
        run = session(folder, images=2, **options)
        repeating = Blurry({"sr16": 128}.get(case.task, 64), noise=0)
        return run.run(case, Subject(repeating, Facts(source_sha256="x")))

    def test_a_users_own_is_reported(self, tmp_path):
        record = self.run(tmp_path / "run", CASES[0])
        assert (record.status, record.reason) == ("measured", None)
        assert [breach.name for breach in record.contract] == ["duplicate samples"]

    @pytest.mark.parametrize(
        ("which", "strict"), [(CASES[0], True), (Case("chimle", "sr16"), False)]
    )
    def test_the_suites_own_fails_and_so_does_any_if_asked(self, tmp_path, which, strict):
        record = self.run(tmp_path / "run", which, strict=strict)
        assert record.status == "failed"
        assert record.reason.startswith("duplicate samples: 1 of 3 samples of astronaut-0")
        assert RunStore(tmp_path / "run").read_case(which.id).reason == record.reason


def test_a_record_of_an_older_schema_is_measured_again(whole):
    path = whole / "cases" / "mine-sr16.json"
    path.write_text(path.read_text().replace("invbench.case/2", "invbench.case/1"))
    with pytest.warns(ResumeWarning, match=r"not of schema invbench\.case/2.*measured anew"):
        _, calls = measure(session(whole, resume=True), CASES[0])
    assert calls > 0


def test_a_skipped_case_is_tried_again(whole):
    session(whole, fresh=True).leave_out(CASES[0], "skipped", "no weights")
    assert RunStore(whole).read_case("mine-sr16").status == "skipped"
    record, calls = measure(session(whole, resume=True), CASES[0])
    assert (record.status, calls > 0) == ("measured", True)


def test_weights_that_are_gone_do_not_cost_what_was_measured(whole):
    before = timeless(whole)
    session(whole, resume=True).leave_out(CASES[0], "skipped", "no weights")
    assert timeless(whole) == before
    (whole / "cases" / "mine-sr16.json").write_text("half")
    session(whole, resume=True).leave_out(CASES[0], "skipped", "no weights")
    assert RunStore(whole).read_case("mine-sr16").status == "skipped"


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyError("weights")])
def test_an_error_is_recorded_and_tried_again(whole, error):
    """Whatever a sampler raises is raised, and stands in the record for the report."""

    class Failing(Blurry):
        def __call__(self, *_):
            raise error

    run = session(whole, fresh=True)
    with pytest.raises(type(error)):
        run.run(CASES[0], Subject(Failing(128), Facts(source_sha256="x")))
    record = run.store.read_whole_case("mine-sr16")
    assert (record.status, record.reason) == ("error", f"{type(error).__name__}: {error}")
    run.claims[0].drop()
    record, calls = measure(session(whole, resume=True), CASES[0])
    assert (record.status, calls > 0) == ("measured", True)


def test_limits_are_checked_anew(whole, monkeypatch):
    """A record that failed under other limits passes if it keeps those of today, and back."""
    run = session(whole, resume=True)
    record, _ = measure(run, CASES[0])
    run.store.write_case(replace(record, status="failed", reason="psnr below its limit"))
    assert measure(run, CASES[0])[0] == record
    failed = {"status": "failed", "reason": "x"}
    monkeypatch.setattr(Session, "_check_limits", lambda _, record: replace(record, **failed))
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
    run.claims[0].drop()
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
    cases = [case.id for case in Suite(Options()).cases]
    parts = []
    for index in range(1, 6):
        parts += Suite(Options(shard=f"{index}/5")).shard.select(cases)
    assert sorted(parts) == sorted(cases)


@pytest.fixture(autouse=True)
def unexpected_warnings_are_errors():
    """Outside of `pytest.warns`, as the project's settings say; the plugin would only show them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResumeWarning)
        yield
