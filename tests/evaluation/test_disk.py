"""Samples on disk are paired by id, and one bad file costs that file alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pictures import write_image
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from invbench.data.photos import photos
from invbench.errors import EmptyFolderError
from invbench.evaluation.disk import Question, score_folder
from invbench.images import from_uint8, to_uint8
from invbench.metrics import load_lpips, validity_metrics
from invbench.operators import PillowBicubic
from invbench.problems.tasks import get_task

METRICS = validity_metrics(load_lpips(offline=True))[:2]


@pytest.fixture
def layout(tmp_path):
    """Write targets, observations and three noisy samples of two images for two models."""
    for photo in photos(128, 2):
        target = from_uint8(photo.pixels)
        write_image(tmp_path / "targets" / f"{photo.id}.png", target)
        write_image(tmp_path / "observations" / f"{photo.id}.png", PillowBicubic()(target))
        for model in ("good", "noisy"):
            for k in range(3):
                rng = np.random.default_rng(k)
                noise = torch.from_numpy(
                    rng.normal(0, 0.02 if model == "good" else 0.3, (3, 128, 128))
                )
                path = tmp_path / "samples" / model / photo.id / f"{k}.png"
                write_image(path, (target + noise).clamp(0, 1))
    return tmp_path


def score(layout, *, targets=True):
    question = Question(
        task=get_task("sr16"),
        observations=layout / "observations",
        targets=layout / "targets" if targets else None,
        metrics=METRICS,
    )
    return score_folder(layout / "samples", question)


def image(layout, k, *, model="good", image_id="astronaut-0"):
    return layout / "samples" / model / image_id / f"{k}.png"


def test_scores_are_those_of_pillow_and_scikit_image(layout):
    scores = score(layout)
    assert scores.flaws == []
    for model, images in scores.results.items():
        for image_id, found in images.items():
            observation = np.array(Image.open(layout / "observations" / f"{image_id}.png"))
            for k, value in enumerate(found["psnr"]):
                sample = Image.open(image(layout, k, model=model, image_id=image_id))
                again = np.array(sample.resize((8, 8), Image.Resampling.BICUBIC))
                expected = peak_signal_noise_ratio(observation, again)
                assert value == pytest.approx(min(expected, 100), abs=1e-9)
    means = scores.means()
    assert means["good"]["psnr"] > means["noisy"]["psnr"] + 5
    assert means["noisy"]["coverage"] > 0.3


def test_order_of_samples_is_that_of_their_names(layout):
    before = score(layout).results["good"]["astronaut-0"]
    image(layout, 0).rename(image(layout, 9))
    after = score(layout).results["good"]["astronaut-0"]
    assert after["files"] == ["1.png", "2.png", "9.png"]
    assert after["psnr"] == before["psnr"][1:] + before["psnr"][:1]


def test_without_targets_there_is_no_coverage(layout):
    found = score(layout, targets=False).results["good"]["astronaut-0"]
    assert "coverage" not in found
    assert found["interval_width"] > 0


def test_pairs_are_made_by_id_and_never_by_order(layout):
    """Two images whose observations swap names must score badly, not be matched by position."""
    first, second = (layout / "observations" / f"{p.id}.png" for p in photos(64, 2))
    content = first.read_bytes(), second.read_bytes()
    good = score(layout).means()["good"]["psnr"]
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    assert score(layout).means()["good"]["psnr"] < good - 10


SPOIL = {
    "damaged": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "wrong size": lambda path: Image.new("RGB", (64, 64)).save(path),
    "transparent": lambda path: Image.new("RGBA", (128, 128)).save(path),
    "16 bits": lambda path: Image.fromarray(np.zeros((128, 128), np.uint16)).save(path),
    "no image": lambda path: path.write_text("hello"),
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_bad_file_is_named_and_the_rest_is_scored(layout, spoil):
    whole = score(layout)
    spoil(image(layout, 1))
    scores = score(layout)
    where = [flaw.where for flaw in scores.flaws]
    assert where[0] == "good/astronaut-0/1.png"
    assert {flaw.error for flaw in scores.flaws[:1]} == {"UnreadableImageError"}
    found = scores.results["good"]["astronaut-0"]
    assert found["files"] == ["0.png", "2.png"]
    assert found["psnr"] == whole.results["good"]["astronaut-0"]["psnr"][::2]
    assert scores.results["noisy"] == whole.results["noisy"]


def test_gray_and_palette_files_are_converted(layout):
    Image.open(image(layout, 0)).convert("L").save(image(layout, 0))
    Image.open(image(layout, 1)).quantize(32).save(image(layout, 1))
    scores = score(layout)
    assert scores.flaws == []
    assert len(scores.results["good"]["astronaut-0"]["psnr"]) == 3


def test_missing_partners_and_unequal_counts_are_named(layout):
    (layout / "observations" / "astronaut-0.png").unlink()
    image(layout, 2, image_id="chelsea-0").unlink()
    Image.new("RGB", (8, 8)).save(layout / "observations" / "extra.png")
    scores = score(layout)
    text = {flaw.where: flaw.message for flaw in scores.flaws}
    assert text["good/astronaut-0"] == "no astronaut-0.png in observations"
    assert text["good/extra"] == "an observation without samples"
    assert list(scores.results["noisy"]) == ["chelsea-0"]


def test_sizes_that_do_not_fit_are_named(layout):
    Image.new("RGB", (9, 8)).save(layout / "observations" / "astronaut-0.png")
    Image.new("RGB", (64, 64)).save(layout / "targets" / "chelsea-0.png")
    text = {flaw.where: flaw.message for flaw in score(layout).flaws}
    assert "no multiple" in text["good/astronaut-0"]
    assert "sizes must agree" in text["good/chelsea-0"]


def test_the_factor_follows_from_the_sizes(layout):
    target = from_uint8(photos(128, 1)[0].pixels)
    write_image(layout / "observations" / "astronaut-0.png", PillowBicubic(factor=8)(target))
    found = score(layout).results["good"]["astronaut-0"]
    assert found["operator"]["factor"] == 8
    assert min(found["psnr"]) > 30


def test_a_model_without_samples_does_not_stop_the_others(layout):
    (layout / "samples" / "empty").mkdir()
    scores = score(layout)
    assert [flaw.where for flaw in scores.flaws] == ["empty"]
    assert set(scores.results) == {"good", "noisy"}


def test_empty_folders_are_named(tmp_path, layout):
    with pytest.raises(EmptyFolderError, match="no such folder"):
        score(tmp_path / "nowhere")
    (tmp_path / "void").mkdir()
    with pytest.raises(EmptyFolderError, match="no model"):
        score_folder(
            tmp_path / "void",
            Question(task=get_task("sr16"), observations=layout / "observations", metrics=METRICS),
        )


def test_results_are_json_by_model_image_and_metric(layout):
    score(layout).write(layout / "results.json")
    content = json.loads((layout / "results.json").read_text())
    assert len(content["results"]["good"]["chelsea-0"]["ssim"]) == 3
    assert set(content["means"]) == {"good", "noisy"}


def test_single_samples_are_scored_without_an_interval(layout):
    for k in (1, 2):
        image(layout, k).unlink()
    found = score(layout).results["good"]["astronaut-0"]
    assert len(found["psnr"]) == 1
    assert "interval_width" not in found


@pytest.mark.parametrize("task", ["colorization", "decompression"])
def test_other_tasks_reobserve_at_full_size(tmp_path, task):
    photo = photos(64, 1)[0]
    target = from_uint8(photo.pixels)
    write_image(tmp_path / "observations" / "a.png", get_task(task).operator(target))
    write_image(tmp_path / "samples" / "m" / "a" / "0.png", to_uint8(target))
    question = Question(
        task=get_task(task), observations=tmp_path / "observations", metrics=METRICS
    )
    assert score_folder(tmp_path / "samples", question).results["m"]["a"]["psnr"] == [100.0]
