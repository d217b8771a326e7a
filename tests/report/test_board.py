"""A board ranks what compares, tells histories, and names what it cannot show."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from shutil import copytree

import pytest
from board_runs import board_run

from invbench.cli import main
from invbench.errors import MissingDataError
from invbench.exit_codes import ExitCode
from invbench.report.board import standings, write_board
from invbench.report.board_history import HEIGHT, MARGIN, histories
from invbench.report.board_runs import read_runs

FIRST = {"chimle": 28.0, "cimle": 27.99, "ndm": 20.0}


@pytest.fixture
def runs(tmp_path):
    board_run(tmp_path / "runs" / "one", day=1, models=FIRST)
    board_run(tmp_path / "runs" / "two", day=2, models={"chimle": 30.0})
    board_run(tmp_path / "runs" / "few", day=3, models={"chimle": 40.0}, n_samples=8)
    return tmp_path / "runs"


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.ids = [], set()

    def handle_starttag(self, _, attributes):
        given = dict(attributes)
        self.found += [given[name] for name in ("href", "src") if name in given]
        self.ids |= {given["id"]} if "id" in given else set()


def links_of(page):
    parser = Links()
    parser.feed(page.read_text())
    return parser


def damage(run, name="cases/chimle-sr16.json"):
    path = run / name
    record = json.loads(path.read_text())
    record["identity"]["model"]["name"] = "a better one"
    path.write_text(json.dumps(record))


def test_each_model_stands_by_its_newest_record_of_the_same_conditions(runs):
    read, _ = read_runs([runs])
    full, few = standings(read)
    assert {record.case_id: run.slug for record, run in full.latest} == {
        "chimle-sr16": "two",
        "cimle-sr16": "one",
        "ndm-sr16": "one",
    }
    (ranking,) = full.rankings
    assert ranking.tiers == (("chimle",), ("cimle",), ("ndm",))
    assert full.conditions == "K = 20 samples an image, 9 images of 9 photographs (photographs)"
    assert [run.slug for _, run in few.latest] == ["few"]  # not against those of 20 samples
    assert (few.rankings, few.unranked) == ((), "one model alone")


def test_models_that_cannot_be_told_apart_share_a_tier(tmp_path):
    board_run(tmp_path / "run", day=1, models={"chimle": 28.0, "ndm": 28.0, "cimle": 27.0})
    (one,) = standings(read_runs([tmp_path / "run"])[0])
    assert [set(tier) for tier in one.rankings[0].tiers] == [{"chimle", "ndm"}, {"cimle"}]


def test_a_history_goes_from_the_oldest_run_to_the_newest(runs):
    (case,) = histories(read_runs([runs])[0])["chimle"]
    assert [(run.slug, size) for run, size, _, _ in case.rows] == [
        ("one", "9 x 20"),
        ("two", "9 x 20"),
        ("few", "9 x 8"),
    ]
    chart = case.charts[0]
    heights = [y for _, y, _ in chart.points]
    assert heights == sorted(heights, reverse=True)  # a larger number is nearer to the top
    assert (heights[0], heights[-1]) == (HEIGHT - MARGIN, MARGIN)


def test_every_link_is_relative_and_leads_to_a_page(runs, tmp_path):
    site = tmp_path / "site"
    assert main(["board", str(runs), "-o", str(site)]) is ExitCode.OK
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + 3 + 3
    reached = set()
    for page in pages:
        for link in links_of(page).found:
            assert not re.match(r"[a-z]+:|/", link) or link.startswith("data:image/"), link
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not link.startswith("data:"):
                assert not anchor or anchor in links_of(target).ids
                reached.add(target)
    assert reached == set(pages)


def test_a_damaged_run_costs_itself_alone(runs, tmp_path, capsys):
    copytree(runs / "two", runs / "sent")
    damage(runs / "sent")
    (runs / "none").mkdir()
    arguments = [str(runs), str(runs / "none"), str(tmp_path / "nowhere")]
    assert main(["board", *arguments, "-o", str(tmp_path / "site")]) is ExitCode.FAILED
    said = capsys.readouterr().out
    assert "sent: not shown: cases/chimle-sr16.json: InvalidRecordError: the key is not" in said
    assert "none: not shown: run.json: MissingDataError" in said
    assert "nowhere: not shown: MissingDataError" in said
    index = (tmp_path / "site" / "index.html").read_text()
    assert "Board of 3 runs" in index
    assert "the record was edited" in index
    assert "a better one" not in index


def test_a_damaged_picture_costs_itself_alone(runs, tmp_path):
    (picture,) = (runs / "two").glob("pictures/*/*.png")
    picture.write_bytes(b"no picture")
    board = write_board([runs], tmp_path / "site")
    assert {run.slug for run in board.runs} == {"one", "two", "few"}
    page = (tmp_path / "site" / "runs" / "two" / "report.html").read_text()
    assert f"pictures of {picture.parent.name} are left out" in page


def test_a_board_of_nothing_is_an_error(tmp_path):
    with pytest.raises(MissingDataError, match="no run to show: run: "):
        write_board([tmp_path / "run"], tmp_path / "site")


def test_what_a_case_lacks_is_counted_not_refused(runs):
    (runs / "one" / "cases" / "ndm-sr16.json").unlink()
    read, refused = read_runs([runs / "one"])
    assert (len(read[0].unfinished), refused) == (1, [])


def test_names_of_others_are_text_and_no_path(tmp_path):
    name = "<script>alert(1)</script>"
    board_run(tmp_path / "in" / "a <b>run", day=1, models={"chimle": 28.0})
    board_run(tmp_path / "in" / "A-b-run", day=1, models={"chimle": 28.0}, profile=name)
    board = write_board([tmp_path / "in"], tmp_path / "site")
    assert sorted(run.slug for run in board.runs) == ["A-b-run", "a-b-run-2"]
    index = board.index.read_text()
    assert name not in index
    assert "a &lt;b&gt;run" in index
