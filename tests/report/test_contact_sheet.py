"""A contact sheet shows every sample in its place, and gaps where there is none."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from mixed_folder import encoded, picture, write
from PIL import Image

from invbench.cli import main
from invbench.data.photos import photos
from invbench.errors import StorageError, UnknownNameError
from invbench.evaluation.experiment import Settings, Subject
from invbench.exit_codes import ExitCode
from invbench.problems.tasks import get_task
from invbench.report.contact_sheet import (
    GAP,
    HEADING,
    NOTHING,
    SheetRow,
    contact_sheet,
    encode_png,
)
from invbench.verbs.sheet import SAMPLES, draw_rows

MODELS = ("one", "two", "none")
STEP = 16 + GAP


def flat(value, side=16):
    return np.full((side, side, 3), value, dtype=np.uint8)


def sheet_of(n_samples=3):
    rows = [
        SheetRow(
            f"input {row}",
            flat(10 + row, side=2),
            flat(20 + row),
            {
                name: [flat(30 + 20 * row + 5 * m + k) for k in range(n_samples)]
                for m, name in enumerate(MODELS[:2])
            },
        )
        for row in range(2)
    ]
    return np.asarray(contact_sheet(rows, MODELS, n_samples=n_samples))


def tile(sheet, row, column, place=0, n_samples=3):
    top = HEADING + row * (n_samples * STEP + GAP) + place * STEP
    return sheet[top : top + 16, column * STEP : column * STEP + 16]


class TestLayout:
    def test_has_a_column_a_model_and_a_row_a_sample(self):
        height, width, _ = sheet_of().shape
        assert width == (2 + len(MODELS)) * STEP
        assert height == HEADING + 2 * (3 * STEP + GAP)

    def test_puts_every_picture_in_its_place(self):
        sheet = sheet_of()
        for row in range(2):
            assert (tile(sheet, row, 0) == 10 + row).all()
            assert (tile(sheet, row, 1) == 20 + row).all()
            for model in range(2):
                for place in range(3):
                    expected = 30 + 20 * row + 5 * model + place
                    assert (tile(sheet, row, 2 + model, place) == expected).all()

    def test_leaves_a_labelled_gap_for_a_model_without_weights(self):
        gap = tile(sheet_of(), 1, 4, 2)
        assert (gap[-1] == NOTHING).all()
        assert (gap != np.array(NOTHING)).any()

    def test_labels_columns_and_inputs(self):
        sheet = sheet_of()
        assert (sheet[:HEADING] < 255).any()
        assert (tile(sheet, 0, 0, 1) < 255).any()

    def test_large_pictures_are_reduced_to_the_tile(self):
        row = SheetRow("a", flat(1, side=8), flat(2, side=128), {"m": [flat(3, side=128)]})
        sheet = contact_sheet([row], ["m"], n_samples=1, tile=40)
        assert sheet.width == 3 * (40 + GAP)


class TestEncoding:
    def test_keeps_what_is_small_as_it_is(self):
        image = Image.fromarray(flat(7))
        assert np.asarray(Image.open(io.BytesIO(encode_png(image)))).max() == 7

    def test_takes_fewer_colours_until_it_fits(self):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        image = Image.fromarray(noise)
        full = len(encode_png(image))
        assert full > 12_000
        content = encode_png(image, most_bytes=5_000)
        assert len(content) <= 5_000
        assert Image.open(io.BytesIO(content)).size == (64, 64)

    def test_refuses_what_never_fits(self):
        with pytest.raises(StorageError, match="smaller tiles"):
            encode_png(Image.fromarray(flat(7)), most_bytes=10)


class Levels:
    """Returns the mean of the observation, plus a little noise."""

    def __call__(self, observation, generators):
        noise = torch.stack([torch.rand(1, 1, 1, generator=g) for g in generators])
        level = observation.mean((1, 2, 3), keepdim=True)
        return (0.9 * level + 0.1 * noise).expand(-1, 3, 32, 32)


def test_samples_are_those_of_the_suite():
    arguments = {
        "subjects": {"levels": Subject(Levels())},
        "problem": get_task("colorization").problem((32, 32)),
        "photos": photos(32, 4),
        "settings": Settings(n_samples=SAMPLES, chunk_size=2),
    }
    rows = draw_rows(**arguments)
    assert [row.name for row in rows] == [photo.id for photo in photos(32, 4)]
    for row in rows:
        assert row.observation.shape == row.target.shape == (32, 32, 3)
        assert (row.observation == row.observation[..., :1]).all()
        levels = {int(picture[0, 0, 0]) for picture in row.samples["levels"]}
        assert len(levels) == SAMPLES
        assert abs(np.mean(list(levels)) - row.observation.mean()) < 30
    again = draw_rows(**arguments)
    assert (again[2].samples["levels"][1] == rows[2].samples["levels"][1]).all()


def test_the_verb_writes_a_sheet_without_any_weights(tmp_path, capsys):
    places = ["-o", str(tmp_path / "docs"), "--checkpoints", str(tmp_path), "--device", "cpu"]
    assert main(["sheet", "--task", "decompression", *places]) is ExitCode.OK
    assert "0 of 8 methods" in capsys.readouterr().out
    path = tmp_path / "docs" / "samples-decompression.png"
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as image:
        assert image.width == 10 * (64 + GAP)


def test_an_unknown_task_is_named(tmp_path, capsys):
    assert main(["sheet", "--task", "sr15", "-o", str(tmp_path)]) is ExitCode.USAGE
    assert UnknownNameError.__name__ in capsys.readouterr().err


OWN = ("--sampler", "mine=samplers:blurry", "--model", "mine", "--device", "cpu")


@pytest.mark.parametrize("verb", ["sheet", "uncertainty"])
def test_ones_own_sampler_and_photographs_are_drawn(tmp_path, monkeypatch, capsys, verb):
    """Pictures go below the current folder, and nowhere that a user did not ask for."""
    for number in range(3):
        write(tmp_path / "photos" / f"{number}.png", encoded(picture(number), "PNG"))
    monkeypatch.chdir(tmp_path)
    few = () if verb == "sheet" else ("--samples", "3")
    given = ("--task", "colorization", "--data", str(tmp_path / "photos"), *OWN, *few)
    assert main([verb, *given]) is ExitCode.OK
    name = "samples" if verb == "sheet" else "uncertainty"
    assert f"results/{name}-colorization.png: 1 " in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "results"]
    with Image.open(tmp_path / "results" / f"{name}-colorization.png") as image:
        if verb == "sheet":
            assert image.size == (3 * (64 + GAP), HEADING + 3 * (3 * (64 + GAP) + GAP))


def test_intervals_of_one_photograph_are_refused_before_any_work(tmp_path, capsys):
    write(tmp_path / "photos" / "a.png", encoded(picture(0), "PNG"))
    given = ("--task", "colorization", "--data", str(tmp_path / "photos"), *OWN)
    assert main(["uncertainty", *given, "-o", str(tmp_path / "out")]) is ExitCode.MISSING
    assert "one photograph, and intervals are calibrated on others" in capsys.readouterr().err


def test_an_unknown_model_is_named(tmp_path, capsys):
    assert main(["sheet", "--model", "chimel", "-o", str(tmp_path)]) is ExitCode.USAGE
    assert "did you mean chimle" in capsys.readouterr().err
