"""A run is set beside the study's numbers, none of which is made up."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from gate_records import metric, write_run
from gate_records import record as gate_record
from run_records import case_record

from invbench.cli import main
from invbench.errors import InvalidRecordError, MissingDataError
from invbench.exit_codes import ExitCode
from invbench.gate.baselines import promote
from invbench.models.registry import MODELS
from invbench.problems.tasks import TASKS
from invbench.report.paper import PaperTable, paper_report, read_paper

ROOT = Path(__file__).parents[2]
PATH = ROOT / "fixtures" / "paper_table1.toml"
HEAD = 'models = ["a", "b"]\ntasks = ["sr16"]\n'


class TestShippedTable:
    def test_is_of_all_models_and_tasks(self):
        table = read_paper(PATH)
        assert (table.models, table.tasks) == (MODELS, tuple(TASKS))

    def test_has_all_72_values(self):
        values = read_paper(PATH).values
        assert set(values) == {f"{model}-{task}" for model in MODELS for task in TASKS}
        assert all(set(scores) == {"psnr", "ssim", "lpips"} for scores in values.values())
        assert values["ddrm-sr16"]["psnr"] == 29.57
        assert values["chimle-decompression"] == {"psnr": 26.24, "ssim": 0.877, "lpips": 0.191}


class TestReading:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("models =", "not TOML"),
            ("models = []", "tasks is missing"),
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
        with pytest.raises(MissingDataError, match="no such file"):
            read_paper(tmp_path / "t.toml")


def table_of(**values):
    """Return a table of models on one task with the given PSNR of each."""
    models = tuple(values)
    cases = {f"{m}-sr16": {"psnr": v} for m, v in values.items() if v is not None}
    return PaperTable(models, ("sr16",), cases)


def by_id(*records):
    return {record.case_id: record for record in records}


def lpips_record(case_id, name, value=0.1):
    return case_record(case_id, validity={name: metric([value, value], higher_is_better=False)})


class TestReport:
    def test_shows_both_and_names_what_is_absent(self):
        records = by_id(case_record("a-sr16", psnr=20.0), case_record("c-sr16", psnr=math.nan))
        lines = paper_report(records, table_of(a=21.5, b=22.0, c=None))
        rows = {
            line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines if "|" in line
        }
        assert rows["model"][1:3] == ["psnr", "psnr (paper)"]
        assert rows["a"][1:3] == ["20.00", "<ins>21.50</ins>"]
        assert rows["b"][1:3] == ["-", "**22.00**"]
        assert rows["c"][1:3] == ["-", "absent"]
        assert "- psnr: not enough: 1 of 4 models have both" in lines

    def test_shows_models_that_the_study_does_not_have(self):
        def record(model, task, psnr):
            identity = {"model": {"name": model}, "task": {"name": task}}
            return case_record(f"{model}-{task}", identity=identity, psnr=psnr)

        records = by_id(
            record("mine", "sr16", 25.0),
            record("a", "sr16", 20.0),
            record("mine", "sr4", 30.0),
            record("reference", "sr16", 40.0),
        )
        lines = paper_report(records, table_of(a=21.5))
        rows = [line.strip("| ").split(" | ")[:3] for line in lines if line.startswith("| ")]
        assert rows[2:] == [
            *(["a", "20.00", "21.50"], ["mine", "<ins>25.00</ins>", "-"]),
            ["reference", "**40.00**", "-"],
        ]
        assert "- psnr: not enough: 1 of 4 models have both" in lines

    def test_models_of_different_images_stand_side_by_side_over_those_that_all_share(self):
        """An easy image that one model alone was measured on puts it ahead of nobody."""

        def of(model, psnr):
            ids = [f"photo-{number}" for number in range(len(psnr))]
            made = gate_record(f"{model}-sr16", n_images=len(psnr), image_ids=ids)
            return replace(made, validity={"psnr": metric(psnr, higher_is_better=True)})

        records = by_id(of("a", [20.0, 22.0, 60.0]), of("b", [23.0, 25.0]))
        lines = paper_report(records, table_of(a=21.5, b=22.0))
        rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines}
        assert rows["a"][1] == "<ins>21.00</ins>"
        assert rows["b"][1] == "**24.00**"
        over = "Our numbers are means over the 2 images that all 2 cases share."
        assert any(line.startswith(over) for line in lines)
        alike = paper_report(by_id(of("a", [20.0, 22.0]), of("b", [23.0, 25.0])), table_of(a=21.5))
        assert "share" not in "".join(alike)

    @pytest.mark.parametrize("name", ["lpips", "lpips_vgg", "lpips_squeeze_fp16"])
    def test_lpips_counts_under_whatever_name_it_was_scored(self, name):
        table = PaperTable(
            tuple("abcd"),
            ("sr16",),
            {f"{m}-sr16": {"lpips": 0.1 + k / 10} for k, m in enumerate("abcd")},
        )
        records = by_id(*(lpips_record(f"{m}-sr16", name, k / 10) for k, m in enumerate("abcd")))
        lines = paper_report(records, table)
        assert f"| {name} | lpips (paper) |" in lines[2]
        expected = f"- {name}: Spearman's rho 1.00, Kendall's tau 1.00, over 4 models"
        assert expected in lines

    def test_random_lpips_is_shown_but_not_held_against_the_paper(self):
        table = PaperTable(("a",), ("sr16",), {"a-sr16": {"lpips": 0.2}})
        lines = paper_report(by_id(case_record("a-sr16")), table)
        heading, row = (line.strip("| ").split(" | ") for line in (lines[2], lines[4]))
        cells = dict(zip(heading, row, strict=True))
        assert (cells["lpips_random"], cells["lpips (paper)"]) == ("0.100", "0.200")
        assert any(line.startswith("- lpips_random: made with random weights") for line in lines)

    def test_orders_that_agree_are_told_with_their_interval_over_photographs(self):
        data = {"image_ids": ["0", "1", "2"], "groups": ["p", "p", "q"]}
        names = "abcde"
        records = by_id(
            *(
                case_record(
                    f"{m}-sr16",
                    identity={"task": {"dataset": data}},
                    validity={"psnr": metric([20.0 + k, 21.0 + k, 22.0 + k], True)},
                )
                for k, m in enumerate(names)
            )
        )
        lines = paper_report(records, table_of(**{m: 30.0 + k**2 for k, m in enumerate(names)}))
        said = (
            "- psnr: Spearman's rho 1.00 (1.00 to 1.00), Kendall's tau 1.00 (1.00 to 1.00), "
            "over 5 models"
        )
        assert said in lines


class TestDdrmApart:
    """It inverts the benchmark's operator here and others in the study."""

    TABLE = PaperTable(
        ("a", "b", "c", "d", "ddrm"),
        ("sr16",),
        {f"{m}-sr16": {"psnr": 20.0 + k} for k, m in enumerate(("ddrm", "a", "b", "c", "d"))},
    )

    def lines(self, *more):
        plain = (case_record(f"{m}-sr16", psnr=20.0 + k) for k, m in enumerate("abcd"))
        return paper_report(by_id(*plain, case_record("ddrm-sr16", psnr=55.0), *more), self.TABLE)

    def test_orders_are_told_with_it_and_without(self):
        lines = self.lines()
        start = lines.index("- psnr: Spearman's rho 0.00, Kendall's tau 0.20, over 5 models")
        said = "  - without ddrm: Spearman's rho 1.00, Kendall's tau 1.00, over 4 models"
        assert lines[start + 1] == said
        assert not any("ddrm-published" in line for line in lines)

    def test_the_published_operator_has_a_row_and_takes_its_place_in_the_orders(self):
        lines = self.lines(case_record("ddrm-published-sr16", psnr=19.0))
        assert any(line.startswith("| ddrm-published | 19.00 | 20.00 |") for line in lines)
        place = "  - with ddrm-published in its place: Spearman's rho 1.00, Kendall's tau 1.00"
        assert any(line.startswith(place) for line in lines)


class TestVerb:
    def test_prints_all_cases_of_a_run_and_what_holds(self, tmp_path, capsys, monkeypatch):
        folder = write_run(tmp_path / "run", [case_record("ddrm-sr16", psnr=31.25)])
        monkeypatch.chdir(tmp_path)  # the table is found from anywhere
        assert main(["paper", str(folder)]) is ExitCode.OK
        text = capsys.readouterr().out
        assert text.count("| ddrm |") == 3
        assert "| ddrm | 31.25 | <ins>29.57</ins> |" in text
        assert "MoNCE has the least diversity" in text

    def test_takes_runs_and_baselines_together(self, tmp_path, capsys):
        folder = write_run(tmp_path / "run", [case_record("ddrm-sr16", psnr=31.25)])
        promote(folder, tmp_path / "baselines")
        (file,) = (tmp_path / "baselines").rglob("*.json")
        assert main(["paper", str(folder), str(file)]) is ExitCode.OK
        text = capsys.readouterr().out
        assert text.count("| ddrm | 31.25 | <ins>29.57</ins> |") == 2
        assert text.index("# run\n") < text.index(f"# {file.name}\n")

    def test_a_folder_that_is_no_run_is_missing(self, tmp_path):
        assert main(["paper", str(tmp_path)]) is ExitCode.MISSING
