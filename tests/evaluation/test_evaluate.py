"""Evaluation measures what independent code measures, in one pass and in any chunks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samplers import Blurry, broken
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invbench.data import DataSet
from invbench.data.photos import photos
from invbench.errors import InvalidSamplesError
from invbench.evaluation import rounds
from invbench.evaluation.evaluate import evaluate
from invbench.evaluation.experiment import Experiment, Facts, Settings, Subject
from invbench.evaluation.sampling import draw
from invbench.images import from_uint8
from invbench.metrics import load_lpips, validity_metrics
from invbench.models.cases import Case
from invbench.models.checkpoints import Checkpoint
from invbench.problems.tasks import get_task
from invbench.uncertainty import crps, energy_score, null_space_width, spread_and_error

METRICS = validity_metrics(load_lpips(offline=True))[:2]
PHOTOS = photos(128, 3)


def experiment(*, sampler=None, chunk_size=7, n_samples=20, **changes):
    arguments = {
        "case": Case("blurry", "sr16"),
        "task": get_task("sr16"),
        "subject": Subject(sampler or Blurry(128)),
        "data": DataSet("test", PHOTOS),
        "settings": Settings(n_samples=n_samples, chunk_size=chunk_size),
        "metrics": METRICS,
    }
    return Experiment(**arguments | changes)


def run(**changes):
    return evaluate(experiment(**changes))


@pytest.fixture(scope="module")
def evaluation():
    return run()


def test_freed_memory_goes_back_after_so_many_bytes_of_samples(monkeypatch):
    image = 20 * 3 * 128 * 128 * 4
    returned = []
    monkeypatch.setattr(rounds, "RETURNED_AFTER_BYTES", image)
    monkeypatch.setattr(rounds, "return_freed_memory", lambda: returned.append(1))
    run()
    assert len(returned) == len(PHOTOS) // 2


@pytest.fixture(scope="module")
def samples():
    """Draw the samples that the evaluation must have seen, image by image."""
    drawn = []
    for photo in PHOTOS:
        observation = get_task("sr16").operator(from_uint8(photo.pixels))
        drawn.append(
            draw(
                Blurry(128),
                observation[None],
                task="sr16",
                image_ids=[photo.id],
                size=(128, 128),
                n_samples=20,
            )[0]
        )
    return drawn


def test_validity_is_that_of_pillow_and_scikit_image(evaluation, samples):
    for index, (photo, drawn) in enumerate(zip(PHOTOS, samples, strict=True)):
        target = Image.fromarray(photo.pixels.permute(1, 2, 0).numpy())
        observation = np.array(target.resize((8, 8), Image.Resampling.BICUBIC))
        for k, sample in enumerate(drawn):
            pixels = (sample * 255).round().byte().permute(1, 2, 0).numpy()
            again = np.array(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BICUBIC))
            psnr = peak_signal_noise_ratio(observation, again)
            ssim = structural_similarity(observation, again, channel_axis=-1)
            assert evaluation.scores["psnr"][index, k] == pytest.approx(psnr, abs=1e-6)
            assert evaluation.scores["ssim"][index, k] == pytest.approx(ssim, abs=1e-5)
    record = evaluation.record.validity["psnr"]
    assert record.mean == pytest.approx(evaluation.scores["psnr"].mean())
    assert record.stderr == pytest.approx(
        evaluation.scores["psnr"].mean(axis=1).std(ddof=1) / 3**0.5
    )


def test_intervals_are_those_of_numpy(evaluation, samples):
    interval = evaluation.record.interval
    for index, (photo, drawn) in enumerate(zip(PHOTOS, samples, strict=True)):
        lower, upper = np.quantile(drawn.numpy(), [0.05, 0.95], axis=0)
        target = photo.pixels.numpy() / 255
        inside = ((lower - 1e-6 <= target) & (target <= upper + 1e-6)).mean()
        assert interval.coverage_per_image[index] == pytest.approx(inside, abs=2e-4)
        assert interval.width_per_image[index] == pytest.approx((upper - lower).mean(), abs=1e-6)
    assert interval.ideal_coverage == pytest.approx(0.9 * 19 / 21)


def test_uncertainty_scores_are_those_of_the_library(evaluation, samples):
    scores = evaluation.scores
    for index, (photo, drawn) in enumerate(zip(PHOTOS, samples, strict=True)):
        target = from_uint8(photo.pixels)
        variance, error = spread_and_error(drawn, target)
        reobservations = get_task("sr16").operator(drawn)
        expected = {
            "crps": crps(drawn, target),
            "variance": variance,
            "squared_error": error,
            "null_space_width": null_space_width(reobservations),
            "duplicate_fraction": 0.0,
        }
        energy = energy_score(drawn, target) / target.numel() ** 0.5
        assert scores["role_energy"][index, 0] == pytest.approx(float(energy), rel=1e-5)
        for name, value in expected.items():
            assert scores[name][index] == pytest.approx(float(value), rel=1e-5), name
    assert scores["role_coverage"].shape == scores["role_energy"].shape == (3, 21)
    assert np.array_equal(scores["role_coverage"][:, 0], scores["coverage"])
    assert scores["risk_by_length"].mean(1) == pytest.approx(1 - scores["coverage"])


def test_record_has_means_within_their_confidence_intervals(evaluation):
    interval, scores = evaluation.record.interval, evaluation.scores
    for name in ("winkler", "crps", "null_space_width"):
        found = interval.scores[name]
        assert found["value"] == pytest.approx(scores[name].mean())
        assert found["low"] < found["value"] < found["high"]
    ratio = 21 / 20 * scores["variance"].mean() / scores["squared_error"].mean()
    assert interval.scores["spread_skill"]["value"] == pytest.approx(ratio**0.5)
    assert interval.scores["duplicate_fraction"] == {"value": 0, "low": 0, "high": 0}
    low, high = interval.coverage_ci95
    assert low < interval.coverage < high
    assert evaluation.record.calibration.verdict == "under"  # a little noise is no posterior
    assert interval.coverage < interval.coverage_band[0] < interval.ideal_coverage


def test_calibration_says_that_three_photographs_are_too_few(evaluation):
    calibration = evaluation.record.interval.calibration
    assert calibration["guaranteed"]["certified"] is False
    assert calibration["guaranteed"]["reason"] == "n too small"
    assert calibration["guaranteed"]["n"] == 3


def test_the_chunk_does_not_matter(evaluation):
    again = run(chunk_size=20)
    assert again.record.key == evaluation.record.key
    for name, values in evaluation.scores.items():
        assert np.array_equal(values, again.scores[name])


def test_a_clock_that_runs_one_round_only_still_sees_every_image(evaluation):
    def once(target, *, setup, rounds):
        assert rounds == 3
        setup()
        target()

    again = evaluate(experiment(), measure_rounds=once)
    assert asdict(again.record.validity["psnr"]) == asdict(evaluation.record.validity["psnr"])
    assert len(again.record.throughput.seconds_per_round) == 3


def test_scoring_is_not_on_the_clock():
    calls = []

    class Slow(Blurry):
        def __call__(self, observation, generators):
            calls.append(len(generators))
            return super().__call__(observation, generators)

    record = run(sampler=Slow(128), chunk_size=20, n_samples=5).record
    # A warm-up, three images, the first again whole and in part. Pairs of rounds in between confirm
    # that repeating an input saved time, if the clock says so.
    assert calls[:5] == [5] * 5
    assert calls[-2:] == [3, 2]
    assert sum(record.throughput.seconds_per_round) < record.wall_s
    assert record.throughput.nfe == 1


def test_bad_samples_end_the_case_with_their_name():
    with pytest.raises(InvalidSamplesError, match="sample 26 of astronaut-0"):
        run(sampler=broken(get_task("sr16").problem((128, 128)), torch.device("cpu")))


CHANGES = {
    "model": {"case": Case("other", "sr16")},
    "source": {"subject": Subject(Blurry(128), Facts(source="elsewhere"))},
    "weights": {
        "subject": Subject(Blurry(128), Facts(checkpoint=Checkpoint(Path("a.pt"), "x", 1, {})))
    },
    "task": {"task": get_task("colorization")},
    "name of the data": {"data": DataSet("other", PHOTOS)},
    "images": {"data": DataSet("test", PHOTOS[:2])},
    "order of images": {"data": DataSet("test", PHOTOS[::-1])},
    "number of samples": {"n_samples": 5},
    "seed": {"settings": Settings(n_samples=20, chunk_size=7, seed=1)},
    "precision": {"settings": Settings(n_samples=20, chunk_size=7, dtype="bfloat16")},
    "metrics": {"metrics": METRICS[:1]},
    "version of a metric": {"metrics": (replace(METRICS[0], version="0"), METRICS[1])},
}


def test_the_identity_changes_with_what_the_numbers_depend_on():
    identities = [experiment(**changes).identity() for changes in CHANGES.values()]
    texts = {json.dumps(identity) for identity in [experiment().identity(), *identities]}
    assert len(texts) == 1 + len(CHANGES)


def test_the_identity_is_the_same_however_samples_are_chunked():
    assert experiment(chunk_size=1).identity() == experiment().identity()


def test_the_identity_says_what_is_known_and_no_more():
    weights = Checkpoint(Path("folder", "a.safetensors"), "abc", 12, {"steps": 3})
    facts = Facts(source="a paper", family="imle", stochastic="code", checkpoint=weights)
    identity = experiment(subject=Subject(Blurry(128), facts)).identity()
    assert list(identity) == ["model", "task", "sampling", "metrics"]
    assert list(identity["model"].items()) == [
        ("name", "blurry"),
        ("family", "imle"),
        ("source", "a paper"),
        ("stochastic", "code"),
        ("checkpoint", {"file": "a.safetensors", "sha256": "abc", "bytes": 12}),
    ]
    assert list(identity["task"]) == ["name", "version", "operator", "dataset"]
    assert identity["task"]["operator"]["params"] == {"factor": 16}
    assert identity["task"]["dataset"]["size"] == 128
    assert identity["task"]["dataset"]["groups"] == ["astronaut", "chelsea", "coffee"]
    assert identity["sampling"]["nfe"] == 1
    assert identity["metrics"]["ssim"]["win_size"] == 7


def test_ranks_and_tarp_are_counted_against_targets_and_other_photographs(evaluation, samples):
    interval = evaluation.record.interval
    shares = []
    for photo, drawn in zip(PHOTOS, samples, strict=True):
        below = (drawn.numpy() < photo.pixels.numpy() / 255 - 1e-6).sum(0)
        shares.append((below == 20).mean())  # above all samples, and so without ties
    assert interval.rank_histogram[-1] == pytest.approx(np.mean(shares), abs=0.01)
    assert sum(interval.rank_histogram) == pytest.approx(1)
    assert len(interval.rank_histogram) == 21

    for index, (photo, drawn) in enumerate(zip(PHOTOS, samples, strict=True)):
        others = [p for p in (*PHOTOS[index + 1 :], *PHOTOS[:index]) if p.group != photo.group]
        other = others[0].pixels.numpy() / 255
        limit = np.linalg.norm(photo.pixels.numpy() / 255 - other)
        nearer = np.mean([np.linalg.norm(one.numpy() - other) < limit for one in drawn])
        assert interval.tarp_per_image[index] == pytest.approx(nearer)


def test_scores_against_the_target_are_kept(evaluation, samples):
    found = evaluation.record.target["psnr"]
    each = [
        peak_signal_noise_ratio(photo.pixels.numpy() / 255, one.double().numpy(), data_range=1)
        for photo, drawn in zip(PHOTOS, samples, strict=True)
        for one in drawn
    ]
    assert found.mean == pytest.approx(np.mean(each), abs=1e-3)
    assert (found.unit, len(found.per_image)) == ("dB", 3)


class Tight(Blurry):
    """A sampler whose device holds three samples."""

    def __call__(self, observation, generators):
        if len(generators) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().__call__(observation, generators)


def test_the_record_says_how_many_samples_memory_held_at_a_time(evaluation):
    found = run(sampler=Tight(128)).record
    assert found.throughput.chunk_size == 3
    assert found.validity == evaluation.record.validity
    assert found.contract == ()
