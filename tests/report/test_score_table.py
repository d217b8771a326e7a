"""Tables of scores mark who is ahead, in ours and in the study's."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from gate_records import metric
from run_records import case_record

from invbench.gate.ranking import Ranking
from invbench.report.latex import latex_report
from invbench.report.paper import PaperTable
from invbench.report.score_table import Cell, score_table
from invbench.runs import NoiseFitRecord


def records(**scores):
    """Return a record of each model on sr16: PSNR, and LPIPS of official weights."""
    made = [
        case_record(
            f"{model}-sr16",
            identity={"model": {"name": model}, "task": {"name": "sr16"}},
            validity={
                "psnr": metric([psnr, psnr], higher_is_better=True),
                "lpips": metric([lpips, lpips], higher_is_better=False),
            },
        )
        for model, (psnr, lpips) in scores.items()
    ]
    return {record.case_id: record for record in made}


def column(table, heading):
    place = table.headings.index(heading)
    return {cells[0].text: cells[place] for cells in table.rows}


def test_the_best_and_the_second_are_marked_in_the_direction_of_the_score():
    table = score_table(records(a=(20.0, 0.3), b=(30.0, 0.1), c=(25.0, 0.2)), "sr16")
    assert table.headings[:4] == ("model", "psnr", "ssim", "lpips")
    psnr, lpips = column(table, "psnr"), column(table, "lpips")
    assert psnr == {"a": Cell("20.00"), "b": Cell("30.00", "best"), "c": Cell("25.00", "second")}
    assert {model: cell.place for model, cell in lpips.items()} == {
        "a": "",
        "b": "best",
        "c": "second",
    }


def test_equal_numbers_share_a_place_and_no_number_has_none():
    table = score_table(records(a=(30.0, 0.3), b=(30.0, 0.1), c=(math.nan, 0.2)), "sr16")
    assert [cell.place for cell in column(table, "psnr").values()] == ["", "", ""]
    table = score_table(records(a=(30.0, 0.3), b=(30.0, 0.1), c=(9.0, 0.2)), "sr16")
    assert [cell.place for cell in column(table, "psnr").values()] == ["best", "best", "second"]


def test_the_study_stands_beside_its_own_tasks_only():
    paper = PaperTable(("a", "z"), ("sr16",), {"a-sr16": {"psnr": 21.0}})
    table = score_table(records(a=(20.0, 0.3), mine=(30.0, 0.1)), "sr16", paper)
    assert {m: c.text for m, c in column(table, "psnr (paper)").items()} == {
        "a": "21.00",
        "z": "absent",
        "mine": "-",
    }
    other = PaperTable(("a",), ("colorization",), {})
    assert "psnr (paper)" not in score_table(records(a=(20.0, 0.3)), "sr16", other).headings


def test_random_lpips_has_no_place():
    made = {f"{m}-sr16": case_record(f"{m}-sr16") for m in "ab"}
    for model, name in zip("ab", made, strict=True):
        made[name] = case_record(
            name, identity={"model": {"name": model}, "task": {"name": "sr16"}}
        )
    cells = column(score_table(made, "sr16"), "lpips_random")
    assert set(cells.values()) == {Cell("0.100")}


def test_scores_of_the_target_stand_behind_those_of_the_observation():
    made = records(a=(20.0, 0.3), b=(30.0, 0.1))
    for name, psnr in (("a-sr16", 18.0), ("b-sr16", 17.0)):
        target = {"psnr": metric([psnr, psnr], higher_is_better=True)}
        made[name] = replace(made[name], target=target)
    table = score_table(made, "sr16")
    cells = column(table, "target psnr")
    assert cells == {"a": Cell("18.00", "best"), "b": Cell("17.00", "second")}
    assert "target lpips" not in table.headings


def test_with_noise_chi_squared_takes_the_place_of_scores():
    fit = NoiseFitRecord(
        value=1.25,
        low=None,
        high=None,
        band=(0.9, 1.1),
        verdict="above",
        n_measurements=9,
        per_image=(1.25, 1.25),
    )
    made = records(a=(20.0, 0.3))
    made["a-sr16"] = replace(made["a-sr16"], noise_fit=fit)
    table = score_table(made, "sr16")
    assert table.headings[:3] == ("model", "chi-squared", "noise")
    assert table.rows[0][1:3] == (Cell("1.250"), Cell("above"))


@pytest.mark.parametrize(("task", "tied"), [("sr16", True), ("sr4", False)])
def test_ties_with_the_best_come_from_the_ranking_of_the_task(task, tied):
    ranking = Ranking(task, "psnr", 9, {"b": 30.0, "c": 25.0, "a": 20.0}, (), (("b", "c"), ("a",)))
    found = records(a=(20.0, 0.3), b=(30.0, 0.1), c=(25.0, 0.2))
    table = score_table(found, "sr16", None, [ranking])
    assert [cell.tied for cell in column(table, "psnr").values()] == [False, False, tied]
    assert ("not shown to be worse" in table.key) is tied
    assert (r"\underline{25.00} $\approx$ &" in latex_report([table])) is tied
