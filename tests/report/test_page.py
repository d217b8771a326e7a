"""The page of a run shows all of it, whatever part of it is missing or damaged."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from board_runs import board_run
from run_records import case_record, run_record, timing_record

from invbench.cli import main
from invbench.exit_codes import ExitCode
from invbench.gate import promote
from invbench.report.legend import LEGEND
from invbench.report.tables import HEADINGS
from invbench.runs.store import RunStore

ROOT = Path(__file__).parents[2]


class Shown(HTMLParser):
    """What a reader finds in a page."""

    def __init__(self, text):
        super().__init__()
        self.words, self.images, self.sections, self.headings = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "img":
            self.images.append(given["alt"])
        if tag == "section":
            self.sections.append(given["id"])
        self.headings += [given["id"]] if tag == "h2" and "id" in given else []

    def handle_data(self, data):
        self.words += [data.strip()] if data.strip() else []


def page(folder, tmp_path, *arguments):
    output = tmp_path / "report.html"
    assert main(["report", str(folder), "-o", str(output), *arguments]) is ExitCode.OK
    return Shown(output.read_text())


@pytest.fixture
def run(tmp_path):
    return board_run(tmp_path / "one", day=1, models={"chimle": 28.0, "ndm": 9.5})


def test_has_a_section_with_pictures_for_every_case(run, tmp_path):
    shown = page(run.folder, tmp_path)
    assert shown.sections == ["case-chimle-sr16", "case-ndm-sr16"]
    assert shown.headings == ["task-1", "all", "cases", "legend", "environment"]
    kept = [
        f"{name} of {picture.image_id}, {case}"
        for case in ("chimle-sr16", "ndm-sr16")
        for picture in run.read_pictures(case)
        for name in picture.panels
    ]
    assert [alt for alt in shown.images if alt.endswith("-sr16")] == kept
    assert (
        "Means over K = 20 samples an image, 9 images of 9 photographs (photographs). Scores"
        in " ".join(shown.words)
    )


def test_says_which_image_is_the_worst(run, tmp_path):
    record = run.read_case("chimle-sr16")
    values = record.validity["psnr"].per_image
    ids = record.identity["task"]["dataset"]["image_ids"]
    worst = ids[values.index(min(values))]
    words = page(run.folder, tmp_path).words
    start = words.index("Images of chimle-sr16, the least valid first")
    row = words.index(worst, start)
    assert words[row - 1] in ("width", "winkler")  # the last heading, just above
    assert words[row + 1] == f"{min(values):.4g}"


def test_stands_beside_a_baseline(run, tmp_path):
    promote(run.folder, tmp_path / "baselines")
    (baseline,) = (tmp_path / "baselines").rglob("*.json")
    shown = page(run.folder, tmp_path, "--baseline", str(baseline))
    assert "Beside the baseline: passed, identical" in shown.words
    worse = board_run(tmp_path / "two", day=2, models={"chimle": 20.0, "ndm": 9.5})
    words = page(worse.folder, tmp_path, "--baseline", str(baseline)).words
    assert any(word.startswith("Beside the baseline: REGRESSED") for word in words)
    row = words.index("chimle-sr16", words.index("worse by"))
    assert words[row + 1].startswith("regressed")
    assert words[row + 2] == "psnr"
    text = (tmp_path / "two.md").as_posix()
    main(["report", str(worse.folder), "-o", text, "--baseline", str(baseline)])
    assert "## Gate: REGRESSED" in (tmp_path / "two.md").read_text()


def test_a_damaged_picture_costs_itself_alone(run, tmp_path):
    (run.folder / "pictures" / "ndm-sr16" / "0.png").write_bytes(b"no picture")
    shown = page(run.folder, tmp_path)
    assert any(word.startswith("pictures of ndm-sr16 are left out: ") for word in shown.words)
    assert shown.sections == ["case-chimle-sr16", "case-ndm-sr16"]
    assert not [alt for alt in shown.images if alt.endswith("ndm-sr16")]
    assert [alt for alt in shown.images if alt.endswith("chimle-sr16")]


def test_timings_alone_make_a_page(tmp_path):
    store = RunStore(tmp_path / "timed")
    store.write_run(run_record())
    store.write_timing(timing_record())
    shown = page(store.folder, tmp_path)
    assert "Speed, in fresh processes" in shown.words
    assert (shown.sections, shown.images) == ([], [])


def test_speeds_of_two_machines_stand_side_by_side(tmp_path):
    store = RunStore(tmp_path / "timed")
    store.write_run(run_record())
    identity = {"model": {"name": "chimle"}, "task": {"name": "sr16"}}
    store.write_case(case_record("chimle-sr16", identity=identity))
    store.write_timing(timing_record(environment_key="another machine"))
    words = page(store.folder, tmp_path).words
    start = words.index("Samples a second, machine by machine")
    key = case_record().throughput.environment_key
    cells = dict(zip(sorted(("another machine", key)), words[start + 5 : start + 7], strict=True))
    assert words[start + 1] == "case"
    assert cells == {"another machine": "25.0", key: "16.0"}


def test_the_legend_says_of_every_column_what_the_docs_say():
    lines = (ROOT / "docs" / "columns.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert {name: words.replace("`", "") for name, words in rows[1:]} == LEGEND
    known = {name for names in LEGEND for name in names.split(", ")}
    assert known == set(HEADINGS) - {"case"}


def test_cases_are_held_against_the_same_of_the_baseline(run, tmp_path):
    promote(run.folder, tmp_path / "baselines")
    (baseline,) = (tmp_path / "baselines").rglob("*.json")
    other = board_run(tmp_path / "two", day=2, models={"chimle": 28.0, "mine": 20.0})
    words = page(other.folder, tmp_path, "--baseline", str(baseline)).words
    answer = words[words.index("Worse than the baseline?") + 1]
    assert answer == "passed, identical; not in the baseline: mine-sr16."
    assert not [word for word in words if "ndm-sr16" in word]
