"""Samples on disk become records, paired by id, and one bad file costs that file alone."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from mixed_folder import huge_png, rotated_exif
from pictures import write_image
from PIL import Image
from run_records import run_record
from skimage.metrics import peak_signal_noise_ratio

from invbench.data import DataSet
from invbench.data.layout import find_samples
from invbench.data.photos import photos
from invbench.errors import EmptyFolderError
from invbench.evaluation import (
    Question,
    Settings,
    reference_scores,
    score_image,
    score_samples,
)
from invbench.images import from_uint8, to_uint8
from invbench.metrics import load_lpips, validity_metrics
from invbench.operators import PillowBicubic, PillowJpeg
from invbench.problems import find_task, get_task
from invbench.runs import RunStore, from_json, to_json

METRICS = validity_metrics(load_lpips(offline=True))[:2]
PHOTOS = photos(128, 3)


@pytest.fixture
def layout(tmp_path):
    """Write targets, observations and three noisy samples of three images."""
    for photo in PHOTOS:
        target = from_uint8(photo.pixels)
        write_image(tmp_path / "targets" / f"{photo.id}.png", target)
        write_image(tmp_path / "observations" / f"{photo.id}.png", PillowBicubic()(target))
        for k in range(3):
            noise = torch.from_numpy(np.random.default_rng(k).normal(0, 0.02, target.shape))
            write_image(image(tmp_path, k, image_id=photo.id), (target + noise).clamp(0, 1))
    return tmp_path


def add_model(layout):
    """Let a second model have the samples of the first."""
    shutil.copytree(layout / "samples" / "good", layout / "samples" / "other")


def image(layout, k, *, model="good", image_id="astronaut-0"):
    return layout / "samples" / model / image_id / f"{k}.png"


def question(layout, *, task="sr16", targets=True, metrics=METRICS, **arguments):
    return Question(
        task=find_task(task),
        observations=layout / "observations",
        targets=layout / "targets" if targets else None,
        metrics=metrics,
        **arguments,
    )


def score(layout, **arguments):
    """Return each model's evaluation."""
    found = score_samples(find_samples(layout / "samples"), question(layout, **arguments))
    return {evaluation.record.identity["model"]["name"]: evaluation for evaluation in found}


def ids(evaluation):
    return evaluation.record.identity["task"]["dataset"]["image_ids"]


def test_scores_are_those_of_pillow_and_scikit_image(layout):
    for model, found in score(layout).items():
        assert found.record.left_out == found.record.remarks == ()
        for image_id, row in zip(ids(found), found.scores["psnr"], strict=True):
            observation = np.array(Image.open(layout / "observations" / f"{image_id}.png"))
            for k, value in enumerate(row):
                sample = Image.open(image(layout, k, model=model, image_id=image_id))
                again = np.array(sample.resize((8, 8), Image.Resampling.BICUBIC))
                expected = peak_signal_noise_ratio(observation, again)
                assert value == pytest.approx(min(expected, 100), abs=1e-9)


def test_a_record_holds_what_the_suite_measures_of_the_same_samples(layout):
    record = score(layout)["good"].record
    samples = [
        torch.stack([read(image(layout, k, image_id=photo.id)) for k in range(3)])
        for photo in PHOTOS
    ]
    for index, photo in enumerate(PHOTOS):
        target, other = from_uint8(photo.pixels), from_uint8(PHOTOS[(index + 1) % 3].pixels)
        alone = score_image(
            samples[index],
            PillowBicubic()(target),
            operator=PillowBicubic(),
            metrics=METRICS,
            target=target,
            other=other,
        )
        assert record.validity["psnr"].per_image[index] == pytest.approx(
            alone.validity["psnr"].mean()
        )
        assert record.interval.winkler_per_image[index] == pytest.approx(alone.winkler)
        assert record.interval.coverage_per_image[index] == pytest.approx(alone.coverage)
        assert record.interval.tarp_per_image[index] == pytest.approx(alone.tarp)
        assert record.target["psnr_best"].per_image[index] == pytest.approx(
            alone.target["psnr_best"]
        )
    assert set(record.interval.scores) >= {"crps", "null_space_width", "duplicate_fraction"}
    assert record.interval.n_samples == 3
    assert record.identity["sampling"] == {"sampler": "folder", "n_samples": 3}
    data = DataSet("targets", [replace(photo, group=photo.id) for photo in PHOTOS])
    dataset = dict(record.identity["task"]["dataset"])
    assert len(dataset.pop("observations_sha256")) == 64
    assert dataset == data.identity()


def read(path):
    return from_uint8(torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1))


def test_folders_whose_names_are_no_text_can_be_read_back(layout):
    targets, folder = layout / "targ\udcff", layout / "run\udcff"
    (layout / "targets").rename(targets)
    one = replace(question(layout), targets=targets)
    (found,) = score_samples(find_samples(layout / "samples"), one)
    store = RunStore(folder)
    store.write_run(run_record(run_id=store.run_id))
    store.write_case(found.record, found.scores)
    assert store.read_run()["run_id"] == r"run\udcff"
    identity = store.read_case(found.record.case_id).identity
    assert identity["task"]["dataset"]["name"] == r"targ\udcff"


def test_a_record_is_stored_and_read_back(layout):
    store = RunStore(layout / "run")
    image(layout, 2).unlink()
    for found in score(layout).values():
        store.write_case(found.record, found.scores)
        assert from_json(to_json(found.record)) == store.read_whole_case(found.record.case_id)


def test_the_same_samples_are_known_again_and_others_told_apart(layout):
    def digest():
        return score(layout)["good"].record.identity["model"]["source_sha256"]

    before = digest()
    Image.open(image(layout, 0)).save(image(layout, 0).with_suffix(".bmp"))
    image(layout, 0).unlink()
    assert digest() == before
    first, second = image(layout, 1), image(layout, 2)
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    assert digest() != before


def test_lpips_is_recorded_with_its_weights(layout):
    metric = validity_metrics(load_lpips(offline=True))[2]
    record = score(layout, metrics=[metric])["good"].record
    assert record.identity["metrics"][metric.name] == metric.identity()
    assert len(record.identity["metrics"][metric.name]["backbone_sha256"]) == 64


def test_order_of_samples_is_that_of_their_names(layout):
    before = score(layout)["good"].scores["psnr"][0]
    image(layout, 0).rename(image(layout, 9))
    after = score(layout)["good"].scores["psnr"][0]
    assert after.tolist() == [*before[1:], before[0]]


def test_without_targets_there_is_no_coverage_but_width(layout):
    with_targets, record = (score(layout, targets=t)["good"].record for t in (True, False))
    assert record.interval is None
    assert not record.target
    assert record.spread["width"].per_image == with_targets.interval.width_per_image
    for name in ("null_space_width", "duplicate_fraction"):
        expected = with_targets.interval.scores[name]["value"]
        assert record.spread[name].mean == pytest.approx(expected)
    assert record.spread["width"].mean > 0.01


def test_the_skill_is_against_the_suite_s_own_reference_on_the_same_images(layout):
    add_model(layout)
    shutil.rmtree(layout / "samples" / "other" / PHOTOS[0].id)
    found = score(layout)
    for model, images in (("good", PHOTOS), ("other", PHOTOS[1:])):
        settings = Settings(n_samples=3, chunk_size=3)
        expected = reference_scores(get_task("sr16"), DataSet("targets", images), settings)
        record = found[model].record
        for name, scores in expected.scores.items():
            skill = record.skill[name]
            assert skill.reference_per_image == pytest.approx(scores.tolist())
            assert skill.value == pytest.approx(1 - np.mean(skill.per_image) / scores.mean())
        assert record.skill["crps"].value == pytest.approx(
            1 - record.interval.scores["crps"]["value"] / record.reference["crps"]
        )
        assert record.reference == pytest.approx(expected.means)
        assert record.skill["crps"].value > 0.5  # the samples are the target and little noise


def test_the_reference_is_given_the_observation_on_disk(layout):
    before = score(layout)["good"].record.skill["crps"].reference_per_image
    path = layout / "observations" / f"{PHOTOS[0].id}.png"
    Image.new("RGB", (8, 8)).save(path)
    after = score(layout)["good"].record.skill["crps"].reference_per_image
    assert after[0] > 2 * before[0]
    assert after[1:] == before[1:]


@pytest.mark.parametrize("wanted", [{"targets": False}, {"skill": False}])
def test_without_targets_or_if_not_wanted_there_is_no_skill(layout, wanted):
    record = score(layout, **wanted)["good"].record
    assert (record.skill, record.reference) == ({}, {})


def test_of_single_samples_there_is_no_skill(layout):
    for photo in PHOTOS:
        for k in (1, 2):
            image(layout, k, image_id=photo.id).unlink()
    assert score(layout)["good"].record.skill == {}


def test_pairs_are_made_by_id_and_never_by_order(layout):
    """Two images whose observations swap names must score badly, not be matched by position."""
    first, second = (layout / "observations" / f"{photo.id}.png" for photo in PHOTOS[:2])
    content = first.read_bytes(), second.read_bytes()
    good = score(layout, targets=False)["good"].record.validity["psnr"].per_image
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    bad = score(layout, targets=False)["good"].record.validity["psnr"].per_image
    assert max(bad[:2]) < min(good) - 10
    assert bad[2] == good[2]


def as_16_bits(path):
    Image.fromarray(np.zeros((128, 128), np.uint16)).save(path)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


SPOIL = {
    "damaged": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "wrong size": lambda path: Image.new("RGB", (64, 64)).save(path),
    "transparent": lambda path: Image.new("RGBA", (128, 128)).save(path),
    "16 bits": as_16_bits,
    "no image": lambda path: path.write_text("hello"),
    "huge": lambda path: path.write_bytes(huge_png()),
    "fifo": fifo,
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_bad_file_is_named_and_all_others_are_scored(layout, spoil):
    add_model(layout)
    whole = score(layout)
    spoil(image(layout, 1))
    found = score(layout)
    (left_out,) = found["good"].record.left_out
    assert left_out.startswith("astronaut-0/1.png: ")
    scores, before = found["good"].scores["psnr"], whole["good"].scores["psnr"]
    assert scores[0][:2].tolist() == before[0][::2].tolist()
    assert np.isnan(scores[0][2])
    assert scores[1:].tolist() == before[1:].tolist()
    assert found["good"].scores["sample_counts"].tolist() == [2, 3, 3]
    means = found["good"].record.validity["psnr"].per_image
    assert means[0] == pytest.approx(before[0][::2].mean())
    assert found["other"].scores["psnr"].tolist() == whole["other"].scores["psnr"].tolist()
    assert found["other"].record.left_out == ()


def test_intervals_are_made_from_as_many_samples_of_every_image(layout):
    image(layout, 2).unlink()
    few = score(layout)["good"]
    for photo in PHOTOS[1:]:
        image(layout, 2, image_id=photo.id).unlink()
    expected = score(layout)["good"].record
    assert few.record.interval.width_per_image == expected.interval.width_per_image
    assert few.record.interval.n_samples == expected.interval.n_samples == 2
    assert few.record.interval.ideal_coverage == expected.interval.ideal_coverage
    assert few.record.validity["psnr"] != expected.validity["psnr"]
    assert "astronaut-0: 2 samples where most images have 3" in few.record.remarks
    assert expected.remarks == ()


def test_a_picture_that_is_there_twice_is_said(layout):
    shutil.copy(image(layout, 0), image(layout, "00"))
    for photo in PHOTOS[1:]:
        write_image(image(layout, "3", image_id=photo.id), torch.full((3, 128, 128), 0.5))
    assert score(layout)["good"].record.remarks == (
        "1 sample of the same pixels as another of the image, as astronaut-0/00.png is 0.png",
    )


def test_the_orientation_of_samples_is_applied(layout):
    before = score(layout)["good"].scores["psnr"]
    sample = Image.open(image(layout, 0))
    turned = sample.transpose(Image.Transpose.ROTATE_90)
    turned.save(image(layout, 0), exif=rotated_exif())
    assert score(layout)["good"].scores["psnr"].tolist() == before.tolist()


def test_litter_of_other_programs_is_passed_over(layout):
    whole = score(layout)["good"].record
    for folder in (layout / "observations", layout / "targets", image(layout, 0).parent):
        for name in (".DS_Store", "._0.png", "README.txt"):
            (folder / name).write_bytes(b"litter")
    checkpoints = image(layout, 0).parent / ".ipynb_checkpoints"
    checkpoints.mkdir()
    (checkpoints / "0.png").write_bytes(image(layout, 0).read_bytes())
    (layout / "samples" / "__MACOSX").mkdir()
    assert replace(score(layout)["good"].record, wall_s=0.0) == replace(whole, wall_s=0.0)


def test_two_files_of_one_id_are_named(layout):
    Image.open(layout / "targets" / "astronaut-0.png").save(layout / "targets" / "astronaut-0.bmp")
    found = score(layout)["good"]
    (left_out,) = found.record.left_out
    assert left_out.startswith("astronaut-0: targets: ")
    assert "astronaut-0.bmp and astronaut-0.png have one id" in left_out
    assert ids(found) == ["chelsea-0", "coffee-0"]


def test_missing_partners_are_named_and_missing_samples_remarked(layout):
    (layout / "observations" / "astronaut-0.png").unlink()
    Image.new("RGB", (8, 8)).save(layout / "observations" / "extra.png")
    found = score(layout)["good"]
    assert found.record.left_out == ("astronaut-0: observations: no astronaut-0.png",)
    assert found.record.remarks == ("observations without samples: extra",)
    assert ids(found) == ["chelsea-0", "coffee-0"]


def test_sizes_that_do_not_fit_are_named(layout):
    Image.new("RGB", (9, 8)).save(layout / "observations" / "astronaut-0.png")
    Image.new("RGB", (64, 64)).save(layout / "targets" / "chelsea-0.png")
    found = score(layout)["good"]
    text = "\n".join(found.record.left_out)
    assert "astronaut-0: sr16 makes 8x8 pixels of samples 128x128, the observation has 9x8" in text
    assert "chelsea-0: target 64x64, samples 128x128: sizes must agree" in text
    assert ids(found) == ["coffee-0"]


def test_what_is_not_in_an_images_folder_is_named(layout):
    Image.new("RGB", (8, 8)).save(layout / "samples" / "good" / "stray.png")
    (left_out,) = score(layout)["good"].record.left_out
    assert left_out == "stray.png: lies beside the images' folders; expected in one"


def test_ids_may_be_paths_and_sub_folders_groups(layout):
    for folder in ("observations", "targets", "samples/good"):
        (layout / folder / "space").mkdir()
        for photo in PHOTOS[:2]:
            name = photo.id if "samples" in folder else f"{photo.id}.png"
            (layout / folder / name).rename(layout / folder / "space" / name)
    found = score(layout)["good"]
    assert ids(found) == ["coffee-0", "space/astronaut-0", "space/chelsea-0"]
    assert found.record.identity["task"]["dataset"]["groups"] == ids(found)
    grouped = score(layout, groups="folder")["good"].record.identity["task"]["dataset"]["groups"]
    assert grouped == ["coffee-0", "space", "space"]


def test_a_model_without_samples_does_not_stop_the_others(layout):
    (layout / "samples" / "empty").mkdir()
    found = score(layout)
    assert (found["empty"].record.status, found["good"].record.status) == ("error", "measured")
    assert "no sample" in found["empty"].record.left_out[0]


def test_what_is_no_folder_in_a_model_s_place_and_links_are_said(layout):
    samples = layout / "samples"
    os.mkfifo(samples / "pipe")
    (samples / "lost").symlink_to("nowhere")
    (samples / "linked").symlink_to("good")
    (samples / "README.txt").write_text("none of it")
    (samples / "good" / "coffee-0").rename(layout / "elsewhere")
    (samples / "good" / "coffee-0").symlink_to(layout / "elsewhere")
    found = {name: one.record for name, one in score(layout).items()}
    assert found.keys() == {"good", "linked", "lost", "pipe"}
    assert found["pipe"].left_out == ("pipe: is a fifo, no folder",)
    assert found["lost"].left_out == ("lost: no such folder",)
    assert "followed links: coffee-0" in found["good"].remarks
    assert "followed links: the folder itself, coffee-0" in found["linked"].remarks


def test_empty_folders_are_named(tmp_path, layout):
    with pytest.raises(EmptyFolderError, match="no such folder"):
        find_samples(tmp_path / "nowhere")
    (tmp_path / "void").mkdir()
    with pytest.raises(EmptyFolderError, match="no model"):
        find_samples(tmp_path / "void")
    lost = replace(question(layout), observations=tmp_path / "void")
    with pytest.raises(EmptyFolderError, match="<image id>"):
        list(score_samples(find_samples(layout / "samples"), lost))


def test_single_samples_are_scored_without_an_interval(layout):
    for photo in PHOTOS:
        for k in (1, 2):
            image(layout, k, image_id=photo.id).unlink()
    found = score(layout)["good"]
    assert found.scores["psnr"].shape == (3, 1)
    assert found.record.interval is None
    assert found.record.spread == {}
    expected = peak_signal_noise_ratio(
        np.array(Image.open(layout / "targets" / "astronaut-0.png")),
        np.array(Image.open(image(layout, 0))),
    )
    assert found.record.target["psnr"].per_image[0] == pytest.approx(expected)


@pytest.mark.parametrize("task", ["colorization", "decompression"])
def test_other_tasks_reobserve_at_full_size(tmp_path, task):
    target = from_uint8(photos(64, 1)[0].pixels)
    write_image(tmp_path / "observations" / "a.png", get_task(task).operator(target))
    write_image(tmp_path / "samples" / "m" / "a" / "0.png", to_uint8(target))
    found = score(tmp_path, task=task, targets=False)["m"]
    assert found.record.validity["psnr"].per_image == (100.0,)


class TestObservationsThatAreNotTheTasks:
    def said(self, tmp_path, observe, *, task, targets):
        for photo in photos(128, 5):
            target = from_uint8(photo.pixels)
            observation = observe(target)
            shown = target[:, : observation.shape[-2], : observation.shape[-1]]
            sized = target if task == "sr16" else shown
            write_image(tmp_path / "targets" / f"{photo.id}.png", sized)
            write_image(tmp_path / "observations" / f"{photo.id}.png", observation)
            write_image(tmp_path / "samples" / "m" / photo.id / "0.png", sized)
        return score(tmp_path, task=task, targets=targets)["m"].record.remarks

    def off_the_grid(self, target):
        return PillowJpeg(quality=1)(target)[:, 4:, 4:]

    @pytest.mark.parametrize("targets", [False, True])
    def test_jpeg_on_its_grid_is_well(self, tmp_path, targets):
        observe = PillowJpeg(quality=1)
        assert self.said(tmp_path, observe, task="decompression", targets=targets) == ()

    @pytest.mark.parametrize("observe", ["off_the_grid", PillowJpeg(quality=10)])
    def test_jpeg_of_another_grid_or_quality_is_named(self, tmp_path, observe):
        observe = getattr(self, observe) if isinstance(observe, str) else observe
        (said,) = self.said(tmp_path, observe, task="decompression", targets=False)
        assert said.startswith("F(observation) is far from the observation (median 2")

    @pytest.mark.parametrize("hidden", [0.0, 0.5])
    def test_masks_whose_hidden_pixels_are_not_black_are_named(self, tmp_path, hidden):
        task = find_task("inpaint-box")
        shown = task.problem((128, 128)).measured()

        def observe(target):
            return target.where(shown, torch.tensor(hidden))

        said = self.said(tmp_path, observe, task="inpaint-box", targets=False)
        assert len(said) == (hidden > 0)
        if hidden:
            assert said[0].endswith("not made by inpaint-box")

    def test_another_interpolation_is_named_if_there_are_targets(self, tmp_path):
        def antialiased(target, *, antialias=True):
            small = torch.nn.functional.interpolate(
                target[None], size=(8, 8), mode="bicubic", antialias=antialias
            )
            return small[0].clamp(0, 1)

        def plain(target):
            return antialiased(target, antialias=False)

        assert self.said(tmp_path / "a", antialiased, task="sr16", targets=True) == ()
        (said,) = self.said(tmp_path / "b", plain, task="sr16", targets=True)
        assert said.startswith("F(target) is far from the observation (median ")
