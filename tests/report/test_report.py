"""Reports say what the records say, in Markdown, HTML and CSV."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from run_records import case_record, run_record, timing_record

from invbench.cli import main
from invbench.exit_codes import ExitCode
from invbench.report.summary import summarize
from invbench.runs.store import RunStore

SCORES = {"psnr": np.full((2, 2), 28.0), "lpips_random": np.full((2, 2), 0.1)}
REASON = "validity/psnr 1, limit >= 2 | <b>worse</b>"


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record(selected_cases=["chimle-sr16", "ndm-sr16"]))
    store.write_case(case_record(), SCORES)
    store.write_case(
        case_record(
            "cimle-sr16",
            status="failed",
            reason=REASON,
            throughput=None,
            not_measured={"throughput": "shared"},
        ),
        SCORES,
    )
    for name in ("ddrm-sr16", "msgan-sr16"):
        store.write_case(
            case_record(
                name,
                status="skipped",
                reason="no such checkpoint",
                validity={},
                interval=None,
                throughput=None,
            )
        )
    store.write_timing(timing_record())
    return store


def write(store, tmp_path, name):
    assert main(["report", str(store.folder), "-o", str(tmp_path / name)]) is ExitCode.OK
    return (tmp_path / name).read_text()


def test_markdown(store, tmp_path):
    text = write(store, tmp_path, "report.md")
    lines = text.splitlines()
    assert "**1 passed, 1 failed, 2 skipped**" in lines
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == (
        "| case | psnr | ssim | lpips_random | coverage | ideal | band | skill | width "
        "| samples/s | 1st call | limits | calibration | contract | verdict |"
    )
    assert table[2] == (
        "| chimle-sr16 | 28.00 | - | 0.1000 | 0.800 | 0.810 | - | +0.25 | 0.100 | 16.0 | - | kept "
        "| - | - | passed |"
    )
    assert table[3].endswith("| - | **failed** |")
    assert {line.count(" | ") for line in table[:4]} == {14}
    assert "- cimle-sr16: validity/psnr 1, limit >= 2 \\| \\<b>worse\\</b>" in lines
    assert "- no such checkpoint: ddrm-sr16, msgan-sr16" in lines
    assert "- selected, but without a record: ndm-sr16" in lines
    assert "- throughput was not measured (shared): cimle-sr16" in lines
    assert "- commit: 0123abc with uncommitted changes" in lines
    assert "- torch: 2.14.1" in lines


def test_speed_is_the_median_of_processes(store):
    """Medians of 1.5 and 1 seconds for 30 samples are 20 and 30 samples a second."""
    row = summarize(store).speed[0]
    assert row == (
        "chimle-sr16",
        "25.0",
        "20.0",
        "30.0",
        "-",
        "-",
        "2",
        "checkpoint",
        "a processor/1 threads",
    )


def test_html_is_escaped_and_needs_no_other_file(store, tmp_path):
    text = write(store, tmp_path, "report.html")
    links, cells = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            links.extend(value for name, value in attrs if name in {"src", "href"})
            assert tag not in {"link", "b"}

        def handle_data(self, data):
            cells.append(data)

    Reader().feed(text)
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(" not in text.replace("url(#", "")  # a drawing refers to its own parts
    for expected in ("28.00", "lpips_random", "no such checkpoint: ddrm-sr16, msgan-sr16", "25.0"):
        assert expected in cells
    assert any(REASON in cell for cell in cells)


def test_csv_holds_every_number_in_full(tmp_path):
    store = RunStore(tmp_path / "run")
    store.write_run(run_record())
    store.write_case(case_record(psnr=28.123456789012345))
    store.write_case(case_record("cimle-sr16", throughput=None, reason='a "reason", with\ncommas'))
    rows = list(csv.DictReader(io.StringIO(write(store, tmp_path, "table.csv"))))
    assert [row["case"] for row in rows] == ["chimle-sr16", "cimle-sr16"]
    assert float(rows[0]["psnr"]) == 28.123456789012345
    assert (rows[0]["psnr_stderr"], rows[0]["lpips_random_stderr"]) == ("0.5", "")
    assert (rows[0]["samples_per_second"], rows[1]["samples_per_second"]) == ("16.0", "")
    assert (rows[0]["target_psnr_best"], rows[0]["crps_skill"]) == ("28.0", "0.25")
    assert rows[1]["reason"] == r'a "reason", with\ncommas'


def test_what_cannot_be_reported_is_named(store, tmp_path, capsys):
    assert main(["report", str(store.folder), "-o", "x.pdf"]) is ExitCode.USAGE
    assert "x.pdf: a report ends in .html, .md, .csv, .tex" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "no"), "-o", "x.md"]) is ExitCode.MISSING
    empty = RunStore(tmp_path / "empty")
    empty.write_run(run_record())
    assert main(["report", str(empty.folder), "-o", str(tmp_path / "x.md")]) is ExitCode.MISSING
    assert not (tmp_path / "x.md").exists()
