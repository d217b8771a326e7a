"""What is said at the end, what is written down, and which status follows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from gate_records import CASES, record, row_of, snapshot, with_record

from invbench.exit_codes import ExitCode
from invbench.gate import Verdict, compare, write_report
from invbench.gate.identities import first_difference
from invbench.gate.pairs import pair_runs
from invbench.report.gate_tables import gate_lines, outcome

OTHER = {"checkpoint": "b"}


class TestClosingLine:
    @pytest.mark.parametrize(
        ("changed", "said", "status"),
        [
            ({}, "passed, identical", 0),
            ({**OTHER, "noise": 0.3}, "passed, shown no worse", 0),
            ({**OTHER, "noise": 4.0, "seed": 1}, "no regression found; 3 rows unresolved", 0),
            ({"shift": {"psnr": -0.2}}, "no regression found; 1 row changed", 0),
            ({**OTHER, "shift": {"psnr": -1.0}}, "REGRESSED: 1 regressed", 1),
            ({"shift": {"psnr": -1.0}}, "REGRESSED: 1 changed", 1),
            ({"n_samples": 5}, "1 incomparable", 3),
            (
                {**OTHER, "shift": {"psnr": 1.0}},
                "passed: 1 row improved, none worse; promote the run to keep it: `invbench",
                0,
            ),
            (
                {**OTHER, "shift": {"psnr": 1.0, "ssim": -0.0005}},
                "passed: 1 row improved, none worse by more than is tolerated; promote",
                0,
            ),
        ],
        ids=[
            *("same", "no worse", "unresolved", "changed", "regressed", "changed badly", "other"),
            *("improved", "slightly worse elsewhere"),
        ],
    )
    def test_it_says_what_was_shown(self, changed, said, status):
        report = with_record(record(**changed))
        assert outcome(report).startswith(said)
        assert report.exit_code == status
        assert ("passed" in outcome(report)) is report.passed

    def test_the_worst_that_is_not_excluded_is_named(self):
        report = with_record(record(**OTHER, noise=4.0, seed=1))
        worst = max(report.having(Verdict.UNRESOLVED), key=lambda r: r.ci95[1] / r.tolerance)
        end = f"worst could be {worst.ci95[1]:.3g}, {worst.metric} of chimle-sr16)"
        assert outcome(report).endswith(end)

    def test_nothing_compared_is_no_pass(self):
        for report in (
            compare(snapshot("a", []), snapshot("b", [])),
            compare(snapshot("a", []), snapshot("b", [record()])),
            compare(snapshot("a", [record()]), snapshot("b", [record(n_samples=3)])),
        ):
            assert outcome(report) == "nothing compared"
            assert report.exit_code is ExitCode.INCOMPARABLE

    def test_rows_that_changed_name_their_images(self):
        lines = gate_lines(with_record(record(shift={"psnr": -1.0})), every_row=False)
        (row,) = [line for line in lines if line.startswith("chimle-sr16")]
        assert row.split()[:3] == ["chimle-sr16", "psnr", "changed"]
        said = " ".join(map(str.strip, lines))
        assert "changed (16 images, +1.000 on photo-" in said
        assert "and 13 more): chimle-sr16 psnr" in said

    @pytest.mark.parametrize("width", [120, 100])
    def test_its_table_and_reasons_fit_a_terminal(self, width):
        case = "bicyclegan-decompression"
        before = snapshot("a", [record(case)])
        found = record(case, **OTHER, noise=4.0, seed=1, shift={"psnr": -1e3})
        lines = gate_lines(compare(before, snapshot("b", [found])), width=width)
        table = lines[: lines.index("")]
        assert max(map(len, table)) <= width
        assert table[0].split()[:3] == ["case", "metric", "verdict"]
        assert "no room for p boot, p flips" in " ".join(table)

    def test_a_slight_loss_is_named(self):
        lines = gate_lines(with_record(record(**OTHER, shift={"psnr": -0.2})))
        assert "worse, by no more than is tolerated: chimle-sr16 psnr by 0.2" in lines


class TestVersions:
    def with_facts(self, **facts):
        return replace(snapshot("run", [record()]), facts=facts)

    def test_every_version_that_differs_is_printed(self):
        old = {"packages": {"torch": "2.14.1", "pillow": "12"}, "python": "3.11"}
        new = {"packages": {"torch": "2.15.0", "pillow": "12", "lpips": "1"}, "python": "3.12"}
        report = compare(
            self.with_facts(invbench="0.1", environment=old),
            self.with_facts(invbench="0.2", environment=new),
        )
        assert set(report.notes) == {
            "version differs: torch 2.14.1 -> 2.15.0",
            "version differs: lpips ? -> 1",
            "version differs: python 3.11 -> 3.12",
            "version differs: invbench 0.1 -> 0.2",
        }
        assert report.notes[0] in gate_lines(report)

    def test_equal_versions_are_not(self):
        environment = {"packages": {"torch": "2.14.1"}, "gpu": None}
        both = [self.with_facts(invbench="0.1", environment=environment) for _ in range(2)]
        assert compare(*both).notes == ()


class TestReport:
    def build(self, name, **changes):
        cases = changes.pop("cases", CASES)
        return snapshot(name, [record(case, **changes) for case in cases])

    def test_a_selection_is_compared_alone_and_says_so(self):
        some = self.build("b", cases=CASES[:1])
        report = compare(self.build("a"), some, cases={"chimle-sr16"})
        assert report.exit_code is ExitCode.OK
        assert report.selected
        assert {row.case for row in report.rows} == {"chimle-sr16"}
        missing = compare(self.build("a"), some, cases=set(CASES[:2]))
        assert missing.missing_cases == ("chimle-colorization",)

    @pytest.mark.parametrize("mode", ["warn", "off"])
    def test_modes_that_never_fail(self, mode):
        report = with_record(record(**OTHER, shift={"psnr": -2.0}), mode=mode)
        assert row_of(report).verdict is Verdict.REGRESSED
        assert not report.fails(row_of(report))
        assert report.exit_code is ExitCode.OK

    def test_the_same_runs_give_the_same_report(self):
        left = self.build("a", n_images=20)
        right = self.build("b", noise=2.0, seed=5, n_images=20, **OTHER)
        assert compare(left, right) == compare(left, right)
        assert compare(left, right, seed=1) != compare(left, right)

    def test_it_is_json_of_the_schema(self, tmp_path):
        report = with_record(record(**OTHER, noise=1.0, seed=1))
        write_report(report, tmp_path / "gate.json")
        written = json.loads((tmp_path / "gate.json").read_text())
        assert written["schema"] == "invbench.gate/2"
        assert written["family_size"] == 3
        keys = {"case", "metric", "n", "estimate", "ci95", "p_flips", "p_resampled", "mde"}
        assert keys | {"tolerance", "verdict", "images"} <= set(written["rows"][0])


class TestPairing:
    def test_worse_is_positive_in_either_direction(self):
        left = snapshot("a", [record()])
        right = snapshot("b", [record(shift={"psnr": -1.0, "lpips_random": 0.1})])
        worse = {pair.metric: pair.worse.mean() for pair in pair_runs(left, right).pairs}
        assert worse["psnr"] == pytest.approx(1.0)
        assert worse["lpips_random"] == pytest.approx(0.1)

    def test_a_key_that_one_side_lacks_is_a_difference(self):
        assert first_difference({"a": {"b": 1}}, {"a": {}}, "x") == "x.a.b: 1 -> None"
        assert first_difference({"a": [1, 2]}, {"a": [1, 2]}, "x") is None
