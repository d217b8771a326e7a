"""A run's folder is claimed before it is written, and what lies in it is not taken on trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from run_records import case_record, run_record, timing_record

from invbench.errors import ExistingRunError, InvalidRecordError, StorageError
from invbench.runs.store import RunStore

SCORES = {"psnr": np.array([[27.0, 29.0], [28.0, 28.0]]), "lpips_random": np.full((2, 2), 0.1)}


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record())
    store.write_case(case_record(), SCORES)
    return store


class TestBegin:
    def test_an_empty_or_missing_folder_is_made_ready_and_left_empty(self, tmp_path):
        store = RunStore(tmp_path / "a" / "b")
        store.begin()
        store.begin()
        assert sorted(p.name for p in store.folder.rglob("*")) == ["cases", "scores"]

    def test_a_run_is_neither_mixed_with_nor_lost(self, store):
        with pytest.raises(ExistingRunError, match="3 files of a run"):
            store.begin()
        assert store.read_whole_case("chimle-sr16") == case_record()

    def test_files_of_others_do_not_make_it_a_run_and_stay(self, tmp_path):
        (tmp_path / "bench.json").write_text("{}")
        RunStore(tmp_path).begin()
        RunStore(tmp_path).begin(fresh=True)
        assert (tmp_path / "bench.json").read_text() == "{}"

    def test_resume_keeps_records_and_removes_what_was_half_written(self, store):
        for name in ("cases/.chimle-sr16.json.7.part", "scores/.x.npz.7.part", ".run.json.7.part"):
            (store.folder / name).write_text("half")
        store.begin(resume=True)
        assert list(store.folder.rglob(".*")) == []
        assert store.read_whole_case("chimle-sr16") == case_record()

    def test_fresh_deletes_records(self, store):
        store.write_timing(timing_record())
        store.begin(fresh=True)
        assert [path for path in store.folder.rglob("*") if path.is_file()] == []

    def test_a_folder_that_cannot_be_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="cannot be written"):
            RunStore(tmp_path / "file" / "run").begin()

    @pytest.mark.parametrize("flag", [{}, {"resume": True}, {"fresh": True}])
    def test_a_full_disk_is_found_before_anything_is_deleted(self, store, monkeypatch, flag):
        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises((StorageError, ExistingRunError)):
            store.begin(**flag)
        monkeypatch.undo()
        assert store.read_whole_case("chimle-sr16") == case_record()


class TestWholeCase:
    def test_it_must_have_measured_the_same(self, store):
        identity = {"task": {"name": "sr16"}, "model": {"name": "chimle"}}
        assert store.read_whole_case("chimle-sr16", identity) == case_record()
        identity["model"]["checkpoint"] = "other"
        with pytest.raises(InvalidRecordError, match=r"another model\.checkpoint"):
            store.read_whole_case("chimle-sr16", identity)

    def test_what_is_not_there_is_none(self, store):
        assert store.read_whole_case("cimle-sr16") is None

    def test_a_record_under_another_name_is_refused(self, store):
        cases = store.folder / "cases"
        (cases / "chimle-sr16.json").rename(cases / "cimle-sr16.json")
        with pytest.raises(InvalidRecordError, match="is the record of chimle-sr16"):
            store.read_whole_case("cimle-sr16")

    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            (None, "no scores for"),
            (SCORES | {"psnr": SCORES["psnr"] + 1e-6}, "psnr is not what the record says"),
            (SCORES | {"psnr": SCORES["psnr"].T}, "psnr is not what"),
            (SCORES | {"psnr": SCORES["psnr"][:1]}, "psnr is not what"),
            ({"psnr": SCORES["psnr"]}, "no scores of lpips_random"),
        ],
        ids=["none", "other", "transposed", "fewer", "one metric"],
    )
    def test_scores_must_be_those_of_the_record(self, store, scores, message):
        (store.folder / "scores" / "chimle-sr16.npz").unlink()
        store.write_case(case_record(), scores)
        with pytest.raises(InvalidRecordError, match=message):
            store.read_whole_case("chimle-sr16")

    @pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
    def test_half_a_file_of_scores_is_damaged(self, store, share):
        path = store.folder / "scores" / "chimle-sr16.npz"
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InvalidRecordError, match="damaged"):
            store.read_whole_case("chimle-sr16")

    def test_a_score_that_is_not_finite_is_null_in_the_record(self, store):
        record = case_record()
        raw = record.validity["psnr"].__dict__ | {"per_image": (None, 28.0), "mean": None}
        validity = {**record.validity, "psnr": type(record.validity["psnr"])(**raw)}
        scores = SCORES | {"psnr": np.array([[np.inf, 29.0], [28.0, 28.0]])}
        changed = case_record(validity=validity)
        store.write_case(changed, scores)
        assert store.read_whole_case("chimle-sr16") == changed


def test_the_same_record_and_scores_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        RunStore(tmp_path / name).write_case(case_record(), SCORES)
    for name in ("cases/chimle-sr16.json", "scores/chimle-sr16.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_timings_are_read_back(store):
    assert store.read_timing() is None
    store.write_timing(timing_record())
    assert store.read_timing() == timing_record()
    path = store.folder / "timing.json"
    raw = json.loads(path.read_text())
    raw["cases"]["chimle-sr16"]["seconds"] = [1.0]
    path.write_text(json.dumps(raw))
    with pytest.raises(InvalidRecordError, match=r"timing\.json: cases\.chimle-sr16\.seconds\[0\]"):
        store.read_timing()


class TestDamage:
    """What lies in the place of scores or of a record is refused by name, whatever it is."""

    @pytest.mark.parametrize(
        ("write", "said"),
        [
            (lambda stream: np.save(stream, SCORES["psnr"]), "damaged"),
            (lambda stream: np.savez(stream, psnr=np.float64(3)), "no list of numbers"),
            (lambda stream: np.savez(stream, psnr=np.array([None, "x"], object)), "damaged"),
            (lambda stream: np.savez(stream, psnr=np.array([["a"]])), "no list of numbers"),
            (lambda stream: np.savez(stream, **SCORES, sample_counts=np.array([9.0, 1.0])), "more"),
        ],
        ids=["plain npy", "0-d", "objects", "text", "counts"],
    )
    def test_scores_of_another_kind(self, store, write, said):
        with (store.folder / "scores" / "chimle-sr16.npz").open("wb") as stream:
            write(stream)
        for read in (lambda: store.read_whole_case("chimle-sr16"), store.read_cases):
            with pytest.raises(InvalidRecordError, match=f"{said}.*; restore the file, or measure"):
                read()

    @pytest.mark.parametrize("kind", ["folder", "fifo", "deep", "digits", "half a character"])
    def test_a_record_of_another_kind(self, store, kind):
        path = store.folder / "cases" / "chimle-sr16.json"
        text = path.read_text()
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            found = {"deep": "[" * 100_000, "digits": "9" * 5000, "half a character": '"\\ud800"'}
            path.write_text(text.replace('"wall_s": 2.0', f'"wall_s": {found[kind]}'))
        with pytest.raises(InvalidRecordError, match=r"chimle-sr16\.json: "):
            store.read_case("chimle-sr16")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("environment", 3),
            ("environment", {"gpu": "H100"}),
            ("environment", {"git": []}),
            ("selected_cases", 7),
            ("earlier", 5),
        ],
        ids=["number", "gpu", "git", "selected", "earlier"],
    )
    def test_a_run_whose_facts_are_of_another_kind(self, store, name, value):
        store.write_run(run_record(**{name: value}))
        with pytest.raises(InvalidRecordError, match=rf"run\.json: {name}"):
            store.read_run()

    def test_a_record_with_fewer_numbers_than_images(self, store):
        record = case_record()
        metric = replace(record.validity["psnr"], per_image=(28.0,))
        store.write_case(replace(record, validity={**record.validity, "psnr": metric}))
        with pytest.raises(InvalidRecordError, match="not one number for each image"):
            store.read_case("chimle-sr16")


def test_a_folder_that_another_process_writes_to_is_refused(store):
    claim = store.begin(resume=True)
    code = (
        "import sys; from pathlib import Path; from invbench.runs import RunStore;"
        f"RunStore(Path({str(store.folder)!r})).begin(fresh=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ExistingRunError" in done.stderr
    assert "another process is writing to it" in done.stderr
    assert store.read_case("chimle-sr16") is not None
    claim.check()
