"""Samples made elsewhere: observed, scored, and from then on a run like any other."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch
from mixed_folder import encoded, picture, write, write_mixed_folder
from PIL import Image

from invbench.cli import main
from invbench.exit_codes import ExitCode
from invbench.gate import read_snapshot
from invbench.images import from_uint8, read_image, to_uint8, write_png
from invbench.operators import PillowBicubic
from invbench.runs import RunStore, validate

IDS = ("alps/1", "alps/2", "city", "creek", "dunes", "field", "lake", "shore", "wood")


def call(*arguments):
    return main([str(argument) for argument in arguments])


def observe(folder, *arguments, task="sr16"):
    given = ("--images", folder / "photos", "-o", folder, "--device", "cpu", *arguments)
    return call("observe", "--task", task, *given)


def score(folder, run="run", *arguments, targets=True):
    given = ["--observations", folder / "observations", "-o", folder / run, "--offline"]
    if targets:
        given += ["--targets", folder / "targets"]
    return call(
        "score", folder / "samples", "--task", "sr16", *given, "--device", "cpu", *arguments
    )


def draw(folder, model, noise, *, seed=0, ids=IDS):
    """Let a model draw three samples of each image: the target and noise."""
    for number, image_id in enumerate(ids):
        target = from_uint8(read_image(folder / "targets" / f"{image_id}.png"))
        for k in range(3):
            generator = torch.Generator().manual_seed(100 * seed + 10 * number + k)
            noisy = target + noise * torch.randn(target.shape, generator=generator)
            write_png(folder / "samples" / model / image_id / f"{k}.png", to_uint8(noisy))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    for number, image_id in enumerate(IDS):
        write(folder / "photos" / f"{image_id}.png", encoded(picture(number, 160), "PNG"))
    assert observe(folder, "--size", "128") is ExitCode.OK
    draw(folder, "chimle", 0.02)
    draw(folder, "ddrm", 0.05)
    assert score(folder) is ExitCode.OK
    return folder


@pytest.fixture
def place(prepared, tmp_path):
    """Give a copy that a test may spoil."""
    return shutil.copytree(prepared, tmp_path / "copy")


class TestObserve:
    def test_observations_are_those_of_the_targets_without_loss(self, prepared):
        for image_id in IDS:
            target = read_image(prepared / "targets" / f"{image_id}.png")
            photo = Image.open(prepared / "photos" / f"{image_id}.png")
            expected = np.array(photo.resize((128, 128), Image.Resampling.LANCZOS))
            assert np.array_equal(target.permute(1, 2, 0), expected)
            observation = read_image(prepared / "observations" / f"{image_id}.png")
            small = Image.fromarray(expected).resize((8, 8), Image.Resampling.BICUBIC)
            assert np.array_equal(observation.permute(1, 2, 0), np.array(small))

    def test_gray_observations_are_gray_files(self, tmp_path):
        write(tmp_path / "photos" / "a.png", encoded(picture(), "PNG"))
        assert observe(tmp_path, task="colorization") is ExitCode.OK
        with Image.open(tmp_path / "observations" / "a.png") as image:
            assert (image.mode, image.size) == ("L", (64, 64))

    def test_all_problems_of_the_photographs_are_listed(self, tmp_path, capsys):
        said = write_mixed_folder(tmp_path / "photos")
        assert observe(tmp_path, "--size", "64") is ExitCode.MISSING
        listed = capsys.readouterr().err
        assert all(name in listed for name in said)
        assert not (tmp_path / "observations").exists()

    def test_nothing_is_overwritten(self, place, capsys):
        assert observe(place, "--size", "16") is ExitCode.USAGE
        assert "is there already" in capsys.readouterr().err


class TestTheRun:
    def test_is_whole_and_says_where_its_samples_are_from(self, prepared):
        assert validate(prepared / "run") == []
        facts = RunStore(prepared / "run").read_run()
        assert facts["profile"] == "folder"
        assert facts["selected_cases"] == facts["expected_cases"] == ["chimle-sr16", "ddrm-sr16"]
        record = RunStore(prepared / "run").read_case("ddrm-sr16")
        assert record.identity["sampling"] == {"sampler": "folder", "n_samples": 3}
        assert set(record.not_measured) == {"throughput", "contract"}

    @pytest.mark.parametrize("suffix", ["md", "html", "csv"])
    def test_is_reported(self, prepared, tmp_path, suffix):
        file = tmp_path / f"report.{suffix}"
        assert call("report", prepared / "run", "-o", file) is ExitCode.OK
        text = file.read_text()
        assert "chimle-sr16" in text
        record = RunStore(prepared / "run").read_case("chimle-sr16")
        digits = f"{record.validity['psnr'].mean:.2f}"
        assert digits[:-1] in text

    def test_is_ranked_and_laid_beside_the_study(self, prepared, capsys):
        assert call("rank", prepared / "run", "--score", "psnr") is ExitCode.OK
        assert "sr16 psnr, 9 photographs\n  1. chimle" in capsys.readouterr().out
        assert call("paper", prepared / "run") is ExitCode.OK
        (row,) = [r for r in capsys.readouterr().out.splitlines() if r.startswith("| chimle")][:1]
        record = RunStore(prepared / "run").read_case("chimle-sr16")
        assert row.split(" | ")[1].strip("*") == f"{record.validity['psnr'].mean:.2f}"

    def test_becomes_a_baseline_that_worse_samples_do_not_keep(self, place, capsys):
        baselines = place / "baselines"
        assert call("baseline", "promote", place / "run", "--folder", baselines) is ExitCode.OK
        (file,) = baselines.rglob("folder.json")
        assert score(place, "again") is ExitCode.OK
        assert call("compare", file, place / "again") is ExitCode.OK
        assert "identical" in capsys.readouterr().out
        draw(place, "ddrm", 0.3, seed=1)
        assert score(place, "worse") is ExitCode.OK
        assert call("compare", file, place / "worse") is ExitCode.FAILED
        worse = [line for line in capsys.readouterr().out.splitlines() if "ddrm-sr16 " in line]
        assert any("psnr" in line and ("regressed" in line or "suspect" in line) for line in worse)

    def test_merges_with_one_of_other_models(self, place):
        shutil.move(place / "samples" / "ddrm", place / "elsewhere")
        assert score(place, "one") is ExitCode.OK
        shutil.rmtree(place / "samples")
        shutil.move(place / "elsewhere", place / "samples" / "ddrm")
        assert score(place, "other") is ExitCode.OK
        both = place / "both"
        assert call("merge", place / "one", place / "other", "-o", both) is ExitCode.OK
        assert validate(both) == []
        whole, merged = (read_snapshot(place / name).cases for name in ("run", "both"))
        for case, record in whole.items():
            assert asdict(merged[case]) | {"wall_s": 0} == asdict(record) | {"wall_s": 0}


class TestUnevenFolders:
    def test_means_over_shared_images_stand_beside_means_over_own(self, place, capsys):
        """A model that lacks the image that is hardest for all must not be ranked by that."""
        draw(place, "chimle", 0.3, ids=IDS[-1:])
        draw(place, "ddrm", 0.025)
        shutil.rmtree(place / "samples" / "ddrm" / IDS[-1])
        capsys.readouterr()
        assert score(place, "uneven") is ExitCode.OK
        printed = capsys.readouterr().out
        above, _, below = printed.partition("sr16: means over the 8 images that all 2 cases share")
        own = {line.split()[0]: line.split() for line in above.splitlines() if line}
        columns = own["case"]
        psnr = {
            case: float(own[case][columns.index("psnr")]) for case in ("chimle-sr16", "ddrm-sr16")
        }
        assert [own[case][1] for case in psnr] == ["9", "8"]
        assert columns[:3] == ["case", "images", "psnr"]  # samples do not differ
        assert psnr["ddrm-sr16"] > psnr["chimle-sr16"]
        shared = {line.split()[0]: line.split() for line in below.splitlines() if line}
        assert float(shared["chimle-sr16"][2]) > float(shared["ddrm-sr16"][2])
        assert below.index("chimle-sr16") < below.index("ddrm-sr16")
        assert "ddrm-sr16: observations without samples: wood" in above
        assert call("rank", place / "uneven", "--score", "psnr") is ExitCode.OK
        assert "sr16 psnr, 8 photographs\n  1. chimle" in capsys.readouterr().out
        for suffix in ("md", "html"):
            assert call("report", place / "uneven", "-o", place / f"r.{suffix}") is ExitCode.OK
            assert "means over the 8 images" in (place / f"r.{suffix}").read_text()

    def test_uneven_counts_are_remarked_and_no_failure(self, place, capsys):
        (place / "samples" / "ddrm" / "city" / "2.png").unlink()
        assert score(place, "uneven") is ExitCode.OK
        assert "ddrm-sr16: city: 2 samples where most images have 3" in capsys.readouterr().out
        assert validate(place / "uneven") == []

    def test_a_file_that_cannot_be_scored_is_one_and_the_rest_is_stored(self, place, capsys):
        write(place / "samples" / "ddrm" / "city" / "2.png", b"damaged")
        assert score(place, "damaged") is ExitCode.FAILED
        said = capsys.readouterr().out
        assert "ddrm-sr16: not scored: city/2.png: cannot be read as PNG" in said
        assert validate(place / "damaged") == []
        assert call("report", place / "damaged", "-o", place / "r.md") is ExitCode.OK
        assert "not scored: city/2.png" in (place / "r.md").read_text()

    def test_nothing_to_score_is_incomparable(self, place, capsys):
        shutil.rmtree(place / "observations")
        write(place / "observations" / "other.png", encoded(picture(side=8), "PNG"))
        assert score(place, "nothing") is ExitCode.INCOMPARABLE
        assert "not scored: alps/1: observations: no alps/1.png" in capsys.readouterr().out


def test_a_line_says_what_the_scores_are_over_and_columns_can_be_chosen(place, capsys):
    capsys.readouterr()
    assert score(place, "chosen", "--columns", "winkler,crps") is ExitCode.OK
    scope, heading, *_ = capsys.readouterr().out.splitlines()
    assert scope.startswith("K = 3 samples an image, 9 images of 9 photographs (")
    assert scope.endswith("), 128 px wide")
    assert heading.split() == ["case", "winkler", "crps", "verdict"]


def test_without_targets_width_and_duplicates_are_reported(place, capsys):
    shutil.copy(
        place / "samples" / "ddrm" / "city" / "0.png", place / "samples" / "ddrm" / "city" / "1.png"
    )
    capsys.readouterr()
    assert score(place, "blind", targets=False) is ExitCode.OK
    _, heading, _, ddrm, *_ = (line.split() for line in capsys.readouterr().out.splitlines())
    cells = dict(zip(heading, ddrm, strict=True))
    assert float(cells["duplicate_fraction"]) == pytest.approx(1 / 3 / 9, rel=1e-3)
    assert float(cells["mean_width"]) > 0.05
    assert "coverage" not in cells
    assert validate(place / "blind") == []
    assert call("paper", place / "blind") is ExitCode.OK


def test_a_folder_that_holds_a_run_is_kept_unless_fresh_is_asked_for(place, capsys):
    assert score(place) is ExitCode.USAGE
    assert "--fresh" in capsys.readouterr().err
    assert score(place, "run", "--fresh") is ExitCode.OK


def test_a_run_is_replaced_only_where_there_is_something_to_score(place, capsys):
    before = (place / "run" / "run.json").read_bytes()
    shutil.rmtree(place / "targets")
    assert score(place, "run", "--fresh") is ExitCode.MISSING
    assert "targets: no such folder" in capsys.readouterr().err
    assert (place / "run" / "run.json").read_bytes() == before


def test_folders_whose_names_are_no_model_s_are_refused_all_at_once(place, capsys):
    for name in ("my model", "-x", "größe", "v1.2_b-c"):
        shutil.copytree(place / "samples" / "ddrm", place / "samples" / name)
    assert score(place, "odd") is ExitCode.USAGE
    said = capsys.readouterr().err
    assert r"rename '-x', 'gr\xf6\xdfe', 'my model'; a folder's name is its model's" in said
    assert not (place / "odd").exists()


def test_skill_stands_in_the_table_the_report_and_the_ranking(place, capsys):
    record = RunStore(place / "run").read_case("ddrm-sr16")
    assert call("report", place / "run", "-o", place / "r.md") is ExitCode.OK
    row = next(x for x in (place / "r.md").read_text().splitlines() if "| ddrm-sr16" in x)
    assert f"{record.skill['crps'].value:+.2f}" in row
    assert call("rank", place / "run", "--score", "crps") is ExitCode.OK
    assert score(place, "without", "--no-skill") is ExitCode.OK
    assert "crps_skill" not in capsys.readouterr().out
    assert RunStore(place / "without").read_case("ddrm-sr16").skill == {}


def test_reobservations_are_those_of_the_operator(prepared):
    sample = from_uint8(read_image(prepared / "samples" / "ddrm" / "city" / "0.png"))
    observation = from_uint8(read_image(prepared / "observations" / "city.png"))
    error = (PillowBicubic()(sample) - observation).square().mean().double()
    scores = RunStore(prepared / "run").read_scores("ddrm-sr16")["psnr"]
    assert scores[2, 0] == pytest.approx(float(-10 * error.log10()), abs=1e-4)


@pytest.mark.parametrize("name", ["a\n# b", "\x1b[31mred", "\u202etxt", "m" * 65], ids=ascii)
def test_a_model_whose_name_cannot_be_shown_is_refused_before_any_work(tmp_path, capsys, name):
    write_png(
        tmp_path / "samples" / name / "city" / "0.png", torch.zeros(3, 8, 8, dtype=torch.uint8)
    )
    assert score(tmp_path, targets=False) is ExitCode.USAGE
    assert f"rename {name!a}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_in_the_folder_one_is_in_has_its_name(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = prepared
    given = ["--observations", folder / "observations", "-o", ".", "--offline", "--device", "cpu"]
    assert call("score", folder / "samples", "--task", "sr16", *given) is ExitCode.OK
    assert RunStore(tmp_path).read_run()["run_id"] == tmp_path.name


def test_targets_that_the_factor_does_not_divide_are_said(tmp_path, capsys):
    write(tmp_path / "photos" / "a.png", encoded(picture(0, 160), "PNG"))
    assert observe(tmp_path, "--size", "130") is ExitCode.OK
    said = capsys.readouterr().out
    assert "130 is no multiple of 8: all of each target is seen, 16.25 times smaller" in said
    assert read_image(tmp_path / "observations" / "a.png").shape == (3, 8, 8)
    shutil.rmtree(tmp_path / "observations")
    shutil.rmtree(tmp_path / "targets")
    assert observe(tmp_path, "--size", "128") is ExitCode.OK
    assert "multiple" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["fifo", "file", "nothing"])
def test_what_is_no_folder_is_called_what_it_is(tmp_path, capsys, kind):
    photos = tmp_path / "photos"
    if kind == "fifo":
        os.mkfifo(photos)
    elif kind == "file":
        photos.touch()
    said = "no such folder" if kind == "nothing" else f"is a {kind}, no folder"
    assert observe(tmp_path) is ExitCode.MISSING
    assert f"{photos}: {said}" in capsys.readouterr().err
    given = ("--task", "sr16", "--observations", tmp_path, "-o", tmp_path / "run")
    assert call("score", photos, *given) is ExitCode.MISSING
    assert f"{photos}: {said}" in capsys.readouterr().err
