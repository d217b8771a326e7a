"""Each claim holds where it should and fails where one method is out of order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_records import metric
from run_records import case_record

from invbench.report.claims import CLAIMS, MODELS, check_claims, lpips_of


def world(**changes):
    """Make eight records of which all claims are true; ``changes`` replace scores of a model."""
    records = {}
    for k, model in enumerate(MODELS):  # chimle is the last, and best
        spread = 0.2 if model in {"bicyclegan", "msgan", "ndm"} else 0.01
        scores = {
            "psnr": 20.0 + k,
            "ssim": 0.5 + k / 100,
            "lpips": 0.5 - k / 100,
            "width": 0.01 if model == "monce" else 0.1,
            "reobservation": spread,
        } | changes.get(model, {})
        record = case_record(f"{model}-sr16")
        interval = replace(
            record.interval,
            mean_width=scores["width"],
            scores={"null_space_width": {"value": scores["reobservation"]}},
        )
        validity = {
            name: metric([scores[name]], name != "lpips") for name in ("psnr", "ssim", "lpips")
        }
        records[record.case_id] = replace(record, interval=interval, validity=validity)
    return records


def verdicts(records):
    return [finding.verdict for finding in check_claims(records, "sr16")]


def test_all_hold_where_all_are_true():
    assert verdicts(world()) == ["holds"] * len(CLAIMS)


@pytest.mark.parametrize(
    ("index", "changes"),
    [
        (0, {"ddrm": {"psnr": 27.0}}),  # a tie is not best
        (1, {"monce": {"ssim": 0.9}}),
        (2, {"monce": {"lpips": 0.01}}),
        (3, {"divco": {"psnr": 26.5}}),
        (4, {"ddrm": {"width": 0.005}}),
        (5, {"ndm": {"reobservation": 0.005}}),
    ],
)
def test_one_method_out_of_order_breaks_its_claim_alone(index, changes):
    found = verdicts(world(**changes))
    assert found[index] == "does not hold"
    assert found.count("does not hold") == 1


def test_a_missing_method_leaves_a_claim_open():
    records = world()
    del records["monce-sr16"]
    found = verdicts(records)
    assert found[4] == "not measured"
    assert found[3] == "holds"  # it does not speak of MoNCE


def test_lpips_of_random_weights_proves_nothing():
    records = {
        name: replace(record, validity={"lpips_random": record.validity["lpips"]})
        for name, record in world().items()
    }
    assert verdicts(records)[2] == "not measured"


def test_trained_lpips_goes_before_random():
    both = {name: metric([0.1], False) for name in ("lpips_random", "lpips_vgg")}
    assert lpips_of(case_record(validity=both)) == "lpips_vgg"
    assert lpips_of(case_record()) == "lpips_random"
