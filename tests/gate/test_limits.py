"""Limits are kept or broken in the direction of their metric."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from run_records import case_record, run_record

from invbench.errors import InvalidRecordError, MissingDataError
from invbench.gate import TOLERANCES
from invbench.gate.limits import apply_limits, quantities, read_limits, write_limits
from invbench.runs import CalibrationVerdict
from invbench.runs.store import RunStore

LIMITS = {
    "slack": {"psnr": 0.5, "lpips_random": 0.02, "coverage": 0.03, "lpips": 0.1},
    "tiny": {"chimle-sr16": {"psnr": 28.0, "lpips_random": 0.1, "coverage": 0.8, "lpips": 0.1}},
}


def check(record, limits=None, **changes):
    return apply_limits(record, limits or LIMITS, **{"profile": "tiny", "source": "f"} | changes)


def test_a_result_at_its_measured_value_passes():
    checked = check(case_record())
    assert checked.status == "passed"
    assert {c.id: c.op for c in checked.checks} == {
        "validity/psnr": ">=",
        "validity/lpips_random": "<=",
        "interval/coverage": ">=",
    }


@pytest.mark.parametrize(("psnr", "passes"), [(27.51, True), (27.49, False), (40.0, True)])
def test_the_slack_is_what_may_be_lost(psnr, passes):
    assert (check(case_record(psnr=psnr)).status == "passed") is passes


def test_lower_is_worse_only_where_higher_is_better():
    record = case_record()
    worse = {"slack": {"lpips_random": 0.02}, "tiny": {"chimle-sr16": {"lpips_random": 0.07}}}
    better = {"slack": {"lpips_random": 0.02}, "tiny": {"chimle-sr16": {"lpips_random": 0.2}}}
    assert check(record, worse).status == "failed"
    assert check(record, better).status == "passed"


def test_a_failure_says_what_and_by_how_much():
    assert "validity/psnr 20, limit >= 27.5" in check(case_record(psnr=20.0)).reason


def test_what_is_not_finite_fails():
    record = case_record(psnr=None)
    assert "not finite" in check(record).reason
    assert check(case_record(psnr=math.nan)).status == "failed"


def test_a_score_of_another_name_has_no_limit():
    checks = check(case_record()).checks
    assert "validity/lpips" not in {c.id for c in checks}


@pytest.mark.parametrize(
    ("coverage", "band", "passes"),
    [
        (0.85, (0.78, 0.84), True),  # beyond the band by less than the slack
        (0.88, (0.78, 0.84), False),
        (0.88, (0.78, 0.89), True),
        (0.82, (0.70, 0.75), True),  # the stated value itself is beyond the band
        (0.84, (0.70, 0.75), False),
        (0.88, None, True),  # records of old have no band
    ],
)
def test_coverage_may_not_exceed_an_ideal_sampler_s_band(coverage, band, passes):
    record = case_record(coverage=coverage)
    record = replace(record, interval=replace(record.interval, coverage_band=band))
    checked = check(record)
    assert (checked.status == "passed") is passes
    if not passes:
        assert "interval/coverage_excess" in checked.reason
    assert ("interval/coverage_excess" in {c.id for c in checked.checks}) is (band is not None)


@pytest.mark.parametrize("name", ["winkler", "crps"])
def test_a_score_of_the_intervals_may_fall_and_not_rise(name):
    def judged(value):
        plain = case_record()
        scores = {"crps": {"value": value if name == "crps" else 0.3}}
        winkler = value if name == "winkler" else 0.3
        record = replace(plain, interval=replace(plain.interval, winkler=winkler, scores=scores))
        limits = {"slack": {name: 0.02}, "tiny": {"chimle-sr16": {name: 0.3}}}
        return check(record, limits)

    assert judged(0.29).status == judged(0.319).status == "passed"
    failed = judged(0.321)
    assert (failed.status, failed.checks[0].id, failed.checks[0].op) == (
        "failed",
        f"interval/{name}",
        "<=",
    )


def test_narrower_intervals_that_are_better_are_no_offence(tmp_path):
    """What learnt more has a lower CRPS, the same coverage and narrower intervals."""
    file, store = tmp_path / "t.toml", RunStore(tmp_path / "run")
    file.write_text("[slack]\npsnr = 0.5\nlpips_random = 1\ncoverage = 0.02\nwinkler = 0.02\n")
    store.write_run(run_record())
    store.write_case(case_record())
    write_limits(file, store)
    plain = case_record()
    learnt = replace(plain, interval=replace(plain.interval, mean_width=0.05, winkler=0.25))
    assert check(learnt, read_limits(file)).status == "passed"
    too_sure = replace(plain, interval=replace(plain.interval, mean_width=0.05, winkler=0.4))
    assert check(too_sure, read_limits(file)).status == "failed"


def test_coverage_without_a_limit_has_none_above():
    limits = {"slack": {"psnr": 1}, "tiny": {"chimle-sr16": {"psnr": 28.0}}}
    record = case_record(coverage=1.0)
    record = replace(record, interval=replace(record.interval, coverage_band=(0.7, 0.8)))
    assert check(record, limits).status == "passed"


def test_other_profiles_and_cases_have_no_limits():
    assert check(case_record(psnr=0.0), profile="paper").checks == ()
    assert check(case_record("mine-sr16", psnr=0.0)).checks == ()


def test_what_has_no_slack_is_refused_before_the_file_is_written(tmp_path):
    store = RunStore(tmp_path / "run")
    store.begin(resume=False, fresh=False)
    store.write_case(case_record())
    path = tmp_path / "thresholds.toml"
    path.write_text("# head\n\n[slack]\npsnr = 0.5\n")
    before = path.read_text()
    with pytest.raises(MissingDataError, match=r"state in \[slack\] how much of .*lpips_random"):
        write_limits(path, store)
    assert path.read_text() == before


def test_what_another_machine_changes_is_no_loss():
    assert all(10 * one.drift <= one.loss for one in TOLERANCES.values())


def test_a_case_without_limits_stays_measured():
    record = case_record("mine-sr16", status="measured", checks=())
    assert check(record) == record
    assert check(replace(record, case_id="chimle-sr16")).status == "passed"


class TestSpread:
    """What is known of the spread is declared, and written down beside what was seen."""

    def judge(self, verdict, **declared):
        record = case_record(calibration=CalibrationVerdict(verdict=verdict))
        limits = {"slack": {"psnr": 1}, "tiny": {"chimle-sr16": {"psnr": 28.0} | declared}}
        return check(record, limits)

    @pytest.mark.parametrize("verdict", ["under", "calibrated", "not tested"])
    def test_a_change_is_no_failure_and_no_limit(self, verdict):
        judged = self.judge(verdict, expected="under")
        assert (judged.status, len(judged.checks)) == ("passed", 1)
        assert (judged.calibration.verdict, judged.calibration.expected) == (verdict, "under")

    def test_nothing_declared_means_calibrated(self):
        assert self.judge("under").calibration.expected == "calibrated"
        record = case_record("mine-sr16", calibration=CalibrationVerdict(verdict="under"))
        assert check(record).calibration.expected is None  # it has no limits

    def test_written_limits_declare_what_was_seen(self, tmp_path):
        file = tmp_path / "t.toml"
        slack = "[slack]\n" + "".join(f"{name} = 1\n" for name in quantities(case_record()))
        file.write_text(slack)
        store = RunStore(tmp_path / "run")
        store.write_run(run_record())
        for verdict in ("under", "over", "calibrated", "not tested"):
            spread = CalibrationVerdict(verdict=verdict)
            store.write_case(case_record(f"{verdict[0]}-sr16", calibration=spread))
        write_limits(file, store)
        cases = read_limits(file)["tiny"]
        found = {name: case.get("expected") for name, case in cases.items()}
        assert found == {"c-sr16": None, "n-sr16": None, "o-sr16": "over", "u-sr16": "under"}


class TestFile:
    def test_written_limits_are_what_the_run_measured(self, tmp_path):
        file = tmp_path / "t.toml"
        file.write_text(
            "# about\n[slack]\npsnr = 0.5\nlpips_random = 1\ncoverage = 1\n"
            "winkler = 1\ncrps = 1\nssim = 1\n\n[small.x-sr16]\npsnr = 3.0\n\n"
            "[tiny.ndm-sr16]\npsnr = 9.0\n\n[tiny.chimle-sr16]\nssim = 1.0\n"
        )
        store = RunStore(tmp_path / "run")
        store.write_run(run_record())
        store.write_case(case_record())
        store.write_case(case_record("ddrm-sr16", validity={}, status="skipped"))
        assert write_limits(file, store) == 1
        limits = read_limits(file)
        assert limits["tiny"] == {
            "chimle-sr16": {"psnr": 28.0, "lpips_random": 0.1, "coverage": 0.8, "winkler": 0.3},
            "ndm-sr16": {"psnr": 9.0},  # of no case of the run
        }
        assert limits["small"] == {"x-sr16": {"psnr": 3.0}}
        assert limits["slack"]["psnr"] == 0.5
        assert file.read_text().startswith("# about\n")

    @pytest.mark.parametrize(
        "text",
        [
            "# see [slack]: wh\u00fd\n\n[tiny.other]\npsnr = 1\n\n[slack]\n# all\npsnr = 1\n{}",
            "slack.psnr = 1\n{}",
            "[ slack ] # how much\npsnr = 1\n{}",
        ],
        ids=["cases first", "dotted", "spaced"],
    )
    def test_files_laid_out_otherwise_stay_whole(self, tmp_path, text):
        file = tmp_path / "t.toml"
        names = ("lpips_random", "coverage", "winkler", "crps")
        prefix = "slack." if text.startswith("slack.") else ""
        more = "".join(f"{prefix}{name} = 1\n" for name in names)
        file.write_text(text.format(more), encoding="utf-8")
        store = RunStore(tmp_path / "run")
        store.write_run(run_record())
        store.write_case(case_record())
        before = read_limits(file)
        assert write_limits(file, store) == write_limits(file, store) == 1
        after = read_limits(file)
        assert after["slack"] == before["slack"]
        assert set(after["tiny"]) == {"chimle-sr16", *before.get("tiny", ())}
        head = text.partition("\n")[0] if text.startswith("#") else ""
        assert file.read_text(encoding="utf-8").startswith(head)

    def test_no_limit_hangs_on_single_roundings(self, tmp_path):
        file = tmp_path / "t.toml"
        file.write_text("[slack]\npsnr = 0.5\nlpips_random = 1\ncoverage = 1\nwinkler = 1\n")
        store = RunStore(tmp_path / "run")
        store.write_run(run_record())
        store.write_case(case_record(psnr=73.0))
        write_limits(file, store)
        assert read_limits(file)["tiny"]["chimle-sr16"]["psnr"] == 50.0

    def test_damage_is_named(self, tmp_path):
        file = tmp_path / "t.toml"
        with pytest.raises(MissingDataError, match=r"begin it with a table \[slack\]"):
            write_limits(file, RunStore(tmp_path / "run"))
        with pytest.raises(MissingDataError, match="no limits"):
            read_limits(file)
        file.write_text("[slack\n")
        with pytest.raises(InvalidRecordError, match="not TOML"):
            read_limits(file)
        file.write_text("[slack]\n[tiny.a]\npsnr = 1\n")
        with pytest.raises(InvalidRecordError, match="no slack for psnr"):
            read_limits(file)
