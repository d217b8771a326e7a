"""Pictures come back as they were written, and a damaged one is refused by name."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from run_records import case_record, run_record

from invbench.errors import InvalidRecordError
from invbench.runs import Picture, RunStore, merge
from invbench.runs.pictures import read_picture, write_picture


def noise(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(image_id="cat-0", side=16):
    return Picture(image_id, {"target": noise(side, 24), "mean": noise(side, 24)[::-1]})


def test_every_pixel_comes_back_by_name(tmp_path):
    write_picture(tmp_path / "0.png", picture("a \u201codd\u201d id"))
    read = read_picture(tmp_path / "0.png")
    assert read.image_id == "a \u201codd\u201d id"
    assert list(read.panels) == ["target", "mean"]
    for name, panel in picture().panels.items():
        np.testing.assert_array_equal(read.panels[name], panel)


def test_a_viewer_shows_the_panels_side_by_side(tmp_path):
    write_picture(tmp_path / "0.png", picture())
    with Image.open(tmp_path / "0.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[:, 24:], picture().panels["mean"])


def test_large_images_are_reduced_by_averages_of_blocks(tmp_path):
    large = noise(520, 300)
    write_picture(tmp_path / "0.png", Picture("x", {"target": large, "mean": large}))
    shown = read_picture(tmp_path / "0.png").panels["target"]
    assert shown.shape == (173, 100, 3)  # blocks of 3: 520 / 3 is just above 173
    block = large[3:6, 6:9].reshape(9, 3).astype(float).mean(axis=0)
    np.testing.assert_allclose(shown[1, 2], block, atol=0.5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDAX")),
        lambda path: Image.new("RGB", (48, 16)).save(path),
        lambda path: Image.new("L", (48, 16)).save(path, format="JPEG"),
    ],
    ids=["empty", "cut off", "flipped", "of someone else", "JPEG"],
)
def test_what_is_no_picture_of_a_run_is_refused_by_name(tmp_path, spoil):
    path = tmp_path / "0.png"
    write_picture(path, picture())
    spoil(path)
    with pytest.raises(InvalidRecordError, match=r"0\.png: no picture of a run .* delete it"):
        read_picture(path)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "0.png")
    with pytest.raises(InvalidRecordError, match="a fifo"):
        read_picture(tmp_path / "0.png")


def test_a_store_keeps_those_of_the_last_measurement(tmp_path):
    store = RunStore(tmp_path)
    store.write_pictures("mine-sr4", [picture(str(n)) for n in range(12)])
    assert [shown.image_id for shown in store.read_pictures("mine-sr4")] == [*map(str, range(12))]
    store.write_pictures("mine-sr4", [picture("new")])
    assert [shown.image_id for shown in store.read_pictures("mine-sr4")] == ["new"]
    assert store.read_pictures("mine-sr") == []
    store.begin(fresh=True)
    assert store.read_pictures("mine-sr4") == []


def test_merging_takes_pictures_along(tmp_path):
    one, into = RunStore(tmp_path / "one"), RunStore(tmp_path / "all")
    one.write_run(run_record())
    record = case_record()
    scores = {"psnr": np.array([[27.0, 29.0], [28.0, 28.0]]), "lpips_random": np.full((2, 2), 0.1)}
    one.write_case(record, scores)
    one.write_pictures(record.case_id, [picture()])
    merge([one], into)
    assert [shown.image_id for shown in into.read_pictures(record.case_id)] == ["cat-0"]
