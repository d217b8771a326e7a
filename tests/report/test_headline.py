"""The headline counts what the records say."""

from __future__ import annotations

from dataclasses import replace

from run_records import case_record

from invbench.report.headline import headline
from invbench.runs import Breach, CalibrationVerdict, Check, NoiseFitRecord, SkillRecord


def check(*, passed):
    return Check(id="validity/psnr", value=1.0, op=">=", limit=2.0, limit_source="x", passed=passed)


def skill(low, high):
    return {
        "crps": SkillRecord(
            value=0.0, low=low, high=high, reference="1", per_image=(), reference_per_image=()
        )
    }


def test_every_question_is_answered_by_counting():
    breach = Breach(name="irreproducible", expected="x", seen="y")
    records = [
        case_record("a-sr16", checks=(check(passed=True),), skill=skill(0.1, 0.2), contract=()),
        case_record("b-sr16", checks=(check(passed=False),), skill=skill(-0.2, -0.1)),
        case_record("c-sr16", checks=(), skill=skill(-0.1, 0.1), contract=(breach,)),
        case_record("d-sr16", status="skipped", validity={}),
    ]
    verdicts = ("calibrated", "under", "over")
    records = [
        replace(record, calibration=CalibrationVerdict(verdict=verdict))
        for record, verdict in zip(records, verdicts, strict=False)
    ]
    answers = dict(headline(records))
    assert answers["Valid?"] == (
        "1 of 2 cases keep their limits; broken by b-sr16; 1 without limits."
    )
    assert answers["Calibrated?"] == (
        "Of 3 cases, 1 are spread as the target is, 1 too little, 1 too much, "
        "0 could not be tested."
    )
    assert answers["Better than the reference?"].startswith(
        "Of 3 cases, 1 are (a-sr16), 1 are worse and 1 cannot be told apart from a Gaussian"
    )
    assert answers["True to the sampler's contract?"] == "Of 2 cases, c-sr16 break it."
    assert answers["Fast?"].startswith("16 (a-sr16) to 16 (c-sr16) samples a second on cpu.")


def test_what_was_not_measured_is_not_asked():
    bare = case_record(checks=(), skill={}, throughput=None)
    assert dict(headline([bare])) == {"Valid?": "No case has limits."}
    assert headline([case_record(status="skipped", validity={})]) == []


def test_with_noise_what_is_valid_fits_it():
    def noisy(name, verdict):
        fit = NoiseFitRecord(
            value=1.0,
            low=None,
            high=None,
            band=(0.9, 1.1),
            verdict=verdict,
            n_measurements=9,
            per_image=(1.0,),
        )
        return case_record(name, checks=(), noise_fit=fit)

    records = [noisy("a-blur", "fits"), noisy("b-blur", "above"), noisy("c-blur", "below")]
    answers = dict(headline(records))
    assert answers["Valid?"] == "1 of 3 fit the noise of their observations; 3 without limits."
