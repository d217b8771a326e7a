"""Speed is measured in fresh processes that take turns, and stored with what it depends on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import dishonest
import pytest
from run_records import run_record, timing_record

from invbench.cli import main
from invbench.errors import ConflictingRunsError, InvalidOptionError, MissingCheckpointError
from invbench.exit_codes import ExitCode
from invbench.machine import timing
from invbench.models.cases import Case
from invbench.report import speed_rows
from invbench.runs.records import RunRecord
from invbench.runs.store import RunStore
from invbench.runs.typed_json import build
from invbench.suite import speed
from invbench.suite.options import Options
from invbench.suite.resolve import Suite
from invbench.suite.speed import Job, Timed, time_here, time_in_processes

ROOT = Path(__file__).parents[2]
JOB = Job(
    case=Case("mine", "colorization"),
    options=Options(device="cpu", samples=3, sampler=["mine=samplers:blurry"]),
    output=Path("unused"),
    rounds=4,
)


def timed(**changes):
    facts = build(RunRecord, json.loads(json.dumps(run_record())))
    return Timed(timing=timing_record(**changes).cases["chimle-sr16"], run=facts)


def test_a_sampler_is_timed_in_rounds_of_all_samples_of_one_image():
    found = time_here(JOB).timing
    assert [len(rounds) for rounds in found.seconds] == [4]
    assert min(found.seconds[0]) > 0
    assert (found.samples_per_round, found.nfe, found.weights) == (3, 1, "own")
    assert found.peak_allocated_bytes is None  # a CPU does not say
    assert "torch" in found.environment_key
    assert found.targets == "embedded"


def test_random_weights_need_no_checkpoint_and_say_so(tmp_path):
    options = replace(JOB.options, checkpoints=tmp_path)
    job = replace(JOB, case=Case("chimle", "colorization"), options=options, rounds=1)
    with pytest.raises(MissingCheckpointError):
        time_here(job)
    found = time_here(replace(job, random_weights=True)).timing
    assert found.weights == "random"
    assert "checkpoint" not in found.model
    with pytest.raises(InvalidOptionError, match="--random-weights: mine"):
        time_here(replace(JOB, random_weights=True))


def test_a_profile_without_data_observes_an_image_of_its_size(monkeypatch):
    sizes, drawn = [], []

    def draw(_, observed, settings, *, first):
        sizes.append(observed.target.shape[-2:])
        drawn.append((observed.image_id, first))
        return None, settings

    monkeypatch.setattr(speed, "draw_within_memory", draw)
    options = replace(JOB.options, profile="paper")
    assert time_here(replace(JOB, options=options)).timing.targets == "gaussian field"
    assert set(sizes) == {(512, 512)}
    assert len({name for name, _ in drawn[:5]}) == 1 + 4  # a first call, and rounds
    assert drawn[5] == drawn[4]  # the last is repeated


class Clock:
    """Stands nearly still but for the work that samplers pretend to do."""

    def __init__(self, monkeypatch):
        self.seconds = 0.0
        monkeypatch.setattr(timing, "time", self)
        monkeypatch.setattr(dishonest, "work", self.work)

    def work(self, seconds):
        self.seconds += seconds

    def perf_counter(self):
        self.seconds += 1e-8  # a round takes some time, if hardly any
        return self.seconds


def own(name, **changes):
    options = replace(JOB.options, sampler=[f"mine=dishonest:{name}"])
    return replace(JOB, options=options, **changes)


def test_a_sampler_that_keeps_results_is_timed_at_its_true_speed(monkeypatch):
    Clock(monkeypatch)
    found = time_here(own("memoiser")).timing
    assert found.seconds == (pytest.approx([3 * dishonest.WORK_S] * 4),)
    assert found.saved_by_repeating == (pytest.approx(1.0),)
    assert found.keeps_results
    ((_, speed_shown, *_, repeated, _, _, _),) = speed_rows({"mine": found})
    assert (speed_shown, repeated) == ("40.0", "saves 100%")


def test_work_in_the_first_call_is_recorded(monkeypatch):
    Clock(monkeypatch)
    found = time_here(own("warm_up")).timing
    assert found.first_call_s == (pytest.approx(3 * 12 * dishonest.WORK_S),)
    assert not found.keeps_results


def test_no_two_rounds_of_any_process_have_the_same_inputs(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        speed,
        "draw_within_memory",
        lambda _, observed, settings, first: (
            drawn.append((observed.image_id, first)),
            settings,
        ),
    )
    monkeypatch.setattr(speed, "saved_by_repeating", lambda *_, **__: 0.0)
    for turn in range(4):
        time_here(replace(JOB, turn=turn))
    assert len(set(drawn)) == len(drawn) == 4 * 5
    ids = [photo.id for photo in Suite(JOB.options).data_set("colorization").photos]
    assert drawn[0] == (ids[0], 0)
    assert drawn[13] == (ids[17 % 12], 17 * 3)  # image r mod n, samples from r K on


def test_processes_take_turns(monkeypatch):
    order, turns = [], []

    def fake(job):
        order.append(job.output.name)
        turns.append(job.turn)
        return timed(seconds=((float(len(order)),),), peak_allocated_bytes=len(order))

    monkeypatch.setattr(speed, "_in_process", fake)
    jobs = [replace(JOB, output=Path(name)) for name in "ab"]
    one, other = time_in_processes(jobs, processes=3)
    assert "".join(order) == "abbaab"
    assert turns == [0, 0, 1, 1, 2, 2]  # both draw the same
    assert one.timing.seconds == ((1.0,), (4.0,), (5.0,))
    assert other.timing.seconds == ((2.0,), (3.0,), (6.0,))
    assert (one.timing.peak_allocated_bytes, other.timing.peak_allocated_bytes) == (5, 6)


@pytest.mark.parametrize("change", [{"environment_key": "b"}, {"nfe": 2}, {"model": {"name": "x"}}])
def test_processes_under_other_conditions_are_not_one_timing(monkeypatch, change):
    found = iter([timed(), timed(**change)])
    monkeypatch.setattr(speed, "_in_process", lambda _: next(found))
    with pytest.raises(ConflictingRunsError):
        time_in_processes([JOB], processes=2)


def test_the_verb_adds_to_a_run_what_a_fresh_process_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'tests'}:{ROOT}")
    store = RunStore(tmp_path / "run")
    store.write_timing(timing_record())
    arguments = ["time", "mine", "sr16", "--samples=2", "--rounds=2", "--processes=1"]
    arguments += ["--sampler=mine=samplers:blurry", "--device=cpu", "-o", str(store.folder)]
    assert main(arguments) is ExitCode.OK
    assert "samples/s" in capsys.readouterr().out
    cases = store.read_timing().cases
    assert list(cases) == ["chimle-sr16", "mine-sr16"]
    assert [len(rounds) for rounds in cases["mine-sr16"].seconds] == [2]
    assert main(["validate", str(store.folder)]) is ExitCode.OK


def test_an_error_in_the_process_keeps_its_name(monkeypatch, tmp_path, capsys):
    class Done:
        returncode = 0
        stdout = 'noise of a sampler\n{"error": "MissingCheckpointError", "message": "none"}\n'

    monkeypatch.setattr(speed.subprocess, "run", lambda *_, **__: Done)
    assert main(["time", "chimle", "sr16", "-o", str(tmp_path / "run")]) is ExitCode.MISSING
    assert "MissingCheckpointError: none" in capsys.readouterr().err
    Done.returncode = -9
    assert main(["time", "chimle", "sr16", "-o", str(tmp_path / "run")]) is ExitCode.USAGE
    assert "ended with status -9" in capsys.readouterr().err
    assert list((tmp_path / "run").iterdir()) == []


def test_two_sets_of_weights_go_to_two_runs(monkeypatch, tmp_path):
    seen = []

    def fake(jobs, *, processes):
        seen.extend(job.options.checkpoints for job in jobs)
        assert processes == 2
        return [timed() for _ in jobs]

    monkeypatch.setattr(speed, "time_in_processes", fake)
    arguments = ["time", "chimle", "sr16", "--processes=2", "--checkpoints=a", f"--vs={tmp_path}"]
    assert main([*arguments, "-o", str(tmp_path / "run")]) is ExitCode.OK
    assert seen == [Path("a"), tmp_path]
    for name in ("run", "run-vs"):
        assert list(RunStore(tmp_path / name).read_timing().cases) == ["chimle-sr16"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("chimle sr16 --vs=nowhere", ExitCode.MISSING, "--vs nowhere: no such folder"),
        (
            "mine sr16 --vs=tests --sampler=mine=samplers:blurry",
            ExitCode.USAGE,
            "mine is a sampler of your own",
        ),
        ("chimle sr16 --vs=tests --random-weights", ExitCode.USAGE, "read from no folder"),
    ],
)
def test_other_weights_that_would_not_be_read_are_refused(
    monkeypatch, tmp_path, capsys, words, status, message
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(speed, "time_in_processes", lambda *_, **__: pytest.fail("was timed"))
    assert main(["time", *words.split(), "-o", str(tmp_path / "run")]) is status
    assert message in capsys.readouterr().err


def test_results_that_are_kept_are_spoken_of(monkeypatch, tmp_path, capsys):
    found = timed(saved_by_repeating=(0.9, 0.8, 0.05), first_call_s=(3.0, 2.0))
    monkeypatch.setattr(speed, "time_in_processes", lambda *_, **__: [found])
    assert main(["time", "chimle", "sr16", "-o", str(tmp_path / "run")]) is ExitCode.OK
    out = capsys.readouterr().out
    assert "saves 80%" in out
    assert " 2.0x " in out  # 3.0 over 1.5 and 2.0 over 1.0
    assert "speeds above are those of new inputs" in out
