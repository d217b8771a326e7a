"""Records survive JSON, refuse damage, and hold no number that JSON does not know."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from run_records import case_record, run_record

from invbench.errors import InvalidRecordError, MissingDataError, StorageError
from invbench.runs.plain_json import canonical_json
from invbench.runs.records import from_json, to_json
from invbench.runs.store import RunStore


def test_a_record_survives_json():
    record = case_record()
    assert from_json(to_json(record)) == record


def test_what_is_not_finite_becomes_null():
    record = case_record(psnr=math.inf)
    text = to_json(record)
    assert "Infinity" not in text
    assert "NaN" not in text
    assert from_json(text).validity["psnr"].mean is None


def test_unknown_keys_are_ignored():
    raw = json.loads(to_json(case_record()))
    raw["later"] = 1
    raw["validity"]["psnr"]["later"] = 2
    assert from_json(json.dumps(raw)) == case_record()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda raw: raw | {"schema": "invbench.case/1"},
            "case/2 but of invbench.case/1$",
        ),
        (
            lambda raw: {k: v for k, v in raw.items() if k != "case_id"},
            "case_id is missing",
        ),
        (lambda raw: raw | {"identity": raw["identity"] | {"model": {"name": "other"}}}, "edited"),
        (lambda raw: [raw], "schema "),
    ],
    ids=["schema", "missing key", "edited", "list"],
)
def test_damage_is_named(spoil, message):
    raw = spoil(json.loads(to_json(case_record())))
    with pytest.raises(InvalidRecordError, match=message):
        from_json(json.dumps(raw))


def test_half_a_file_is_named():
    with pytest.raises(InvalidRecordError, match="not JSON"):
        from_json(to_json(case_record())[:100])


def test_canonical_json_does_not_depend_on_order():
    assert canonical_json({"a": 1, "b": (1.0, None)}) == canonical_json({"b": [1.0, None], "a": 1})


class TestRunStore:
    def test_cases_and_scores_are_read_back(self, tmp_path):
        store = RunStore(tmp_path / "run")
        store.write_run(run_record())
        scores = {"psnr": np.arange(6.0).reshape(2, 3)}
        store.write_case(case_record(), scores)
        assert store.read_run()["profile"] == "tiny"
        assert store.case_ids() == ["chimle-sr16"]
        assert store.read_case("chimle-sr16") == case_record()
        assert np.array_equal(store.read_scores("chimle-sr16")["psnr"], scores["psnr"])

    def test_what_is_not_there_is_none_or_named(self, tmp_path):
        store = RunStore(tmp_path)
        assert store.read_case("chimle-sr16") is None
        assert store.case_ids() == []
        with pytest.raises(MissingDataError, match="not a run"):
            store.read_run()
        with pytest.raises(MissingDataError, match="no scores"):
            store.read_scores("chimle-sr16")

    def test_a_damaged_case_is_named_with_its_file(self, tmp_path):
        store = RunStore(tmp_path)
        store.write_case(case_record())
        path = tmp_path / "cases" / "chimle-sr16.json"
        path.write_text(path.read_text()[:50])
        with pytest.raises(InvalidRecordError, match=r"chimle-sr16\.json"):
            store.read_case("chimle-sr16")

    def test_a_failing_write_leaves_what_was_there(self, tmp_path, monkeypatch):
        store = RunStore(tmp_path)
        store.write_case(case_record())

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            store.write_case(case_record(psnr=1.0))
        assert store.read_case("chimle-sr16") == case_record()
        assert store.case_ids() == ["chimle-sr16"]
