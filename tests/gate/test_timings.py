"""Speeds are judged between processes on one machine, and shown otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gate_records import CASES, record, snapshot, write_run
from run_records import timing_record

from invbench.cli import main
from invbench.errors import InvalidRecordError
from invbench.exit_codes import ExitCode
from invbench.gate import Timing, compare_timings
from invbench.runs import RunStore, TimingRecord


@pytest.fixture
def run(tmp_path):
    """Give a function that writes a run of all cases and returns its folder."""
    return lambda name: str(write_run(tmp_path / name, [record(case) for case in CASES]))


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
            record = timing_record(environment_key="k", samples_per_round=20, seconds=seconds)
            RunStore(tmp_path / name).write_timing(record)
        assert main(["compare", *runs]) is ExitCode.OK
        assert main(["compare", *runs, "--timing"]) is ExitCode.FAILED
        shown = capsys.readouterr().out
        assert "x0.500" in shown
        assert "5/5" in shown
        assert "speed of 2 cases is shown and not judged: 1 process, a test needs 5" in shown
        assert main(["compare", *runs, "--timing", "--gate", "warn"]) is ExitCode.OK


class TestTimingsAlone:
    """Two runs of `invbench time` hold no scores; their speeds are what is compared."""

    def write(self, folder, factor, *, cases=("chimle-sr16",), processes=5):
        seconds = [[factor * (1 + 0.001 * p), factor] for p in range(processes)]
        write_run(folder, [], expected=[])
        timed = timing_record(environment_key="k", samples_per_round=20, seconds=seconds)
        (entry,) = timed.cases.values()
        RunStore(folder).write_timing(TimingRecord(cases=dict.fromkeys(cases, entry)))
        return str(folder)

    @pytest.mark.parametrize(
        ("factor", "status", "said"),
        [
            (1.0, ExitCode.OK, "passed, no slower"),
            (0.5, ExitCode.OK, "passed, no slower"),
            (2.0, ExitCode.FAILED, "REGRESSED: 1 slower"),
        ],
    )
    def test_the_status_follows_the_speed(self, tmp_path, capsys, factor, status, said):
        runs = [self.write(tmp_path / "a", 1.0), self.write(tmp_path / "b", factor)]
        assert main(["compare", *runs, "--timing"]) is status
        assert f"gate (regression): {said}" in capsys.readouterr().out

    def test_too_few_processes_compare_nothing(self, tmp_path, capsys):
        runs = [self.write(tmp_path / name, 1.0, processes=2) for name in "ab"]
        assert main(["compare", *runs, "--timing"]) is ExitCode.INCOMPARABLE
        assert "gate (regression): nothing compared" in capsys.readouterr().out

    def test_a_case_that_is_no_longer_timed_is_no_pass(self, tmp_path):
        before = self.write(tmp_path / "a", 1.0, cases=("chimle-sr16", "ndm-sr16"))
        after = self.write(tmp_path / "b", 1.0)
        assert main(["compare", before, after, "--timing"]) is ExitCode.INCOMPARABLE
        assert main(["compare", before, after, "--timing", "--allow-missing"]) is ExitCode.OK
