"""A run is set beside the study's numbers, none of which is made up."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from run_records import case_record

from invbench.cli import main
from invbench.errors import InvalidRecordError, MissingDataError
from invbench.exit_codes import ExitCode
from invbench.models.registry import MODELS
from invbench.problems.tasks import TASKS
from invbench.report.paper import PaperTable, correlation, paper_report, read_paper
from invbench.runs.store import RunStore

PATH = Path(__file__).parents[2] / "fixtures" / "paper_table1.toml"
HEAD = 'models = ["a", "b"]\ntasks = ["sr16"]\n'


class TestShippedTable:
    def test_is_of_all_models_and_tasks(self):
        table = read_paper(PATH)
        assert (table.models, table.tasks) == (MODELS, tuple(TASKS))

    def test_has_the_two_known_values_and_no_other(self):
        known = {"ddrm-sr16": {"psnr": 29.57}, "ddrm-colorization": {"psnr": 28.21}}
        assert read_paper(PATH).values == known


class TestReading:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("models =", "not TOML"),
            ("models = []", "'tasks' is not there"),
            (f"{HEAD}[c-sr16]\npsnr = 1\nsource = 's'", "c-sr16 is none of"),
            (f"{HEAD}[a-sr16]\npsnr = 1", "a-sr16 has no source"),
            (f"{HEAD}[a-sr16]\nfid = 1\nsource = 's'", "a-sr16.fid = 1"),
            (f"{HEAD}[a-sr16]\npsnr = 'high'\nsource = 's'", "a-sr16.psnr = high"),
        ],
    )
    def test_what_is_wrong_is_named(self, text, message, tmp_path):
        (tmp_path / "t.toml").write_text(text)
        with pytest.raises(InvalidRecordError, match=message):
            read_paper(tmp_path / "t.toml")

    def test_a_missing_table_is_named(self, tmp_path):
        with pytest.raises(MissingDataError, match="no such table"):
            read_paper(tmp_path / "t.toml")


class TestCorrelation:
    def test_is_of_ranks(self):
        assert correlation([1, 10, 100, 1000], [1, 2, 3, 4]).startswith("rho 1.00")
        assert correlation([4, 3, 2, 1], [1, 2, 3, 9]).startswith("rho -1.00")

    def test_is_the_closed_form_without_ties(self):
        ours, theirs = [3, 1, 4, 2, 5], [1, 2, 3, 4, 5]
        squares = sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True))
        expected = 1 - 6 * squares / (5 * 24)
        assert correlation(ours, theirs) == f"rho {expected:.2f} over 5 methods"

    def test_takes_rows_that_have_both(self):
        ours, theirs = [1, None, 3, 4, 2, 9], [1, 7, 3, 4, 2, None]
        assert correlation(ours, theirs) == "rho 1.00 over 4 methods"

    def test_of_few_or_equal_values_is_no_number(self):
        assert correlation([1, 2, 3, None], [1, 2, 3, 4]) == "not enough: 3 of 4 methods have both"
        assert correlation([1, 1, 1, 1], [1, 2, 3, 4]).startswith("undefined")


def table_of(**values):
    """Return a table of five models on one task with the given PSNR of each."""
    models = tuple(values)
    cases = {f"{m}-sr16": {"psnr": v} for m, v in values.items() if v is not None}
    return PaperTable(models, ("sr16",), cases)


class TestReport:
    def test_shows_both_and_names_what_is_absent(self):
        records = [case_record("a-sr16", psnr=20.0), case_record("c-sr16", psnr=math.nan)]
        lines = paper_report(records, table_of(a=21.5, b=22.0, c=None))
        rows = {
            line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines if "|" in line
        }
        heading = rows["model"]
        assert heading[1:3] == ["psnr", "psnr (paper)"]
        assert rows["a"][1:3] == ["20.00", "21.50"]
        assert rows["b"][1:3] == ["-", "22.00"]
        assert rows["c"][1:3] == ["-", "absent"]
        assert "- psnr: not enough: 1 of 4 methods have both" in lines

    def test_random_lpips_is_not_held_against_the_paper(self):
        table = PaperTable(("a",), ("sr16",), {"a-sr16": {"lpips": 0.2}})
        lines = paper_report([case_record("a-sr16")], table)
        heading, row = (line.strip("| ").split(" | ") for line in (lines[2], lines[4]))
        cells = dict(zip(heading, row, strict=True))
        assert (cells["lpips"], cells["lpips (paper)"]) == ("-", "0.2000")
        assert cells["lpips_random"] == "0.1000"
        assert "- lpips: not enough: 0 of 4 methods have both" in lines

    def test_orders_that_agree_are_told(self):
        names = "abcde"
        records = [case_record(f"{m}-sr16", psnr=20.0 + k) for k, m in enumerate(names)]
        table = table_of(**{m: 30.0 + k**2 for k, m in enumerate(names)})
        assert "- psnr: rho 1.00 over 5 methods" in paper_report(records, table)


def test_the_verb_prints_all_cases(tmp_path, capsys):
    store = RunStore(tmp_path)
    assert main(["paper", str(tmp_path), "--table", str(PATH)]) is ExitCode.MISSING
    store.write_case(case_record("ddrm-sr16", psnr=31.25))
    assert main(["paper", str(tmp_path), "--table", str(PATH)]) is ExitCode.OK
    text = capsys.readouterr().out
    assert text.count("| ddrm |") == 3
    assert "| ddrm | 31.25 | 29.57 |" in text
    assert text.count("absent") == 24 * 4 - 2
