"""`invbench compare` as a user runs it: its exit status, its files, its tables, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gate_records import CASES, record, write_run

from invbench.cli import main
from invbench.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Give a function that writes a run of all cases and returns its folder."""

    def write(name, *, cases=CASES, **changes):
        return str(write_run(tmp_path / name, [record(case, **changes) for case in cases]))

    return write


OTHER = {"checkpoint": "b"}


class TestExitStatus:
    def test_0_if_nothing_changed(self, run, capsys):
        assert main(["compare", run("a"), run("b")]) is ExitCode.OK
        assert "gate (regression): passed, identical" in capsys.readouterr().out

    def test_0_if_nothing_is_shown_to_be_worse(self, run, capsys):
        assert main(["compare", run("a"), run("b", noise=0.3, **OTHER)]) is ExitCode.OK
        shown = capsys.readouterr().out
        assert "gate (regression): passed, shown no worse" in shown
        assert "9 rows of all cases together" in shown

    def test_1_if_something_is(self, run, capsys):
        runs = [run("a"), run("b", shift={"psnr": -1.0}, **OTHER)]
        assert main(["compare", *runs]) is ExitCode.FAILED
        assert "gate (regression): REGRESSED: 3 regressed" in capsys.readouterr().out

    def test_1_if_an_image_of_the_same_weights_lost_more_than_tolerated(self, run, capsys):
        assert main(["compare", run("a"), run("b", shift={"psnr": -0.3})]) is ExitCode.FAILED
        assert "REGRESSED: 3 changed" in capsys.readouterr().out

    def test_1_if_no_loss_is_excluded_and_that_is_asked_for(self, run, capsys):
        runs = [run("a"), run("b", noise=4.0, seed=1, **OTHER)]
        assert main(["compare", *runs]) is ExitCode.OK
        assert "no regression found; 9 rows unresolved (worst could be" in capsys.readouterr().out
        assert main(["compare", *runs, "--gate", "noninferiority"]) is ExitCode.FAILED

    def test_2_if_an_option_is_unusable(self, run):
        runs = [run("a"), run("b")]
        for alpha in ("5", "2", "0.0002"):
            with pytest.raises(SystemExit) as stopped:
                main(["compare", *runs, "--alpha", alpha])
            assert stopped.value.code == ExitCode.USAGE
        with pytest.raises(SystemExit) as stopped:
            main(["compare", *runs, "--gate", "harder"])
        assert stopped.value.code == ExitCode.USAGE

    def test_4_if_a_record_is_damaged(self, run, tmp_path, capsys):
        runs = [run("a"), run("b")]
        (tmp_path / "b" / "cases" / "ddrm-sr16.json").write_text("{")
        assert main(["compare", *runs]) is ExitCode.MISSING
        assert "ddrm-sr16.json" in capsys.readouterr().err

    def test_3_if_cases_are_gone(self, run, capsys):
        runs = [run("a"), run("b", cases=CASES[:1])]
        assert main(["compare", *runs]) is ExitCode.INCOMPARABLE
        assert "missing in the candidate" in capsys.readouterr().out
        assert main(["compare", *runs, "--allow-missing"]) is ExitCode.OK

    def test_3_if_runs_do_not_compare(self, run, capsys):
        runs = [run("a"), run("b", operator_version="2")]
        assert main(["compare", *runs]) is ExitCode.INCOMPARABLE
        assert "task.operator.version: '1' -> '2'" in capsys.readouterr().out

    def test_3_if_nothing_was_measured(self, run, capsys):
        runs = [run("a", cases=()), run("b", cases=())]
        assert main(["compare", *runs]) is ExitCode.INCOMPARABLE
        assert "gate (regression): nothing compared" in capsys.readouterr().out

    def test_4_if_a_run_is_not_there(self, run, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(["compare", run("a"), "none"]) is ExitCode.MISSING
        assert capsys.readouterr().err.endswith("none: no such file or folder\n")
        assert main(["baseline", "promote", run("a")]) is ExitCode.OK
        assert main(["compare", "fixtures/baselines/cpu/a.json", run("a")]) is ExitCode.MISSING
        said = "no such file or folder; baselines here: fixtures/baselines/cpu/tiny.json"
        assert said in capsys.readouterr().err
        (tmp_path / "empty").mkdir()
        assert main(["compare", run("a"), "empty"]) is ExitCode.MISSING
        assert "empty: not a run, there is no run.json" in capsys.readouterr().err

    @pytest.mark.parametrize("gate", ["warn", "off"])
    def test_0_if_the_gate_only_shows(self, run, gate, capsys):
        runs = [run("a"), run("b", shift={"psnr": -1.0})]
        assert main(["compare", *runs, "--gate", gate]) is ExitCode.OK
        shown = capsys.readouterr().out
        assert ("gate (warn): REGRESSED: 3 changed" in shown) is (gate == "warn")


def test_it_needs_no_torch_from_first_to_last(run):
    code = (
        "import sys; from invbench.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(99 if 'torch' in sys.modules else status)"
    )
    arguments = ["compare", run("a"), run("b", shift={"psnr": -1.0}), "--timing"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 1, done.stderr


def test_reports_are_written_as_json_and_markdown(run, tmp_path):
    files = [tmp_path / "new" / "gate.json", tmp_path / "new" / "gate.md"]
    runs = [run("a"), run("b", shift={"ssim": -0.1}, noise=0.5, **OTHER)]
    main(["compare", *runs, "--json", str(files[0]), "--markdown", str(files[1])])
    written = json.loads(files[0].read_text())
    assert written["exit_code"] == 1
    assert len(written["rows"]) == 3 * 5
    text = files[1].read_text()
    assert text.startswith("## Gate: REGRESSED: 3 regressed\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 15
    assert len({line.count("|") for line in rows}) == 1
