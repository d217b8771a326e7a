"""`invbench compare` as a user runs it: its exit status, its files, its tables, and no torch."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gate_records import CASES, record, snapshot, write_run

from invbench.cli import main
from invbench.errors import InvalidRecordError
from invbench.exit_codes import ExitCode
from invbench.gate import Timing, compare_timings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Give a function that writes a run of all cases and returns its folder."""

    def write(name, *, cases=CASES, **changes):
        return str(write_run(tmp_path / name, [record(case, **changes) for case in cases]))

    return write


class TestExitStatus:
    def test_0_if_nothing_got_worse(self, run, capsys):
        assert main(["compare", run("a"), run("b", noise=0.3)]) is ExitCode.OK
        shown = capsys.readouterr().out
        assert "gate (regression): passed" in shown
        assert "sign-flip max-T over 9 rows of all cases" in shown

    def test_1_if_something_did(self, run, capsys):
        assert main(["compare", run("a"), run("b", shift={"psnr": -1.0})]) is ExitCode.FAILED
        assert "gate (regression): FAILED, 3 regressed" in capsys.readouterr().out

    def test_1_if_no_loss_is_excluded_and_that_is_asked_for(self, run):
        runs = [run("a"), run("b", noise=4.0, seed=1)]
        assert main(["compare", *runs]) is ExitCode.OK
        assert main(["compare", *runs, "--gate", "noninferiority"]) is ExitCode.FAILED

    def test_2_if_the_input_is_unusable(self, run, tmp_path, capsys):
        runs = [run("a"), run("b")]
        assert main(["compare", *runs, "--alpha", "5"]) is ExitCode.USAGE
        with pytest.raises(SystemExit) as stopped:
            main(["compare", *runs, "--gate", "harder"])
        assert stopped.value.code == ExitCode.USAGE
        (tmp_path / "b" / "cases" / "ddrm-sr16.json").write_text("{")
        assert main(["compare", *runs]) is ExitCode.USAGE
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
        assert "nothing was compared" in capsys.readouterr().out

    def test_4_if_a_run_is_not_there(self, run, tmp_path, capsys):
        assert main(["compare", run("a"), str(tmp_path / "none")]) is ExitCode.MISSING
        assert "there is no run.json" in capsys.readouterr().err

    @pytest.mark.parametrize("gate", ["warn", "off"])
    def test_0_if_the_gate_only_shows(self, run, gate, capsys):
        runs = [run("a"), run("b", shift={"psnr": -1.0})]
        assert main(["compare", *runs, "--gate", gate]) is ExitCode.OK
        shown = capsys.readouterr().out
        assert ("gate (warn): 3 regressed" in shown) is (gate == "warn")


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
    runs = [run("a"), run("b", shift={"ssim": -0.1}, noise=0.5)]
    main(["compare", *runs, "--json", str(files[0]), "--markdown", str(files[1])])
    written = json.loads(files[0].read_text())
    assert written["exit_code"] == 1
    assert len(written["rows"]) == 3 * 5
    text = files[1].read_text()
    assert text.startswith("## Gate: FAILED, 3 regressed\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 15
    assert len({line.count("|") for line in rows}) == 1


class TestTiming:
    def timing(self, rates, *, key="GPU/cu13", rounds=9, seed=0, noise=0.005):
        """Time processes at so many samples a second, with little noise between rounds."""
        draws = np.random.default_rng(seed)
        seconds = tuple(
            tuple((20 / rate * np.exp(noise * draws.standard_normal(rounds))).tolist())
            for rate in rates
        )
        return Timing(environment_key=key, samples_per_round=20, seconds=seconds)

    def speeds(self, before, after):
        plain = snapshot("run", [])
        sides = [
            replace(plain, timings=timing if isinstance(timing, dict) else {"case": timing})
            for timing in (before, after)
        ]
        return compare_timings(*sides)

    def test_one_process_is_shown_and_never_judged(self):
        (speed,) = self.speeds(self.timing([100]), self.timing([50], seed=1))
        assert speed.ratio == pytest.approx(0.5, rel=0.02)
        assert speed.ci95[0] < 0.5 * 1.01 < speed.ci95[1] * 1.02
        assert speed.verdict == "untested"
        assert speed.reason == "1 process, a test needs 5"

    def test_another_environment_is_shown_and_never_judged(self):
        rates = [100, 101, 99, 100, 102]
        before, after = self.timing(rates), self.timing([r / 2 for r in rates], key="CPU")
        (speed,) = self.speeds(before, after)
        assert (speed.verdict, speed.reason) == ("untested", "other environment")
        assert (speed.baseline_key, speed.candidate_key) == ("GPU/cu13", "CPU")

    @pytest.mark.parametrize(
        ("factor", "verdict"), [(0.8, "slower"), (1.25, "faster"), (0.97, "same"), (1.0, "same")]
    )
    def test_five_processes_are_judged(self, factor, verdict):
        rates = np.array([100, 101, 99, 100.5, 99.5])
        after = self.timing(factor * rates[::-1], seed=1)
        (speed,) = self.speeds(self.timing(rates), after)
        assert speed.verdict == verdict
        assert speed.ratio == pytest.approx(factor, rel=0.01)
        assert speed.ci95[0] < factor < speed.ci95[1]
        assert speed.tolerance == pytest.approx(0.05)

    def test_what_processes_of_the_baseline_differ_by_is_tolerated(self):
        restless = self.timing([100, 110, 90, 105, 95])
        (speed,) = self.speeds(restless, self.timing([85] * 5, seed=1))
        assert speed.tolerance > 0.2
        assert speed.verdict == "same"

    def test_other_samples_per_round_are_no_other_speed(self):
        slow = self.timing([100], noise=0)
        twice = replace(
            slow, samples_per_round=40, seconds=(tuple(2 * s for s in slow.seconds[0]),)
        )
        assert self.speeds(slow, twice)[0].ratio == pytest.approx(1.0)

    def test_cases_are_adjusted_for_their_number(self):
        rates = [100, 106, 94, 103, 97]

        def case(number, factor):
            return self.timing([r * factor for r in rates], seed=number)

        few = {"0": case(0, 1.0)}, {"0": case(100, 0.9)}
        many = (
            {str(k): case(k, 1.0) for k in range(24)},
            {"0": case(100, 0.9)} | {str(k): case(100 + k, 1.0) for k in range(1, 24)},
        )
        alone, among = self.speeds(*few)[0], self.speeds(*many)[0]
        assert alone.p_adj < among.p_adj
        assert among.p_adj == pytest.approx(min(1, 24 * alone.p_adj))

    def test_noise_between_processes_is_no_alarm(self):
        alarms = 0
        for seed in range(100):
            draws = np.random.default_rng(seed)
            before, after = 100 * np.exp(0.02 * draws.standard_normal((2, 5)))
            pair = self.timing(before, seed=seed), self.timing(after, seed=seed + 1000)
            alarms += self.speeds(*pair)[0].verdict != "same"
        assert alarms <= 5  # 1 or fewer are expected

    def test_a_case_that_one_side_did_not_time_is_shown(self):
        both = {"a": self.timing([100]), "b": self.timing([100])}
        speeds = self.speeds(both, {"b": self.timing([100]), "c": self.timing([100])})
        assert [(speed.case, speed.reason) for speed in speeds] == [
            ("a", "not timed in the candidate"),
            ("b", "1 process, a test needs 5"),
            ("c", "not timed in the baseline"),
        ]
        assert [speed.ratio is None for speed in speeds] == [True, False, True]

    def test_processes_without_seconds_are_named(self):
        bad = Timing(environment_key="k", samples_per_round=1, seconds=((0.0, 1.0),))
        with pytest.raises(InvalidRecordError, match="rounds without seconds"):
            self.speeds(bad, bad)

    def test_a_file_of_processes_is_read_and_fails_the_gate(self, run, tmp_path, capsys):
        runs = [run("a"), run("b")]
        for name, factor in (("a", 1.0), ("b", 2.0)):
            seconds = [[factor * (1 + 0.001 * p), factor] for p in range(5)]
            entry = {"environment_key": "k", "samples_per_round": 20, "seconds": seconds}
            text = json.dumps({"schema": "invbench.timing/1", "cases": {"chimle-sr16": entry}})
            (tmp_path / name / "timing.json").write_text(text)
        assert main(["compare", *runs]) is ExitCode.OK
        assert main(["compare", *runs, "--timing"]) is ExitCode.FAILED
        shown = capsys.readouterr().out
        assert "x0.500" in shown
        assert "5/5" in shown
        assert "speed of 2 cases is shown and not judged: 1 process, a test needs 5" in shown
        assert main(["compare", *runs, "--timing", "--gate", "warn"]) is ExitCode.OK


class TestSuite:
    """`benchmarks/test_gate.py`, on a run whose cases are done."""

    def gate(self, results, *arguments):
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "benchmarks/test_gate.py"),
                *("-p", "no:cacheprovider", f"--invbench-results={results}", "--invbench-resume"),
                *arguments,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def test_each_case_is_judged_and_the_worst_fails(self, run):
        baseline = run("a")
        worse = run("b", shift={"psnr": -1.0}, cases=CASES[:2])
        done = self.gate(worse, f"--invbench-baseline={baseline}", "--invbench-alpha=0.04")
        assert "3 failed, 1 passed, 21 skipped" in done.stdout
        assert "psnr regressed, worse by 1, tolerated 0.25" in done.stdout
        assert "all incomparable, missing in the candidate" in done.stdout
        assert "rows of all cases, 10001 flips, family-wise error 0.04" in done.stdout

    def test_selected_cases_are_compared_alone(self, run, tmp_path):
        baseline = run("a")
        worse = run("b", shift={"psnr": -1.0}, cases=CASES[:1])
        done = self.gate(
            worse, "-k", "chimle-sr16", f"--invbench-baseline={baseline}", "--invbench-gate=warn"
        )
        assert "1 passed, 24 deselected" in done.stdout
        assert "rows of the selected cases" in done.stdout
        assert "gate (warn): 1 regressed" in done.stdout
        written = json.loads((tmp_path / "b" / "gate.json").read_text())
        assert (written["selected"], written["missing_cases"]) == (True, [])

    def test_it_comes_last_and_the_order_of_the_others_is_kept(self):
        hooks = runpy.run_path(str(ROOT / "benchmarks" / "conftest.py"))
        items = [SimpleNamespace(path=Path(f"{name}.py")) for name in ("b", "test_gate", "a")]
        hooks["pytest_collection_modifyitems"](items)
        assert [item.path.stem for item in items] == ["b", "a", "test_gate"]
