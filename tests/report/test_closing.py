"""What a run ends with fits a terminal, says what it is over and hides nothing that is bad."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from run_records import case_record

from invbench.gate import read_snapshot
from invbench.report.closing import folded, run_table, scope, verdict_lines
from invbench.report.tables import HEADINGS
from invbench.runs import Breach, CalibrationVerdict, NoiseFitRecord, WorldRecord

TINY = Path(__file__).parents[2] / "fixtures" / "baselines" / "cpu" / "tiny.json"
SHORT = "case psnr ssim lpips coverage ideal skill width samples/s verdict"


@pytest.fixture(scope="module")
def shipped():
    return list(read_snapshot(TINY).cases.values())


def of(case_id, *, n_samples=20, groups=("a", "b", "a"), name="embedded", size=64, **changes):
    """Make a record that says what it is over."""
    task = case_id.rpartition("-")[2]
    ids = [f"{group}-{number}" for number, group in enumerate(groups)]
    data = {"name": name, "sha256": "", "size": size, "image_ids": ids, "groups": list(groups)}
    identity = {
        "model": {"name": case_id.partition("-")[0]},
        "task": {"name": task, "dataset": data},
        "sampling": {"n_samples": n_samples},
    }
    return case_record(case_id, **{"identity": identity} | changes)


def psnr(record, **changes):
    metrics = dict(record.validity)
    return replace(record, validity=metrics | {"psnr": replace(metrics["psnr"], **changes)})


def test_the_suite_s_own_table_has_its_ten_columns_and_fits_100_characters(shipped):
    table = run_table(shipped)
    assert table[1].split() == SHORT.split()
    assert len(shipped) == 27
    assert 90 < max(map(len, table[: 2 + len(shipped)])) <= 100
    assert "bicyclegan-decompression  63.69*  0.973" in "\n".join(table)
    assert table[2 + len(shipped)].startswith("* PSNR of samples that give back")


def test_columns_stand_closer_where_they_would_not_fit(shipped):
    other = [
        replace(
            record,
            validity={
                {"lpips": "lpips_random"}.get(name, name): m for name, m in record.validity.items()
            },
        )
        for record in shipped
    ]
    table = run_table(other)[1:29]
    assert "lpips_random coverage ideal" in table[0]
    assert max(map(len, table)) <= 100


@pytest.mark.parametrize(
    ("width", "hidden"),
    [
        (100, []),
        (90, []),
        (85, ["ssim"]),
        (80, ["ssim", "width"]),
        (70, ["ssim", "width", "samples/s"]),
    ],
)
def test_a_narrower_terminal_has_fewer_columns_and_is_told_so(shipped, width, hidden):
    table = run_table(shipped, width=width)
    headings = next(line for line in table if line.startswith("case")).split()
    assert headings == [name for name in SHORT.split() if name not in hidden]
    assert max(map(len, table[:-1])) <= width  # the last is of a single case, and whole
    said = [line for line in table if line.startswith("no room for ")]
    assert [line.split(";")[0] for line in said] == [f"no room for {', '.join(hidden)}"] * (
        hidden != []
    )


def test_the_page_on_columns_shows_this_table_and_explains_every_column():
    page = (TINY.parents[3] / "docs" / "columns.md").read_text()
    assert f"\n{SHORT}\n" in re.sub(" +", " ", page)
    explained = {
        name
        for names in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
        for name in names.split(", ")
    }
    assert set(HEADINGS) - {"case"} <= explained


def test_all_is_the_full_table(shipped):
    full = run_table(shipped, ["all"])
    assert {"band", "1st", "limits", "calibration", "contract"} <= set(full[1].split())
    assert "63.69 (48% inf)" in "\n".join(full)
    assert not any(line.startswith("calibration") for line in full)


def test_a_column_in_which_nobody_has_anything_is_left_out():
    slow = replace(of("chimle-sr16"), throughput=None)
    assert "samples/s" not in run_table([slow])[1].split()
    fast = of("cimle-sr16")
    heading, first = run_table([slow, fast])[1:3]
    assert dict(zip(heading.split(), first.split(), strict=True))["samples/s"] == "-"


class TestScope:
    def test_what_all_cases_have_in_common_is_one_line(self):
        common = "K = 20 samples an image, 3 images of 2 photographs (embedded), 64 px wide"
        assert scope([of("chimle-sr16"), of("cimle-sr16")]) == [common]
        assert run_table([of("chimle-sr16"), of("cimle-sr16")])[0] == common

    def test_a_task_or_a_case_that_differs_is_named_with_what_differs(self):
        usual = [of(f"{model}-jpeg1") for model in ("chimle", "cimle", "ddrm")]
        large = [of(f"{model}-sr16", size=128) for model in ("chimle", "cimle")]
        (line,) = scope(usual + large)
        assert line.endswith("64 px wide; sr16: 128 px wide")
        own = of("mine-sr16", size=128, groups=("x",), name="alps", n_samples=5)
        text = " ".join(map(str.strip, scope([*usual, *large, own])))
        assert "64 px wide; sr16: 128 px wide; " in text
        assert text.endswith("; mine-sr16: K = 5 samples an image, 1 image of 1 photograph (alps)")
        (line,) = scope([*usual, large[0], of("cimle-sr16")])
        assert line.endswith("64 px wide; chimle-sr16: 128 px wide")

    def test_nothing_is_said_of_what_is_not_known(self):
        assert scope([case_record()]) == ["2 images"]
        assert run_table([case_record(validity={})]) == []


BREACH = (Breach(name="seed", expected="e", seen="two draws differ"),)
WORDS = {"verdict": "under"}


class TestFolded:
    def test_nothing_is_said_where_all_is_well(self):
        calibrated = {"calibration": CalibrationVerdict(verdict="calibrated")}
        assert folded([of("chimle-sr16", **calibrated)]) == []
        assert len(run_table([of("chimle-sr16", **calibrated)])) == 3

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            ({"calibration": CalibrationVerdict(verdict="under")}, "calibration under: "),
            (
                {"calibration": CalibrationVerdict(verdict="over", expected="over")},
                "calibration over (declared): ",
            ),
            (
                {"calibration": CalibrationVerdict(verdict="not tested", reason="few")},
                "calibration not tested (few): ",
            ),
            (
                {"checks": (replace(case_record().checks[0], value=25.123, passed=False),)},
                "limit broken, validity/psnr 25.12, not >= 27: ",
            ),
            (
                {"throughput": replace(case_record().throughput, first_call_s=12.6)},
                "the first call took 10 times as long as later ones, or longer: ",
            ),
            (
                {"throughput": None, "not_measured": {"throughput": "shared"}},
                "throughput was not measured (shared): ",
            ),
            ({"contract": BREACH}, "chimle-sr16: seed: two draws differ"),
            (
                {"calibration": CalibrationVerdict(verdict="under", expected="calibrated")},
                "chimle-sr16: calibration is under, declared calibrated",
            ),
        ],
    )
    def test_what_is_not_well_is_said_once_with_its_case(self, changes, line):
        said = run_table([of("chimle-sr16", **changes), of("cimle-sr16")])[4:]
        assert len(said) == 1
        assert said[0].startswith(line)
        assert "chimle-sr16" in said[0]
        assert "cimle-sr16" not in said[0].replace("chimle-sr16", "")

    def test_a_first_call_that_is_not_long_is_not_said(self):
        quick = replace(case_record().throughput, first_call_s=12.4)  # median round 1.25 s
        assert folded([of("chimle-sr16", throughput=quick)]) == []

    def test_cases_are_named_or_those_that_are_not_meant(self):
        under = CalibrationVerdict(**WORDS)
        models = ("bicyclegan", "chimle", "cimle", "ddrm", "divco")
        every = [of(f"{model}-sr16", calibration=under) for model in models]
        assert folded(every) == ["calibration under: all cases"]
        most = [*every[:4], of("divco-sr16")]
        assert folded(most) == ["calibration under: all cases but divco-sr16"]
        some = [*every[:2], *(of(f"{model}-sr16") for model in models[2:])]
        assert folded(some) == ["calibration under: bicyclegan-sr16, chimle-sr16"]
        assert folded(every[:1]) == ["calibration under: bicyclegan-sr16"]

    def test_chosen_columns_hide_nothing_either(self):
        under = of("chimle-sr16", calibration=CalibrationVerdict(**WORDS))
        assert run_table([under], ["nfe"])[-1] == "calibration under: chimle-sr16"


def test_a_world_s_table_has_a_row_for_each_measure_and_fits():
    found = WorldRecord(value=0.5, low=0.1, high=0.25)
    names = ("bias", "spread", "coverage", "sliced_wasserstein")
    record = of("bicyclegan-decompression", world=dict.fromkeys(names, found))
    lines = run_table([record])[3:]
    assert [line.split()[1] for line in lines[1:5]] == list(names)
    assert all(line.endswith("0.500  0.100-0.250  OUTSIDE") for line in lines[1:5])
    assert max(map(len, lines)) <= 100


class TestVerdictLines:
    def test_only_what_is_not_well_has_a_line_and_the_last_counts(self):
        records = [
            of("chimle-sr16"),
            of(
                "cimle-sr16",
                status="failed",
                reason="psnr 25 < 27; seed: two draws differ",
                contract=BREACH,
            ),
            of("mine-sr16", status="measured", contract=BREACH),
            of("ddrm-sr16", status="declined", reason="only enlarges"),
            of("ndm-sr16", status="skipped", reason="no such checkpoint"),
        ]
        assert verdict_lines(records) == [
            "cimle-sr16: failed: psnr 25 < 27; seed: two draws differ",
            "mine-sr16: seed: two draws differ",
            "ddrm-sr16: declined: only enlarges",
            "cases: 1 passed, 1 failed, 1 measured, 1 declined, 1 skipped",
        ]

    @pytest.mark.parametrize(("verdict", "said"), [("fits", 0), ("below", 1), ("above", 1)])
    def test_samples_that_do_not_fit_the_noise_are_not_well(self, verdict, said):
        fit = NoiseFitRecord(
            value=1.2,
            low=None,
            high=None,
            band=(0.9, 1.1),
            verdict=verdict,
            n_measurements=9,
            per_image=(1.2,),
        )
        assert len(verdict_lines([of("mine-sr16", noise_fit=fit)])) == 1 + said
