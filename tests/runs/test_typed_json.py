"""Records are held against their declared types, and what breaks them is named by its place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pytest
from run_records import case_record, timing_record

from invbench.errors import InvalidRecordError
from invbench.runs.plain_json import differences
from invbench.runs.records import CaseRecord, from_json, to_json
from invbench.runs.timing import TimingRecord
from invbench.runs.typed_json import build, parse, required


@pytest.mark.parametrize("seconds", [[], [0.1, 0.0], [-1.0], [1e-309]])
def test_rounds_without_time_are_refused(seconds):
    raw = json.loads(json.dumps(asdict(timing_record())))
    case = next(iter(raw["cases"]))
    raw["cases"][case]["seconds"] = [seconds]
    with pytest.raises(InvalidRecordError, match=f"{case}.*a round takes some time"):
        build(TimingRecord, raw)


def spoiled(path, value):
    """Return the JSON of a record with one value replaced."""
    raw = json.loads(to_json(case_record()))
    *parents, last = path
    place = raw
    for name in parents:
        place = place[name]
    place[last] = value
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("status",),
            "fine",
            "status: expected one of passed, failed, measured, skipped, declined, error",
        ),
        (("wall_s",), "2", "wall_s: expected a number"),
        (("wall_s",), True, "wall_s: expected a number, found true"),
        (("wall_s",), None, "wall_s: expected a number, found null"),
        (("checks",), {}, "checks: expected a list"),
        (("checks", 0, "passed"), 1, r"checks\[0\].passed: expected true or false"),
        (("validity",), [], "validity: expected an object"),
        (("validity", "psnr", "per_image", 1), "x", r"validity.psnr.per_image\[1\]: expected a n"),
        (("validity", "psnr", "n_images"), 2.5, "validity.psnr.n_images: expected a whole number"),
        (("throughput",), [1], "throughput: expected an object"),
        (("reason",), 3, "reason: expected text"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_value_of_the_wrong_type_is_named_by_its_place(path, value, message):
    with pytest.raises(InvalidRecordError, match=message):
        from_json(spoiled(path, value))


def test_null_stands_for_what_was_not_measured_or_not_finite():
    record = from_json(spoiled(("validity", "psnr", "mean"), None))
    assert record.validity["psnr"].mean is None
    assert from_json(spoiled(("throughput",), None)).throughput is None


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_know_are_refused(token):
    with pytest.raises(InvalidRecordError, match="is not a number"):
        parse(f'{{"mean": {token}}}')


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(InvalidRecordError, match="mean stands twice"):
        parse('{"x": {"mean": 1, "sum": 2, "mean": 3}}')


def test_nesting_without_end_is_not_json():
    with pytest.raises(InvalidRecordError, match="not JSON"):
        parse("[" * 100_000)


def test_a_missing_key_of_a_part_is_named():
    raw = json.loads(to_json(case_record()))
    del raw["interval"]["winkler"]
    with pytest.raises(InvalidRecordError, match=r"interval\.winkler is missing"):
        build(CaseRecord, raw)


@dataclass(frozen=True, kw_only=True)
class Range:
    ends: tuple[float | None, float]


def test_a_tuple_of_two_has_two_items():
    assert build(Range, {"ends": [None, 1.5]}) == Range(ends=(None, 1.5))
    for wrong in ([1.0], [1.0, 2.0, 3.0], []):
        with pytest.raises(InvalidRecordError, match=r"ends: expected a list of 2, found"):
            build(Range, {"ends": wrong})
    with pytest.raises(InvalidRecordError, match=r"ends\[1\]: expected a number, found null"):
        build(Range, {"ends": [1.0, None]})


def test_only_fields_without_default_are_required():
    assert required(CaseRecord) == ["case_id", "identity", "status"]


def test_differences_are_dotted_places():
    one = {"a": {"b": 1, "c": [1, 2]}, "same": None}
    assert differences(one, {"a": {"b": 1, "c": [1, 3]}, "same": None}) == ["a.c"]
    assert differences(one, {"a": 1, "same": None}) == ["a"]
    assert differences(one, one) == []
