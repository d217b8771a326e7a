"""Other weights: means are compared, by photograph, and a verdict says what was shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gate_records import CASES, metric, record, row_of, snapshot, with_record
from run_records import case_record

from invbench.exit_codes import ExitCode
from invbench.gate import MIN_PHOTOGRAPHS, TOLERANCES, Verdict, compare
from invbench.gate.judging import table_of
from invbench.gate.pairs import pair_runs
from invbench.gate.scores import scores
from invbench.gate.statistics import InvalidAlphaError


def retrained(case="chimle-sr16", **changes):
    return record(case, checkpoint="b", **changes)


def of_differences(worse, groups=None, alpha=0.05):
    """Compare two records whose PSNR differs by ``worse``, positive is a loss."""
    n = len(worse)
    groups = groups or [f"photo-{i}" for i in range(n)]
    before = record(n_images=n, groups=groups)
    after = retrained(n_images=n, groups=groups)
    values = np.array(before.validity["psnr"].per_image) - worse
    after = replace(after, validity=after.validity | {"psnr": metric(values, True)})
    report = compare(snapshot("a", [before]), snapshot("b", [after]), alpha=alpha)
    return row_of(report), report


def mostly_a_little_worse(n, seed=0):
    draws = np.random.default_rng(seed).standard_normal(n)
    return np.exp(0.32) - np.exp(0.8 * draws)


class TestVerdicts:
    def test_other_weights_with_equal_scores_are_identical(self):
        report = with_record(retrained())
        assert {row.verdict for row in report.rows} == {Verdict.IDENTICAL}
        assert report.passed

    def test_a_small_change_is_shown_to_be_no_worse(self):
        report = with_record(retrained(noise=0.3, seed=1))
        found = row_of(report)
        assert found.verdict is Verdict.NO_WORSE
        assert found.ci95[1] < found.tolerance
        assert report.passed
        assert report.family_size == 3

    @pytest.mark.parametrize(
        ("metric", "shift"), [("psnr", -1.5), ("ssim", -0.03), ("lpips_random", 0.03)]
    )
    def test_a_planted_regression_is_found_and_nothing_else(self, metric, shift):
        report = with_record(retrained(shift={metric: shift}, noise=1.0, seed=1))
        (found,) = report.losses
        assert (found.verdict, found.metric) == (Verdict.REGRESSED, metric)
        assert found.estimate == pytest.approx(abs(shift), rel=0.3)
        assert found.ci95[0] < found.estimate < found.ci95[1]
        assert max(found.p_flips, found.p_resampled) < 0.05
        assert report.exit_code is ExitCode.FAILED

    @pytest.mark.parametrize(
        ("metric", "shift"), [("psnr", 1.5), ("ssim", 0.03), ("lpips_random", -0.03)]
    )
    def test_an_improvement_is_named_and_passes(self, metric, shift):
        report = with_record(retrained(shift={metric: shift}, noise=0.3, seed=1))
        found = row_of(report, metric=metric)
        assert found.verdict is Verdict.IMPROVED
        assert found.estimate < 0
        assert report.passed

    def test_a_slow_drift_within_the_tolerance_is_named(self):
        report = with_record(retrained(shift={"psnr": -0.2}))
        found = row_of(report)
        assert (found.verdict, found.p_flips < 0.001) == (Verdict.NO_WORSE, True)
        assert found.tolerance == TOLERANCES["psnr"].loss
        assert found in report.slight_losses

    def test_what_may_be_chance_is_unresolved_and_says_what_is_not_excluded(self):
        report = with_record(retrained(noise=4.0, seed=1))
        found = row_of(report)
        assert found.verdict is Verdict.UNRESOLVED
        assert found.ci95[1] > found.tolerance
        assert f"a loss of {found.ci95[1]:.3g} is not excluded" in found.reason
        assert found.photographs_needed > 16
        assert report.exit_code is ExitCode.OK
        assert not report.passed

    @pytest.mark.parametrize("gained", [True, False])
    def test_a_row_in_which_one_photograph_differs_hides_no_loss_of_others(self, gained):
        groups = [f"photo-{i}" for i in range(48)]
        before = record(n_images=48, groups=groups)
        after = retrained(n_images=48, groups=groups, shift={"psnr": -1.5}, noise=1.0, seed=1)
        nearly_equal = np.array(before.validity["ssim"].per_image)
        nearly_equal[3] += 0.002 if gained else -0.002
        validity = after.validity | {"ssim": metric(nearly_equal, True)}
        after = replace(after, validity=validity)
        report = compare(snapshot("a", [before]), snapshot("b", [after]))
        assert row_of(report).verdict is Verdict.REGRESSED
        assert row_of(report, metric="ssim").verdict is Verdict.NO_WORSE

    def test_a_loss_of_few_photographs_of_many_is_no_less_a_failure(self):
        worse = np.zeros(20)
        worse[:6] = [1.2, 0.9, 1.1, 1.0, 0.8, 1.0]
        found, report = of_differences(worse)
        assert found.verdict in {Verdict.SUSPECT, Verdict.LOST}
        assert not report.passed

    def test_noninferiority_fails_what_is_unresolved(self):
        changed = retrained(noise=4.0, seed=1)
        report = with_record(changed, mode="noninferiority")
        assert report.exit_code is ExitCode.FAILED
        assert report.fails(row_of(report))
        assert with_record(retrained(noise=0.1), mode="noninferiority").exit_code is ExitCode.OK

    def test_what_would_be_found_is_more_than_what_is_tolerated(self):
        found = row_of(with_record(retrained(noise=0.3, seed=1)))
        assert found.mde > found.tolerance

    def test_worse_coverage_is_a_regression_even_if_it_is_higher(self):
        def verdict(shift):
            report = with_record(retrained(shift={"coverage": shift}))
            return row_of(report, metric="coverage_error").verdict

        assert verdict(-0.05) is Verdict.REGRESSED
        assert verdict(0.5) is Verdict.REGRESSED
        assert verdict(0.08) is Verdict.IMPROVED

    def test_interval_scores_are_compared_where_they_are_recorded(self):
        interval = replace(record().interval, winkler_per_image=(0.1, 0.2))
        found = scores(replace(record(), interval=interval))
        assert found["winkler"].values == (0.1, 0.2)
        assert not found["winkler"].higher_is_better
        assert "winkler" not in scores(record())

    def test_worse_samples_are_a_regression_though_as_valid_and_as_wide(self):
        """Say colours that are spread as they should be, and wrong."""

        def scored(record, crps):
            skill = replace(
                case_record().skill["crps"],
                per_image=tuple(crps + 0.002 * np.sin(np.arange(16))),
                reference_per_image=(0.08,) * 16,
            )
            return replace(record, skill={"crps": skill})

        before = snapshot("a", [scored(record(), 0.06)])
        report = compare(before, snapshot("b", [scored(retrained(), 0.07)]))
        (found,) = report.losses
        assert (found.verdict, found.metric) == (Verdict.REGRESSED, "crps")
        better = compare(before, snapshot("b", [scored(retrained(), 0.05)]))
        assert row_of(better, metric="crps").verdict is Verdict.IMPROVED
        same = compare(before, snapshot("b", [scored(retrained(), 0.0601)]))
        assert row_of(same, metric="crps").verdict is Verdict.NO_WORSE


class TestBothTests:
    def test_skewed_differences_are_suspect_and_say_what_would_settle_it(self):
        for seed in range(40):
            worse = mostly_a_little_worse(16, seed)
            row, report = of_differences(0.5 + worse)
            if row.verdict is Verdict.SUSPECT:
                break
        assert row.p_flips < 0.05
        assert row.p_resampled >= 0.005
        assert row.photographs_needed > 16
        assert f"about {row.photographs_needed} photographs would settle it" in row.reason
        assert "symmetric" in row.reason
        assert report.exit_code is ExitCode.FAILED

    def test_crops_of_one_photograph_are_one_witness(self):
        """Eight photographs, 6 crops of each that agree: as certain as 8 images, not as 48."""
        of_photograph = np.random.default_rng(1).normal(0.7, 1.0, 8)
        groups = [f"photo-{i}" for i in range(8) for _ in range(6)]
        crops, _ = of_differences(np.repeat(of_photograph, 6), groups)
        once, _ = of_differences(of_photograph)
        assert (crops.n, once.n) == (8, 8)
        assert crops.p_flips == pytest.approx(once.p_flips)
        assert crops.ci95 == pytest.approx(once.ci95, abs=1e-5)
        taken_for_48, _ = of_differences(np.repeat(of_photograph, 6))
        assert taken_for_48.p_flips < 0.1 * crops.p_flips

    def test_the_unit_is_the_photograph_in_all_tasks_and_metrics(self):
        groups = [f"photo-{i // 2}" for i in range(16)]
        both = [
            snapshot(str(k), [record(c, noise=k, groups=groups) for c in CASES]) for k in (0, 1)
        ]
        table, photographs = table_of(pair_runs(*both).pairs)
        assert table.shape == (16, 12)
        assert photographs == [f"photographs/{group}" for group in groups]


class TestPower:
    @pytest.mark.parametrize("n", [1, 2, MIN_PHOTOGRAPHS - 1])
    def test_few_photographs_never_pass(self, n):
        row, report = of_differences(np.full(n, 0.2) + 0.01 * np.arange(n))
        assert row.verdict is Verdict.UNDERPOWERED
        assert f"a test needs {MIN_PHOTOGRAPHS}" in row.reason
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_many_crops_of_few_photographs_never_pass(self):
        groups = [f"photo-{i % 7}" for i in range(70)]
        row, _ = of_differences(np.linspace(0.1, 0.2, 70), groups)
        assert (row.n, row.verdict) == (7, Verdict.UNDERPOWERED)

    def test_enough_photographs_are_tested(self):
        row, _ = of_differences(np.linspace(1.0, 1.2, MIN_PHOTOGRAPHS))
        assert row.verdict is Verdict.REGRESSED

    def test_an_error_rate_that_flips_cannot_reach_is_underpowered(self):
        """At 0.002 eight photographs cannot show any loss; to pass it would be to test nothing."""
        worse = np.linspace(1.0, 1.2, 8)
        row, report = of_differences(worse, alpha=0.002)
        assert (row.verdict, report.exit_code) == (Verdict.UNDERPOWERED, ExitCode.INCOMPARABLE)
        assert "reach p = 0.0039 at best" in row.reason
        assert of_differences(np.linspace(1.0, 1.2, 12), alpha=0.002)[0].verdict == "regressed"

    def test_an_error_rate_that_is_none_is_refused(self):
        for alpha in (5, 2, 0.0002):
            with pytest.raises(InvalidAlphaError):
                with_record(retrained(), alpha=alpha)

    def test_equal_differences_are_judged_by_the_tolerance(self):
        assert row_of(with_record(retrained(shift={"psnr": -0.1}))).verdict is Verdict.NO_WORSE
        large = row_of(with_record(retrained(shift={"psnr": -0.3})))
        assert large.verdict is Verdict.REGRESSED
        assert large.ci95 == pytest.approx((0.3, 0.3), abs=1e-5)

    def test_an_image_that_a_case_lacks_leaves_a_hole(self):
        def build(name, noise):
            later = [f"photo-{i}" for i in range(4, 16)]
            few = record("ddrm-sr16", n_images=12, noise=noise, image_ids=later)
            return snapshot(name, [record(noise=noise), few])

        pairs = pair_runs(build("a", 0), build("b", 1)).pairs
        table, photographs = table_of(pairs)
        assert (table.shape, len(photographs)) == ((16, 8), 16)
        column = [pair.case for pair in pairs].index("ddrm-sr16")
        assert np.isnan(table[:4, column]).all()
        assert table[4:, column].tolist() == pairs[column].worse.tolist()
