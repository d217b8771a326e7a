"""What was measured under other conditions, or not at all, is named and never passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gate_records import CASES, metric, record, row_of, snapshot, with_record

from invbench.errors import InvalidRecordError
from invbench.exit_codes import ExitCode
from invbench.gate import Verdict, compare


def build(name, *, profile="tiny", cases=CASES, **changes):
    return snapshot(name, [record(case, **changes) for case in cases], profile=profile)


def runs(baseline=None, candidate=None, **options):
    """Compare two runs of all cases."""
    return compare(build("a", **(baseline or {})), build("b", **(candidate or {})), **options)


class TestIncomparable:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"operator_version": "2"}, "task.operator.version: '1' -> '2'"),
            ({"data_sha256": "e"}, "task.dataset.sha256: 'd' -> 'e'"),
            ({"n_samples": 50}, "sampling.n_samples: 20 -> 50"),
            ({"sampling_seed": 1}, "sampling.seed: 0 -> 1"),
            ({"dtype": "bfloat16"}, "sampling.dtype: 'float32' -> 'bfloat16'"),
            ({"n_images": 15}, "task.dataset.groups: 16 entries -> 15 entries"),
            ({"profile": "small"}, "profile: 'tiny' -> 'small'"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_other_conditions_are_named(self, change, reason):
        report = runs({}, change)
        assert {(row.metric, row.verdict, row.reason) for row in report.rows} == {
            ("all", Verdict.INCOMPARABLE, reason)
        }
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_other_weights_are_what_is_compared(self):
        assert runs({}, {"checkpoint": "b"}).exit_code is ExitCode.OK

    def test_another_version_of_a_metric_bars_that_metric_alone(self):
        report = runs({}, {"metric_version": "2"})
        assert row_of(report).reason == "psnr.version: '1' -> '2'"
        assert row_of(report, metric="coverage_error").verdict is Verdict.IDENTICAL
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_a_missing_case_fails_unless_allowed(self):
        report = runs({}, {"cases": CASES[:2]})
        assert row_of(report, "ddrm-sr16", "all").reason == "missing in the candidate"
        assert report.exit_code is ExitCode.INCOMPARABLE
        allowed = runs({}, {"cases": CASES[:2]}, allow_missing=True)
        assert allowed.missing_cases == ("ddrm-sr16",)
        assert allowed.exit_code is ExitCode.OK

    def test_a_renamed_case_is_missing_and_new(self):
        report = runs({}, {"cases": (*CASES[:2], "ddrm2-sr16")})
        assert (report.missing_cases, report.new_cases) == (("ddrm-sr16",), ("ddrm2-sr16",))
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_new_cases_alone_are_no_offence_and_no_measurement(self):
        more = runs({"cases": CASES[:2]}, {})
        assert (more.new_cases, more.exit_code) == (("ddrm-sr16",), ExitCode.OK)
        nothing = runs({"cases": ()}, {})
        assert nothing.exit_code is ExitCode.INCOMPARABLE

    @pytest.mark.parametrize("where", ["baseline", "candidate"])
    @pytest.mark.parametrize("status", ["skipped", "error"])
    def test_a_case_that_one_run_did_not_measure(self, status, where):
        gone = replace(record(), status=status, reason="no weights", validity={}, interval=None)
        left, right = (gone, record()) if where == "baseline" else (record(), gone)
        report = compare(snapshot("a", [left]), snapshot("b", [right]))
        assert row_of(report, metric="all").reason == f"{status} in the {where}: no weights"
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_a_case_that_no_run_measured_is_listed(self):
        gone = replace(record(), status="skipped", validity={}, interval=None)
        both = [snapshot(name, [gone, record("ddrm-sr16")]) for name in "ab"]
        report = compare(*both)
        assert report.unmeasured_cases == ("chimle-sr16",)
        assert report.exit_code is ExitCode.OK

    def test_a_case_below_its_limits_is_compared(self):
        report = with_record(replace(record(), status="failed"))
        assert row_of(report).verdict is Verdict.IDENTICAL

    def test_a_score_that_is_not_finite(self):
        values = np.array(record().validity["psnr"].per_image)
        values[3] = np.nan
        spoiled = record()
        spoiled = replace(spoiled, validity=spoiled.validity | {"psnr": metric(values, True)})
        report = with_record(spoiled)
        assert row_of(report).verdict is Verdict.INCOMPARABLE
        assert "not finite on photo-3 (1 of 16 images)" in row_of(report).reason
        assert row_of(report, metric="ssim").verdict is Verdict.IDENTICAL
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_scores_that_do_not_match_their_images(self):
        short = replace(record().interval, coverage=0.7, coverage_per_image=(0.7,) * 15)
        with pytest.raises(InvalidRecordError, match="not one number for each image"):
            snapshot("b", [replace(record(), interval=short)])

    def test_a_metric_that_is_gone_is_named_and_a_new_one_noted(self):
        less = {name: m for name, m in record().validity.items() if name != "ssim"}
        more = less | {"vif": record().validity["ssim"]}
        report = with_record(replace(record(), validity=more))
        assert row_of(report, metric="ssim").reason == "not measured in the candidate"
        assert report.exit_code is ExitCode.INCOMPARABLE
        assert "chimle-sr16: vif is new, not compared" in report.notes
        left_out = with_record(replace(record(), validity=more), without={"ssim"})
        assert left_out.exit_code is ExitCode.OK
        assert "left out: ssim" in left_out.notes

    def test_a_metric_without_a_tolerance_is_not_passed(self):
        strange = replace(record(), validity={"vif": record().validity["ssim"]})
        both = [snapshot(name, [strange]) for name in "ab"]
        assert "no tolerance" in row_of(compare(*both), metric="vif").reason

    def test_a_regression_outranks_what_cannot_be_compared(self):
        report = compare(
            snapshot("a", [record(), record("ddrm-sr16")]),
            snapshot("b", [record(shift={"psnr": -2.0})]),
        )
        assert report.exit_code is ExitCode.FAILED


class TestFacts:
    def peak(self, size, key="GPU/cu13"):
        return replace(
            record(),
            throughput=replace(record().throughput, peak_allocated_bytes=size, environment_key=key),
        )

    @pytest.mark.parametrize(
        ("nfe", "verdict"),
        [(100, Verdict.IDENTICAL), (101, Verdict.REGRESSED), (99, Verdict.IMPROVED)],
    )
    def test_evaluations_are_exact(self, nfe, verdict):
        report = runs({"nfe": 100}, {"nfe": nfe})
        assert {row.verdict for row in report.rows if row.metric == "nfe"} == {verdict}

    def test_evaluations_no_longer_counted(self):
        assert runs({"nfe": 100}, {"nfe": None}).exit_code is ExitCode.INCOMPARABLE
        assert runs({"nfe": None}, {"nfe": 100}).exit_code is ExitCode.OK

    @pytest.mark.parametrize(
        ("size", "verdict"), [(1000, Verdict.IDENTICAL), (1001, Verdict.REGRESSED)]
    )
    def test_memory_is_exact(self, size, verdict):
        both = [snapshot(str(n), [self.peak(n)]) for n in (1000, size)]
        assert row_of(compare(*both), metric="peak_allocated_bytes").verdict is verdict

    def test_memory_is_not_compared_across_environments(self):
        left = snapshot("a", [self.peak(1000)])
        right = snapshot("b", [self.peak(9000, "GPU/cu14")])
        report = compare(left, right)
        assert report.exit_code is ExitCode.OK
        assert "GPU/cu13 against GPU/cu14" in report.notes[0]


class TestExactSamples:
    """A PSNR that is infinite for many samples says where it was capped; errors are compared."""

    def exact(self, share, error, **changes):
        plain = record(**changes)
        psnr = replace(
            plain.validity["psnr"],
            n_nonfinite=round(share * 16 * 20),
            squared_error_per_image=tuple(error + 0.001 * i for i in range(16)),
        )
        return replace(plain, validity=plain.validity | {"psnr": psnr})

    def judged(self, before, after):
        return compare(snapshot("a", [before]), snapshot("b", [after]))

    @pytest.mark.parametrize("share", [0.0, 0.05])
    def test_few_leave_the_psnr(self, share):
        report = self.judged(self.exact(0, 1.0), self.exact(share, 3.0))
        assert row_of(report).verdict is Verdict.IDENTICAL
        assert "squared_error" not in {row.metric for row in report.rows}

    @pytest.mark.parametrize("shares", [(0.5, 0.0), (0.0, 0.5), (0.3, 0.5)])
    def test_many_on_either_side_make_it_the_squared_error(self, shares):
        before, after = (self.exact(share, 0.2) for share in shares)
        report = self.judged(before, after)
        assert row_of(report, metric="squared_error").verdict is Verdict.IDENTICAL
        assert "psnr" not in {row.metric for row in report.rows}
        said = f"psnr is infinite for {shares[0]:.0%} and {shares[1]:.0%} of the samples"
        assert any(said in note for note in report.notes)

    def test_the_cap_moves_no_verdict(self):
        """One level of a few pixels turns an infinite PSNR of 100 into 60: 20 dB of nothing."""
        before = self.exact(0.5, 0.002)
        after = self.exact(0.4, 0.004, shift={"psnr": -20.0})
        assert self.judged(before, after).passed
        worse = self.judged(before, self.exact(0.4, 0.2, checkpoint="b"))
        assert row_of(worse, metric="squared_error").verdict is Verdict.REGRESSED

    def test_a_record_that_does_not_say_the_error_is_not_comparable(self):
        before = self.exact(0.5, 0.2)
        old = replace(before.validity["psnr"], squared_error_per_image=())
        report = self.judged(replace(before, validity=before.validity | {"psnr": old}), before)
        assert "0 and 16 scores of 16 images" in row_of(report, metric="squared_error").reason
