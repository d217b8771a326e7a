"""The record says of samplers with known spread what is true of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from invbench.data.synthetic import GaussianField
from invbench.evaluation.scoring import score_image
from invbench.evaluation.summary import (
    calibration_verdict,
    interval_record,
    per_image,
    validity_record,
)
from invbench.images import from_uint8, to_uint8
from invbench.operators import LinearGray
from invbench.sentinels import SENTINELS, GaussianPosterior, World

POSTERIOR = GaussianPosterior(GaussianField(8, 8, std=0.07, length=2.0), LinearGray(8, 8))
BY_NAME = {sentinel.name: sentinel for sentinel in SENTINELS}


def scored(name, *, n_images=24, n_samples=20, seed=0):
    world = World.draw(POSTERIOR, n_images, seed=seed)
    samples, targets = map(
        rounded, (world.sample(BY_NAME[name].build(world), n_samples), world.targets)
    )
    return [
        score_image(rows, seen, operator=POSTERIOR.operator, metrics=(), target=target)
        for rows, seen, target in zip(samples, world.observations, targets, strict=True)
    ]


def rounded(images):
    return from_uint8(to_uint8(images))


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
        ("leaking", "over", 2.6),  # 21**0.5 without the rounding to levels, nearly all of its error
        ("copying", "under", 0),
    ],
)
def test_verdict_is_that_of_the_known_spread(name, verdict, ratio):
    record = record_of(name)
    assert verdict_of(record) == verdict
    assert record.scores["spread_skill"]["value"] == pytest.approx(ratio, rel=0.12, abs=1e-3)
    assert (record.scores["duplicate_fraction"]["value"] > 0) is (name == "copying")
    assert record.scores["null_space_width"]["value"] < 1 / 255  # rounding to levels alone


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


def test_copies_of_an_image_are_no_more_evidence():
    """Two crops of each photograph that are alike: every interval is that of one crop."""
    images = scored("exact")
    groups = [str(k) for k in range(24)]
    once = interval_record(images, groups, n_samples=20, rule="linear")
    twice = interval_record(images * 2, groups * 2, n_samples=20, rule="linear")
    assert twice.coverage_ci95 == pytest.approx(once.coverage_ci95)
    for name, score in once.scores.items():
        assert twice.scores[name] == pytest.approx(score), name
    crops_as_photographs = interval_record(
        images * 2, [str(k) for k in range(48)], n_samples=20, rule="linear"
    )
    low, high = crops_as_photographs.coverage_ci95
    assert high - low < 0.8 * (once.coverage_ci95[1] - once.coverage_ci95[0])


def test_the_guarantee_counts_photographs():
    """Twelve photographs with two images each are twelve, which are too few for any claim."""
    images = scored("exact")
    alone = interval_record(images, [str(k) for k in range(24)], n_samples=20, rule="linear")
    paired = interval_record(images, [str(k // 2) for k in range(24)], n_samples=20, rule="linear")
    found = alone.calibration["guaranteed"], paired.calibration["guaranteed"]
    assert [guarantee["n"] for guarantee in found] == [24, 12]
    assert [guarantee["certified"] for guarantee in found] == [True, False]


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


def test_the_squared_error_is_that_behind_each_psnr():
    psnr = np.array([[20.0, 40.0], [100.0, 30.0]])
    images = [
        SimpleNamespace(validity={"psnr": row}, n_nonfinite={"psnr": int(row.max() == 100)})
        for row in psnr
    ]
    metric = SimpleNamespace(name="psnr", unit="dB", higher_is_better=True, version="1")
    record = validity_record(metric, images)
    level = 255**2
    expected = [level * (0.01 + 0.0001) / 2, level * 0.001 / 2]
    assert record.squared_error_per_image == pytest.approx(expected, rel=1e-6)
    assert record.n_nonfinite == 1
    other = SimpleNamespace(**vars(metric) | {"name": "ssim"})
    for image in images:
        image.validity["ssim"], image.n_nonfinite["ssim"] = image.validity["psnr"], 0
    assert validity_record(other, images).squared_error_per_image == ()


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
        ({"n_photographs": 7}, "7 photographs may show a fault, only 8 or more that there is none"),
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
