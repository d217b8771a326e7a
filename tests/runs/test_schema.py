"""The schema files say what the records are, and real files follow them."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields

import pytest
from run_records import case_record, run_record, timing_record

from invbench.runs.records import CASE_SCHEMA, RUN_SCHEMA, MetricRecord, to_json
from invbench.runs.schema import RECORDS, file_of, text_of
from invbench.runs.store import RunStore
from invbench.runs.timing import TIMING_SCHEMA


@pytest.mark.parametrize("schema", RECORDS)
def test_the_file_is_what_the_record_says(schema):
    """After a change of a record: ``python -m invbench.runs.schema``."""
    assert file_of(schema).read_text() == text_of(schema)


def test_every_field_is_described_and_none_is_made_up():
    found = json.loads(file_of(CASE_SCHEMA).read_text())
    assert set(found["properties"]) == {f.name for f in fields(RECORDS[CASE_SCHEMA])} | {"key"}
    assert set(found["required"]) == {"case_id", "identity", "status", "schema", "key"}
    metric = found["properties"]["validity"]["additionalProperties"]
    assert set(metric["properties"]) == {f.name for f in fields(MetricRecord)}
    stated = [f.name for f in fields(MetricRecord) if f.default is MISSING]
    assert metric["required"] == stated
    assert metric["properties"]["mean"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    for record in (found, metric):
        for name, said in record["properties"].items():
            assert name == "schema" or said["description"]


class TestWithJsonschema:
    """What another implementation of JSON Schema makes of our files (group ``tests``)."""

    @pytest.fixture
    def check(self):
        jsonschema = pytest.importorskip("jsonschema")

        def errors(schema, text):
            validator = jsonschema.Draft202012Validator(json.loads(file_of(schema).read_text()))
            validator.check_schema(validator.schema)
            return [error.json_path for error in validator.iter_errors(json.loads(text))]

        return errors

    def test_stored_files_follow_them(self, check, tmp_path):
        store = RunStore(tmp_path)
        store.write_run(run_record())
        store.write_timing(timing_record())
        assert check(RUN_SCHEMA, (tmp_path / "run.json").read_text()) == []
        assert check(TIMING_SCHEMA, (tmp_path / "timing.json").read_text()) == []
        assert check(CASE_SCHEMA, to_json(case_record())) == []

    def test_they_find_what_is_wrong(self, check):
        raw = json.loads(to_json(case_record()))
        raw["status"] = "fine"
        raw["validity"]["psnr"]["per_image"][0] = "high"
        del raw["key"]
        assert check(CASE_SCHEMA, json.dumps(raw)) == [
            "$.status",
            "$.validity.psnr.per_image[0]",
            "$",
        ]
