"""The table of a run stands in columns that say what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from run_records import case_record

from invbench.report.closing import run_table
from invbench.report.tables import case_row, headings, notes
from invbench.runs import Breach, CalibrationVerdict


def verdict(word, expected=None, **reason):
    return {"calibration": CalibrationVerdict(verdict=word, expected=expected, **reason)}


def speed(**changes):
    return replace(case_record().throughput, **changes)


def test_coverage_stands_beside_its_band_and_verdict():
    record = case_record()
    judged = replace(record.interval, coverage_band=(0.78, 0.8412))
    _, heading, with_band, without = run_table(
        [replace(record, interval=judged), replace(record, skill={})], ["all"]
    )
    assert heading.split()[4:8] == ["coverage", "ideal", "band", "skill"]
    assert with_band.split()[4:8] == ["0.800", "0.810", "0.780-0.841", "+0.25"]
    assert without.split()[4:8] == ["0.800", "0.810", "-", "-"]


BREACHES = tuple(Breach(name=name, expected="e", seen=f"{name} seen") for name in ("one", "other"))


@pytest.mark.parametrize(
    ("changes", "column", "cell", "note"),
    [
        ({"checks": ()}, "limits", "none", None),
        ({}, "limits", "kept", None),
        ({"contract": ()}, "contract", "kept", None),
        ({"contract": BREACHES}, "contract", "one, other", "chimle-sr16: one: one seen"),
        (verdict("calibrated"), "calibration", "calibrated", None),
        (verdict("under"), "calibration", "under", None),
        (verdict("under", "under"), "calibration", "under (declared)", None),
        (verdict("calibrated", "under"), "calibration", "calibrated", "calibrated, declared under"),
        (verdict("under", "calibrated"), "calibration", "under", "is under, declared calibrated"),
        (verdict("not tested", reason="few"), "calibration", "not tested (few)", None),
        ({"throughput": speed(first_call_s=5.0)}, "1st call", "4.0x", None),
        ({"throughput": speed(saved_by_repeating=0.95)}, "1st call", "-", "takes 95% less time"),
        ({"throughput": speed(saved_by_repeating=0.09)}, "1st call", "-", None),
    ],
)
def test_each_verdict_has_a_column_and_what_changed_a_line(changes, column, cell, note):
    record = case_record(**changes)
    assert dict(zip(headings([record]), case_row(record), strict=True))[column] == cell
    said = [f"{record.case_id}: {text}" for text in notes(record)]
    assert note in said[0] if note else not said
    assert run_table([record])[-len(said) :] == said or not said


def test_a_reference_that_was_not_selected_has_a_line_of_what_is_known_of_it():
    known = {"psnr": 44.81, "coverage": 0.847, "crps": 0.08}
    records = [case_record(reference=known), case_record("cimle-sr16", reference=known)]
    *_, last = run_table(records, ["all"])
    assert last.split()[:3] == ["reference-sr16", "44.81", "-"]
    assert last.split()[4:8] == ["0.847", "0.810", "-", "+0.00"]
    assert last.split()[-1] == "reference"
    *_, last = run_table(records)
    assert last.split() == [
        *("reference-sr16", "44.81", "-", "0.847", "0.810", "+0.00", "-", "-", "reference")
    ]
    measured = [*records, case_record("reference-sr16", reference=known)]
    assert len(run_table(measured)) == 5


def test_columns_can_be_chosen_and_unknown_ones_are_named():
    lines = run_table([case_record()], ["crps_skill", "target_psnr_best", "nfe", "fid"])
    assert lines[1].split() == ["case", "crps_skill", "target_psnr_best", "nfe", "fid", "verdict"]
    assert lines[2].split() == ["chimle-sr16", "0.25", "28", "1", "-", "passed"]
    assert lines[3].startswith("no column fid; there are images, samples, psnr, ")
