"""The table of a run stands in columns that say what they are."""

from __future__ import annotations

from dataclasses import replace

from run_records import case_record

from invbench.report.tables import run_table


def test_coverage_stands_beside_its_band_and_verdict():
    record = case_record()
    judged = replace(record.interval, coverage_band=(0.78, 0.8412), verdict="calibrated")
    heading, with_band, without = run_table([replace(record, interval=judged), record])
    assert heading.split()[4:9] == ["coverage", "ideal", "band", "spread", "width"]
    assert with_band.split()[4:8] == ["0.800", "0.810", "0.780-0.841", "calibrated"]
    assert without.split()[4:8] == ["0.800", "0.810", "-", "-"]
