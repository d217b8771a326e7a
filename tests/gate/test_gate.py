"""The gate finds what got worse, passes what did not, and never what it could not compare."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gate_records import CASES, metric, record, snapshot

from invbench.exit_codes import ExitCode
from invbench.gate import TOLERANCES, Verdict, compare, write_report
from invbench.gate.comparison import table_of
from invbench.gate.pairs import first_difference, pair_runs, scores
from invbench.gate.statistics import InvalidAlphaError


@pytest.fixture
def runs():
    """Give a function that makes two runs, of all cases, and compares them."""

    def build(name, **changes):
        profile, cases = changes.pop("profile", "tiny"), changes.pop("cases", CASES)
        return snapshot(name, [record(case, **changes) for case in cases], profile=profile)

    def judge(baseline=None, candidate=None, **options):
        return compare(build("a", **(baseline or {})), build("b", **(candidate or {})), **options)

    return judge


def row_of(report, case="chimle-sr16", metric="psnr"):
    (found,) = [row for row in report.rows if (row.case, row.metric) == (case, metric)]
    return found


def with_record(changed, **options):
    """Compare a run of three cases with the same, the first of them replaced."""
    rest = [record(case) for case in CASES[1:]]
    return compare(
        snapshot("a", [record(), *rest]),
        snapshot("b", [changed, *rest]),
        **options,
    )


class TestVerdicts:
    def test_the_same_run_is_identical(self, runs):
        report = runs()
        assert {row.verdict for row in report.rows} == {Verdict.IDENTICAL}
        assert report.exit_code is ExitCode.OK
        assert report.family_size == 0

    def test_noise_of_the_sampling_passes(self, runs):
        report = runs({"noise": 1.0}, {"noise": 1.0, "seed": 1})
        assert report.exit_code is ExitCode.OK
        assert row_of(report).verdict is Verdict.PASS
        assert report.family_size == 9

    def test_no_effect_is_rarely_called_one(self):
        alarms = 0
        for seed in range(40):
            left = [record(case, noise=4.0, seed=2 * seed) for case in CASES]
            right = [record(case, noise=4.0, seed=2 * seed + 1) for case in CASES]
            report = compare(
                snapshot(f"a{seed}", left),
                snapshot(f"b{seed}", right),
                n_flips=1000,
            )
            alarms += report.exit_code is not ExitCode.OK
        assert alarms <= 6  # binomial(40, 0.05) exceeds 6 with a probability of 0.003

    @pytest.mark.parametrize(
        ("metric", "shift"), [("psnr", -1.0), ("ssim", -0.02), ("lpips_random", 0.02)]
    )
    def test_a_planted_regression_is_found_and_nothing_else(self, metric, shift):
        changed = record(shift={metric: shift}, noise=1.0, seed=1)
        report = with_record(changed)
        (found,) = report.having(Verdict.REGRESSED)
        assert (found.case, found.metric) == ("chimle-sr16", metric)
        assert found.estimate == pytest.approx(abs(shift), rel=0.3)
        assert found.ci95[0] < found.estimate < found.ci95[1]
        assert found.p <= found.p_adj < 0.05
        assert report.exit_code is ExitCode.FAILED

    @pytest.mark.parametrize(
        ("metric", "shift"), [("psnr", 1.0), ("ssim", 0.02), ("lpips_random", -0.02)]
    )
    def test_an_improvement_is_named_and_passes(self, metric, shift):
        report = with_record(record(shift={metric: shift}, noise=1.0, seed=1))
        found = row_of(report, metric=metric)
        assert found.verdict is Verdict.IMPROVED
        assert found.estimate < 0
        assert report.exit_code is ExitCode.OK

    def test_what_is_significant_but_tolerated_passes(self):
        found = row_of(with_record(record(shift={"psnr": -0.2})))
        assert (found.verdict, found.p_adj < 0.001) == (Verdict.PASS, True)
        assert found.tolerance == TOLERANCES["psnr"]

    def test_what_is_tolerated_is_not_among_what_would_be_found(self):
        found = row_of(with_record(record(noise=0.1, seed=1)))
        assert found.mde > found.tolerance > 10 * (found.ci95[1] - found.ci95[0])

    def test_what_is_large_but_may_be_chance_passes_and_shows_what_would_be_found(self):
        for seed in range(20):
            report = with_record(record(noise=9.0, seed=seed))
            found = row_of(report)
            if found.estimate > found.tolerance:
                break
        assert found.verdict is Verdict.PASS
        assert found.mde > found.estimate

    def test_worse_coverage_is_a_regression_even_if_it_is_higher(self):
        lower = with_record(record(shift={"coverage": -0.05}))
        assert row_of(lower, metric="coverage_error").verdict is Verdict.REGRESSED
        higher = with_record(record(shift={"coverage": 0.29}))
        assert row_of(higher, metric="coverage_error").verdict is Verdict.REGRESSED
        nearer = with_record(record(shift={"coverage": 0.08}))
        assert row_of(nearer, metric="coverage_error").verdict is Verdict.IMPROVED

    def test_interval_scores_are_compared_where_they_are_recorded(self):
        interval = replace(record().interval, winkler_per_image=(0.1, 0.2))
        found = scores(replace(record(), interval=interval))
        assert found["winkler"].values == (0.1, 0.2)
        assert not found["winkler"].higher_is_better
        assert "winkler" not in scores(record())

    def test_a_smaller_alpha_finds_less(self):
        changed = record(shift={"psnr": -0.6}, noise=1.5, seed=3)
        found = row_of(with_record(changed))
        assert found.verdict is Verdict.REGRESSED
        strict = with_record(changed, alpha=found.p_adj)
        assert row_of(strict).verdict is Verdict.PASS

    def test_alpha_in_percent_is_refused(self, runs):
        with pytest.raises(InvalidAlphaError):
            runs(alpha=5)


class TestPower:
    def test_few_images_never_pass(self, runs):
        report = runs({"n_images": 11}, {"n_images": 11, "noise": 1.0})
        assert {row.verdict for row in report.rows if row.metric == "psnr"} == {"underpowered"}
        assert report.exit_code is ExitCode.INCOMPARABLE
        assert "11 images, a test needs 12" in row_of(report).reason

    def test_twelve_images_are_enough(self, runs):
        report = runs({"n_images": 12}, {"n_images": 12, "noise": 1.0})
        assert (len(report.rows), report.family_size) == (15, 9)
        assert report.exit_code is ExitCode.OK

    def test_one_image_has_no_interval_and_never_passes(self, runs):
        report = runs({"n_images": 1}, {"n_images": 1, "noise": 1.0})
        assert (row_of(report).n, row_of(report).ci95) == (1, None)
        assert row_of(report).verdict is Verdict.UNDERPOWERED
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_one_image_may_be_identical(self, runs):
        assert runs({"n_images": 1}, {"n_images": 1}).exit_code is ExitCode.OK

    def test_equal_differences_are_judged_by_the_tolerance(self):
        slight = with_record(record(shift={"psnr": -0.1}))
        assert row_of(slight).verdict is Verdict.PASS
        large = with_record(record(shift={"psnr": -0.3}))
        assert row_of(large).verdict is Verdict.REGRESSED
        assert row_of(large).ci95 == pytest.approx((0.3, 0.3), abs=1e-5)


class TestNoninferiority:
    def test_absence_of_evidence_is_no_pass(self):
        changed = record(noise=4.0, seed=1)
        assert row_of(with_record(changed)).verdict is Verdict.PASS
        report = with_record(changed, mode="noninferiority")
        found = row_of(report)
        assert found.verdict is Verdict.UNDERPOWERED
        assert found.ci95[1] > found.tolerance
        assert "not excluded" in found.reason
        assert report.exit_code is ExitCode.FAILED

    def test_what_is_shown_to_be_no_worse_passes(self):
        changed = record(noise=0.3, seed=1)
        report = with_record(changed, mode="noninferiority")
        assert row_of(report).verdict is Verdict.PASS
        assert row_of(report).ci95[1] < row_of(report).tolerance
        assert report.exit_code is ExitCode.OK

    def test_a_regression_is_one(self):
        report = with_record(record(shift={"psnr": -1.0}), mode="noninferiority")
        assert row_of(report).verdict is Verdict.REGRESSED
        assert report.exit_code is ExitCode.FAILED


class TestIncomparable:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"operator_version": "2"}, "task.operator.version: '1' -> '2'"),
            ({"data_sha256": "e"}, "task.dataset.sha256: 'd' -> 'e'"),
            ({"n_samples": 50}, "sampling.n_samples: 20 -> 50"),
            ({"sampling_seed": 1}, "sampling.seed: 0 -> 1"),
            ({"dtype": "bfloat16"}, "sampling.dtype: 'float32' -> 'bfloat16'"),
            ({"n_images": 15}, "task.dataset.image_ids: 16 entries -> 15 entries"),
            ({"profile": "small"}, "profile: 'tiny' -> 'small'"),
            ({"image_ids": []}, "task.dataset.image_ids: 16 entries -> 0 entries"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_other_conditions_are_named(self, runs, change, reason):
        report = runs({}, change)
        assert {(row.metric, row.verdict, row.reason) for row in report.rows} == {
            ("all", Verdict.INCOMPARABLE, reason)
        }
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_other_weights_are_what_is_compared(self, runs):
        assert runs({}, {"checkpoint": "b"}).exit_code is ExitCode.OK

    def test_another_version_of_a_metric_bars_that_metric_alone(self, runs):
        report = runs({}, {"metric_version": "2"})
        assert row_of(report).reason == "psnr.version: '1' -> '2'"
        assert row_of(report, metric="coverage_error").verdict is Verdict.IDENTICAL
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_a_missing_case_fails_unless_allowed(self, runs):
        report = runs({}, {"cases": CASES[:2]})
        assert row_of(report, "ddrm-sr16", "all").reason == "missing in the candidate"
        assert report.exit_code is ExitCode.INCOMPARABLE
        allowed = runs({}, {"cases": CASES[:2]}, allow_missing=True)
        assert allowed.missing_cases == ("ddrm-sr16",)
        assert allowed.exit_code is ExitCode.OK

    def test_a_renamed_case_is_missing_and_new(self, runs):
        report = runs({}, {"cases": (*CASES[:2], "ddrm2-sr16")})
        assert (report.missing_cases, report.new_cases) == (("ddrm-sr16",), ("ddrm2-sr16",))
        assert report.exit_code is ExitCode.INCOMPARABLE

    def test_new_cases_alone_are_no_offence_and_no_measurement(self, runs):
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
        runs = [snapshot(name, [gone, record("ddrm-sr16")]) for name in "ab"]
        report = compare(*runs)
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
        short = replace(record().interval, coverage_per_image=(0.7,) * 15)
        report = with_record(replace(record(), interval=short))
        assert "16 and 15 scores of 16 images" in row_of(report, metric="coverage_error").reason

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
        runs = [snapshot(name, [strange]) for name in "ab"]
        assert "no tolerance" in row_of(compare(*runs), metric="vif").reason

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
    def test_evaluations_are_exact(self, runs, nfe, verdict):
        report = runs({"nfe": 100}, {"nfe": nfe})
        assert {row.verdict for row in report.rows if row.metric == "nfe"} == {verdict}

    def test_evaluations_no_longer_counted(self, runs):
        assert runs({"nfe": 100}, {"nfe": None}).exit_code is ExitCode.INCOMPARABLE
        assert runs({"nfe": None}, {"nfe": 100}).exit_code is ExitCode.OK

    @pytest.mark.parametrize(
        ("size", "verdict"), [(1000, Verdict.IDENTICAL), (1001, Verdict.REGRESSED)]
    )
    def test_memory_is_exact(self, size, verdict):
        runs = [snapshot(str(n), [self.peak(n)]) for n in (1000, size)]
        assert row_of(compare(*runs), metric="peak_allocated_bytes").verdict is verdict

    def test_memory_is_not_compared_across_environments(self):
        left = snapshot("a", [self.peak(1000)])
        right = snapshot("b", [self.peak(9000, "GPU/cu14")])
        report = compare(left, right)
        assert report.exit_code is ExitCode.OK
        assert "GPU/cu13 against GPU/cu14" in report.notes[0]


class TestReport:
    def test_a_selection_is_compared_alone_and_says_so(self, runs):
        report = runs({}, {"cases": CASES[:1]}, cases={"chimle-sr16"})
        assert report.exit_code is ExitCode.OK
        assert report.selected
        assert {row.case for row in report.rows} == {"chimle-sr16"}
        missing = runs({}, {"cases": CASES[:1]}, cases=set(CASES[:2]))
        assert missing.missing_cases == ("chimle-colorization",)

    @pytest.mark.parametrize("mode", ["warn", "off"])
    def test_modes_that_never_fail(self, mode):
        report = with_record(record(shift={"psnr": -2.0}), mode=mode)
        assert row_of(report).verdict is Verdict.REGRESSED
        assert report.exit_code is ExitCode.OK

    def test_the_same_runs_give_the_same_report(self):
        changed = record(noise=2.0, seed=5, n_images=20)
        left = snapshot("a", [record(n_images=20)])
        right = snapshot("b", [changed])
        assert compare(left, right) == compare(left, right)
        assert compare(left, right, seed=1) != compare(left, right)

    def test_it_is_json_of_the_schema(self, tmp_path):
        report = with_record(record(noise=1.0, seed=1))
        write_report(report, tmp_path / "gate.json")
        written = json.loads((tmp_path / "gate.json").read_text())
        assert written["schema"] == "invbench.gate/1"
        assert written["method"] == "signflip-maxT"
        assert written["family_size"] == 3
        keys = {"case", "metric", "n", "estimate", "ci95", "p", "p_adj", "q", "mde", "tolerance"}
        assert keys | {"verdict"} <= set(written["rows"][0])

    def test_suspects_are_discoveries_that_did_not_fail(self):
        worse = record(shift={"psnr": -0.5}, noise=1.5, seed=2)
        report = with_record(worse, alpha=1e-4)
        assert [(row.case, row.metric) for row in report.suspects] == [("chimle-sr16", "psnr")]
        assert with_record(worse).suspects == []


class TestPairing:
    def test_an_image_is_one_unit_in_all_tasks_and_metrics(self):
        runs = [snapshot(str(k), [record(c, noise=k) for c in CASES]) for k in (0, 1)]
        pairs = pair_runs(*runs).pairs
        assert table_of(pairs).shape == (16, 12)

    def test_an_image_that_a_case_lacks_leaves_a_hole(self):
        def build(name, noise):
            later = [f"photo-{i}" for i in range(4, 16)]
            few = record("ddrm-sr16", n_images=12, noise=noise, image_ids=later)
            return snapshot(name, [record(noise=noise), few])

        pairs = pair_runs(build("a", 0), build("b", 1)).pairs
        table = table_of(pairs)
        assert table.shape == (16, 8)
        column = [pair.case for pair in pairs].index("ddrm-sr16")
        assert np.isnan(table[:4, column]).all()
        assert table[4:, column].tolist() == pairs[column].worse.tolist()

    def test_worse_is_positive_in_either_direction(self):
        left = snapshot("a", [record()])
        right = snapshot("b", [record(shift={"psnr": -1.0, "lpips_random": 0.1})])
        worse = {pair.metric: pair.worse.mean() for pair in pair_runs(left, right).pairs}
        assert worse["psnr"] == pytest.approx(1.0)
        assert worse["lpips_random"] == pytest.approx(0.1)

    def test_a_key_that_one_side_lacks_is_a_difference(self):
        assert first_difference({"a": {"b": 1}}, {"a": {}}, "x") == "x.a.b: 1 -> None"
        assert first_difference({"a": [1, 2]}, {"a": [1, 2]}, "x") is None
