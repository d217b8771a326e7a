"""The record says of samplers with known spread what is true of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from invbench.data.synthetic import GaussianField
from invbench.evaluation.scoring import score_image
from invbench.evaluation.summary import calibration_verdict, interval_record, per_image
from invbench.operators import LinearGray
from invbench.sentinels import SENTINELS, GaussianPosterior, World

POSTERIOR = GaussianPosterior(GaussianField(8, 8, std=0.07, length=2.0), LinearGray(8, 8))
BY_NAME = {sentinel.name: sentinel for sentinel in SENTINELS}


def scored(name, *, n_images=24, n_samples=20, seed=0):
    world = World.draw(POSTERIOR, n_images, seed=seed)
    samples = world.sample(BY_NAME[name].build(world), n_samples)
    return [
        score_image(rows, seen, operator=POSTERIOR.operator, metrics=(), target=target)
        for rows, seen, target in zip(samples, world.observations, world.targets, strict=True)
    ]


def record_of(name, groups=None, **sizes):
    images = scored(name, **sizes)
    groups = groups or [str(k) for k in range(len(images))]
    return interval_record(images, groups, n_samples=20, rule="linear")


def verdict_of(record, n_photographs=24):
    return calibration_verdict(record, n_photographs=n_photographs).verdict


@pytest.mark.parametrize(
    ("name", "verdict", "ratio"),
    [
        ("exact", "calibrated", 1),
        ("overdispersed", "over", 1.3),
        ("underdispersed", "under", 0.7),
        ("collapsed", "under", 0.08),
        ("leaking", "over", 21**0.5),
        ("copying", "under", 0),
    ],
)
def test_verdict_is_that_of_the_known_spread(name, verdict, ratio):
    record = record_of(name)
    assert verdict_of(record) == verdict
    assert record.scores["spread_skill"]["value"] == pytest.approx(ratio, rel=0.12, abs=1e-3)
    assert (record.scores["duplicate_fraction"]["value"] > 0) is (name == "copying")
    assert record.scores["null_space_width"]["value"] < 1e-6


def test_band_holds_an_exact_sampler_as_often_as_it_says():
    records = [record_of("exact", seed=k, n_images=12) for k in range(25)]
    inside = sum(verdict_of(record) == "calibrated" for record in records)
    assert inside >= 20  # below that with probability 0.0002


def test_band_is_around_the_ideal_and_narrows_with_images():
    few, many = (record_of("exact", n_images=n).coverage_band for n in (12, 48))
    for low, high in (few, many):
        assert low < 0.9 * 19 / 21 < high
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(2, abs=0.4)


def test_images_of_a_photograph_widen_band_and_intervals():
    alone = record_of("exact")
    grouped = record_of("exact", groups=[str(k // 6) for k in range(24)])
    width = [high - low for low, high in (alone.coverage_band, grouped.coverage_band)]
    assert width[1] > 1.6 * width[0]
    assert alone.coverage == grouped.coverage


def test_a_single_photograph_has_no_confidence_interval():
    record = record_of("exact", groups=["a"] * 24)
    assert record.coverage_ci95 == (None, None)
    assert record.scores["spread_skill"]["low"] is None
    assert record.scores["spread_skill"]["value"] == pytest.approx(
        record_of("exact").scores["spread_skill"]["value"]
    )


def test_risk_is_told_by_length():
    record = record_of("exact")
    risks = [record.scores[f"risk_length_quarter_{k}"]["value"] for k in (1, 2, 3, 4)]
    assert np.mean(risks) == pytest.approx(1 - record.coverage)
    assert risks[0] > risks[3]  # by chance the shortest intervals of 20 samples miss more


def test_arrays_have_a_row_an_image():
    arrays = per_image(scored("exact", n_images=3))
    assert {array.shape for array in arrays.values()} == {(3,), (3, 4), (3, 21)}
    assert all(array.dtype == np.float64 for array in arrays.values())


def judged(n_photographs=24, *, energy=0.2, duplicates=0.0, **changes):
    """Judge a record whose coverage and energy score lie in the middle of their bands."""
    record = record_of("exact", n_images=9)
    scores = {"energy": {"value": energy}, "duplicate_fraction": {"value": duplicates}}
    middle = {"coverage": 0.82, "coverage_band": (0.8, 0.85), "energy_band": (0.1, 0.3)}
    record = replace(record, scores=scores, **middle | changes)
    return calibration_verdict(record, n_photographs=n_photographs)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"coverage": 0.79}, "under"),
        ({"coverage": 0.8}, "calibrated"),
        ({"coverage": 0.85}, "calibrated"),
        ({"coverage": 0.86}, "over"),
        ({"energy": 0.31}, "under"),  # the target is farther away than samples from each other
        ({"energy": 0.3}, "calibrated"),
        ({"energy": 0.1}, "calibrated"),
        ({"energy": 0.09}, "over"),
    ],
)
def test_ends_of_the_bands_belong_to_them(changes, verdict):
    assert judged(**changes).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_photographs": 7}, "7 photographs, fewer than 8"),
        ({"duplicates": 0.05}, "duplicate samples"),
        ({"mean_width": 0.0}, "intervals of width 0"),
        ({"coverage": 0.8, "coverage_band": (0.8, 0.8)}, "intervals of width 0"),
        ({"energy": None}, "no finite score"),
        ({"coverage_band": (0.62, 0.85)}, "band too wide"),
        ({"coverage_band": (0.8, 0.954)}, "band too wide"),
    ],
)
def test_what_no_band_could_have_rejected_is_not_called_calibrated(changes, reason):
    found = judged(**changes)
    assert (found.verdict, found.reason) == ("not tested", reason)
    assert judged(8).verdict == "calibrated"


@pytest.mark.parametrize("few", [{"n_photographs": 3}, {"duplicates": 0.5}])
def test_what_a_band_rejects_is_rejected_whatever_else_holds(few):
    assert judged(coverage=0.1, **few).verdict == "under"
