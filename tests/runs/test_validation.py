"""`invbench validate` finds every problem, names its file, and finds none where there is none."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_records import case_record, run_record, timing_record

from invbench.cli import main
from invbench.exit_codes import ExitCode
from invbench.runs.store import RunStore

LIMITS = Path(__file__).parents[2] / "fixtures" / "thresholds.toml"


@pytest.fixture
def run(tmp_path):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record())
    scores = {"psnr": np.full((2, 2), 28.0), "lpips_random": np.full((2, 2), 0.1)}
    store.write_case(case_record(), scores)
    store.write_case(case_record("cimle-sr16"), scores)
    store.write_timing(timing_record())
    return store.folder


def test_a_whole_run_is_valid(run, capsys):
    assert main(["validate", str(run)]) is ExitCode.OK
    assert capsys.readouterr().out == f"{run}: valid\n"
    for path in run.rglob("*.json"):
        assert main(["validate", str(path)]) is ExitCode.OK


def test_every_problem_is_named_by_file(run, capsys):
    record = run / "cases" / "chimle-sr16.json"
    spoil(record, lambda text: text.replace('"mean": 28.0', '"mean": NaN'))
    (run / "scores" / "cimle-sr16.npz").unlink()
    spoil(run / "run.json", lambda text: text.replace('"profile": "tiny"', '"profile": 3'))
    spoil(run / "timing.json", lambda text: text[:-20])
    assert main(["validate", str(run)]) is ExitCode.FAILED
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": InvalidRecordError: ")[0] for line in lines] == [
        str(run / "run.json"),
        str(run / "timing.json"),
        str(record),
        str(run / "cases" / "cimle-sr16.json"),
    ]
    for line, message in zip(
        lines,
        ["profile: expected text", "not JSON", "NaN is not a number", "no scores"],
        strict=True,
    ):
        assert message in line


def test_a_picture_that_is_none_is_a_problem(run, capsys):
    folder = run / "pictures" / "chimle-sr16"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "0.png")
    assert main(["validate", str(run)]) is ExitCode.FAILED
    assert "is a fifo, no regular file" in capsys.readouterr().out


def test_a_case_that_was_selected_and_not_done_is_a_problem(run, capsys):
    (run / "cases" / "chimle-sr16.json").unlink()
    assert main(["validate", str(run)]) is ExitCode.FAILED
    assert "MissingDataError: chimle-sr16 is not done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "of schema None"),
        (json.dumps({"schema": "invbench.case/9"}), "invbench.case/9; a newer invbench wrote it"),
        (json.dumps({"schema": "invbench.run/1"}), "run_id is missing"),
        ("\ud800", "codec can't decode"),
    ],
    ids=["empty", "list", "schema", "incomplete", "not text"],
)
def test_a_file_that_is_no_record_is_named(tmp_path, capsys, text, message):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert main(["validate", str(path)]) is ExitCode.FAILED
    out = capsys.readouterr().out
    assert out.startswith(f"{path}: InvalidRecordError: ")
    assert message in out


def test_what_is_not_there_is_missing_and_not_a_run_is_a_problem(tmp_path, capsys):
    assert main(["validate", str(tmp_path / "none")]) is ExitCode.MISSING
    assert main(["validate", str(tmp_path)]) is ExitCode.FAILED
    assert "there is no run.json" in capsys.readouterr().out


def spoil(path, change):
    text = path.read_text()
    changed = change(text)
    assert changed != text
    path.write_text(changed)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("sampling", {"seed": 1}, "another seed than chimle-sr16"),
        ("sampling", {"dtype": "bfloat16"}, "another dtype"),
        ("sampling", {"n_samples": 9}, "another n_samples"),
        ("metrics", {"psnr": {"version": "2"}}, "another metric psnr"),
        ("task", {"operator": {"version": "2"}}, "another task sr16"),
        ("task", {"dataset": {"image_ids": ["a", "c"]}}, "another data set of sr16"),
        ("model", {"name": "cimle", "checkpoint": {"sha256": "b"}}, None),
    ],
    ids=["seed", "precision", "samples", "metric", "operator", "images", "another model"],
)
def test_records_of_one_run_were_measured_alike(run, capsys, part, change, said):
    identity = {
        "model": {"name": "chimle"},
        "task": {"name": "sr16", "dataset": {"image_ids": ["a", "b"]}},
        "sampling": {"n_samples": 2, "seed": 0, "dtype": "float32"},
        "metrics": {"psnr": {"version": "1"}},
    }
    store = RunStore(run)
    store.write_case(case_record(identity=identity))
    store.write_case(
        case_record("cimle-sr16", identity={**identity, part: identity[part] | change})
    )
    status = main(["validate", str(run)])
    assert status is (ExitCode.FAILED if said else ExitCode.OK)
    shown = capsys.readouterr().out
    assert (f"ConflictingRunsError: measured with {said}" in shown) if said else "valid" in shown


def test_samples_from_elsewhere_may_be_of_other_images(run):
    identity = {
        "model": {"name": "chimle"},
        "task": {"name": "sr16", "dataset": {"image_ids": ["a", "b"]}},
        "sampling": {"sampler": "folder", "n_samples": 2},
    }
    store = RunStore(run)
    store.write_case(case_record(identity=identity))
    identity["task"] = {"name": "sr16", "dataset": {"image_ids": ["b", "c"]}}
    store.write_case(case_record("cimle-sr16", identity=identity))
    assert main(["validate", str(run)]) is ExitCode.OK


@pytest.mark.parametrize(
    "command",
    [
        "compare RUN RUN",
        "report RUN -o OUT.html",
        "report RUN -o OUT.md",
        "report RUN -o OUT.csv",
        "report RUN -o OUT.tex",
        "baseline promote RUN --allow-incomplete --folder OUT",
        "limits RUN OUT.toml",
        "merge RUN -o OUT",
        "paper RUN",
        "rank RUN",
    ],
)
def test_verbs_refuse_scores_that_are_damaged(run, tmp_path, capsys, command):
    shutil.copy(LIMITS, tmp_path / "out.toml")
    path = run / "scores" / "cimle-sr16.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    words = command.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out"))
    assert main(words.split()) is ExitCode.MISSING
    said = capsys.readouterr().err
    assert f"{path}: damaged" in said
    assert "restore the file, or measure it again" in said


@pytest.mark.parametrize("kind", ["run", "case", "timing"])
def test_a_file_of_a_newer_version_is_not_to_be_measured_again(run, capsys, kind):
    path = (
        run / {"run": "run.json", "case": "cases/chimle-sr16.json", "timing": "timing.json"}[kind]
    )
    spoil(path, lambda text: re.sub(rf"invbench\.{kind}/\d+", f"invbench.{kind}/99", text))
    assert main(["report", str(run), "-o", str(run / "out.html")]) is ExitCode.MISSING
    assert main(["validate", str(path)]) is ExitCode.FAILED
    shown = capsys.readouterr()
    for said in (shown.out, shown.err):
        assert f"of invbench.{kind}/99; a newer invbench wrote it: update invbench\n" in said


@pytest.mark.parametrize("text", ["", "[]", "3", '{"schema": "invbench.run/1"}', "\xff"])
def test_a_damaged_description_says_what_to_do(run, capsys, text):
    (run / "run.json").write_bytes(text.encode("latin-1"))
    assert main(["compare", str(run), str(run)]) is ExitCode.MISSING
    said = capsys.readouterr().err
    assert f"{run / 'run.json'}: " in said
    assert "; restore the file, or measure it again" in said
