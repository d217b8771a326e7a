"""Shards become the run they are parts of; what was not measured alike is not mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_records import case_record, run_record

from invbench.cli import main
from invbench.errors import ExistingRunError, InvalidRecordError, MissingDataError
from invbench.exit_codes import ExitCode
from invbench.runs.merging import conflicts, merge
from invbench.runs.store import RunStore
from invbench.runs.validation import validate

SCORES = {"psnr": np.full((2, 2), 28.0), "lpips_random": np.full((2, 2), 0.1)}


def shard(folder, *records, **facts):
    store = RunStore(folder)
    cases = [record.case_id for record in records]
    store.write_run(run_record(run_id=folder.name, selected_cases=cases, **facts))
    for record in records:
        store.write_case(record, SCORES if record.validity else None)
    return store


def skipped(case_id):
    return case_record(
        case_id, status="skipped", validity={}, interval=None, throughput=None, checks=()
    )


def test_shards_become_one_run(tmp_path):
    a = shard(tmp_path / "a", case_record(), shard="1/2")
    b = shard(tmp_path / "b", case_record("cimle-sr16"), skipped("ddrm-sr16"), shard="2/2")
    assert main(["merge", str(a.folder), str(b.folder), "-o", str(tmp_path / "c")]) is ExitCode.OK
    merged = RunStore(tmp_path / "c")
    assert merged.case_ids() == ["chimle-sr16", "cimle-sr16", "ddrm-sr16"]
    assert validate(merged.folder) == []
    facts = merged.read_run()
    assert facts["merged_from"] == ["a", "b"]
    assert facts["selected_cases"] == ["chimle-sr16", "cimle-sr16", "ddrm-sr16"]
    assert (facts["run_id"], facts["shard"]) == ("c", None)
    for name in ("cases/cimle-sr16.json", "scores/cimle-sr16.npz"):
        assert (merged.folder / name).read_bytes() == (b.folder / name).read_bytes()


def test_one_case_in_two_runs_is_taken_once_whatever_its_speed(tmp_path):
    a = shard(tmp_path / "a", case_record(), skipped("cimle-sr16"))
    b = shard(tmp_path / "b", case_record(wall_s=9.0, throughput=None), case_record("cimle-sr16"))
    assert merge([a, b], RunStore(tmp_path / "c")) == 2
    merged = RunStore(tmp_path / "c")
    assert merged.read_case("chimle-sr16") == case_record()
    assert merged.read_case("cimle-sr16").status == "passed"


def test_two_results_for_one_case_are_refused(tmp_path, capsys):
    other = replace(case_record(), interval=replace(case_record().interval, coverage=0.7))
    a, b = shard(tmp_path / "a", case_record()), shard(tmp_path / "b", other)
    arguments = ["merge", str(a.folder), str(b.folder), "-o", str(tmp_path / "c")]
    assert main(arguments) is ExitCode.INCOMPARABLE
    assert "ConflictingRunsError" in (said := capsys.readouterr().err)
    assert "differ in interval.coverage" in said
    assert not (tmp_path / "c").exists()


def test_another_identity_is_refused(tmp_path, capsys):
    a = shard(tmp_path / "a", case_record())
    identity = {"model": {"name": "chimle", "seed": 1}, "task": {"name": "sr16"}}
    b = shard(tmp_path / "b", case_record(identity=identity))
    assert main(["merge", str(a.folder), str(b.folder), "-o", str(tmp_path / "c")]) == 3
    assert "identity.model.seed" in capsys.readouterr().err


def test_many_differences_are_counted(tmp_path, capsys):
    one, other = (
        case_record(
            identity={
                "model": {"name": "chimle", "options": {str(i): k for i in range(9)}},
                "task": {"name": "sr16"},
            }
        )
        for k in (0, 1)
    )
    a, b = shard(tmp_path / "a", one), shard(tmp_path / "b", other)
    assert main(["merge", str(a.folder), str(b.folder), "-o", str(tmp_path / "c")]) == 3
    assert "differ in identity.model.options.0, " in (said := capsys.readouterr().err)
    assert said.endswith("identity.model.options.4 and 4 more\n")


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("packages", {"torch": "2.13.0", "lpips": None}, "environment.packages.torch"),
        ("libjpeg", {"version": "9", "turbo": False}, "environment.libjpeg.version"),
        ("gpu", {"name": "a card", "capability": "9.0"}, "device.name"),
        ("cpu", {"name": "another"}, "device.cpu"),
        ("git", {"commit": "other"}, "commit"),
        ("python", "3.12.0", "environment.python"),
    ],
)
def test_other_conditions_are_refused(tmp_path, capsys, place, value, named):
    environment = run_record()["environment"] | {place: value}
    a = shard(tmp_path / "a", case_record())
    b = shard(tmp_path / "b", case_record("cimle-sr16"), environment=environment)
    assert main(["merge", str(a.folder), str(b.folder), "-o", str(tmp_path / "c")]) == 3
    assert named in capsys.readouterr().err


def test_counts_clocks_and_drivers_may_differ():
    card = {"name": "a card", "capability": "9.0"}
    one, other = (
        {"environment": {"gpu": card | more, "cpu": {"name": name, "threads": n}, "os": name}}
        for more, name, n in (
            ({"driver": "1", "clocks": {"sm_mhz": 1}}, "x", 1),
            ({"driver": "2", "clocks": {"sm_mhz": 2}}, "y", 8),
        )
    )
    assert conflicts(one, other) == []
    assert conflicts(one, {"environment": {"gpu": card | {"name": "another"}}}) == ["device.name"]


def test_what_cannot_be_merged_is_named(tmp_path):
    a = shard(tmp_path / "a", case_record())
    with pytest.raises(MissingDataError, match="no such file or folder"):
        merge([a, RunStore(tmp_path / "none")], RunStore(tmp_path / "c"))
    with pytest.raises(MissingDataError, match="no case"):
        merge([shard(tmp_path / "empty")], RunStore(tmp_path / "c"))
    with pytest.raises(ExistingRunError):
        merge([a], a)
    (a.folder / "scores" / "chimle-sr16.npz").unlink()
    with pytest.raises(InvalidRecordError, match="no scores"):
        merge([a], RunStore(tmp_path / "c"))
