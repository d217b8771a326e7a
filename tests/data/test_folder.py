"""A folder of photographs becomes targets, or one list of all that is wrong with it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from mixed_folder import encoded, good_files, picture, write, write_mixed_folder
from PIL import Image

from invbench.data.folder import folder_photos, square
from invbench.errors import EmptyFolderError, FolderWarning, UnreadableImageError

PNG = encoded(picture(), "PNG")
LIES_BEHIND = "behind those that are used lie some that cannot be"


def test_all_problems_are_listed_at_once_and_one_start_follows(tmp_path):
    said = write_mixed_folder(tmp_path)
    assert sum(not path.is_dir() for path in tmp_path.rglob("*")) == 30
    with pytest.raises(UnreadableImageError) as caught:
        folder_photos(tmp_path, 64)
    heading, *lines = str(caught.value).split("\n  ")
    assert heading == f"{tmp_path}: remove or mend what cannot be used ({len(said)})"
    assert {line.partition(": ")[0] for line in lines} == set(said)
    for line in lines:
        name, _, message = line.partition(": ")
        assert said[name] in message
        (tmp_path / name).unlink()
    with pytest.warns(FolderWarning, match=r"followed 1 link: linked\.png"):
        found = folder_photos(tmp_path, 64)
    names = [name.rpartition(".")[0] for name in good_files()]
    assert {photo.id for photo in found} == {*names, "linked", "twice"}


def test_pixels_are_those_that_a_viewer_shows(tmp_path):
    write(tmp_path / "rotated.png", good_files()["rotated.png"])
    (photo,) = folder_photos(tmp_path, 64)
    expected = np.array(picture(1).transpose(Image.Transpose.ROTATE_270)).transpose(2, 0, 1)
    assert np.array_equal(photo.pixels, expected)


def test_photographs_of_a_folder_are_one_group_only_if_that_is_asked_for(tmp_path):
    for name in ("b/2.png", "b/1.png", "a.png"):
        write(tmp_path / name, PNG)
    found = [(photo.id, photo.group) for photo in folder_photos(tmp_path, 64)]
    assert found == [("a", "a"), ("b/1", "b/1"), ("b/2", "b/2")]
    found = [photo.group for photo in folder_photos(tmp_path, 64, groups="folder")]
    assert found == ["a", "b", "b"]


def test_no_more_are_read_than_are_asked_for_and_that_is_said(tmp_path):
    for name in ("a.png", "c.png"):
        write(tmp_path / name, PNG)
    write(tmp_path / "d.png", b"damaged")
    with pytest.warns(FolderWarning, match="the first 2 of 3 images are used"):
        assert [photo.id for photo in folder_photos(tmp_path, 64, 2)] == ["a", "c"]
    write(tmp_path / "b.png", b"damaged")
    with pytest.raises(UnreadableImageError, match=r"b\.png.*\n.*d\.png"):
        folder_photos(tmp_path, 64, 2)


def test_what_cannot_be_used_behind_those_that_are_is_said_and_stops_nothing(tmp_path):
    for name in ("b.png", "c.png", "d/e.png"):
        write(tmp_path / name, PNG)
    write(tmp_path / "d" / "bad.heic", b"")
    with pytest.warns(FolderWarning) as said:
        assert [photo.id for photo in folder_photos(tmp_path, 64, 2)] == ["b", "c"]
    assert [str(one.message).removeprefix(f"{tmp_path}: ") for one in said] == [
        "the first 2 of 3 images are used; those behind them were not opened",
        f"{LIES_BEHIND}: d/bad.heic: heic is not read; convert it to PNG",
    ]
    for count in (3, None):  # it comes before one that is needed
        with pytest.raises(UnreadableImageError, match=r"d/bad\.heic"):
            folder_photos(tmp_path, 64, count)
    write(tmp_path / "a.heic", b"")
    with pytest.raises(UnreadableImageError, match=r"a\.heic.*\n.*bad\.heic"):
        folder_photos(tmp_path, 64, 2)


def test_one_listing_has_what_the_headers_of_all_files_tell(tmp_path):
    for name in ("b.png", "c.png"):
        write(tmp_path / name, PNG)
    write(tmp_path / "a.png", b"")
    write(tmp_path / "d.png", b"text")
    Image.new("F", (64, 64)).save(tmp_path / "e.tiff")
    Image.new("RGB", (63, 64)).save(tmp_path / "f.png")
    with pytest.raises(UnreadableImageError) as refused:
        folder_photos(tmp_path, 64, 1)
    listed = [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]]
    assert listed == ["a.png", "d.png", "e.tiff", "f.png"]
    assert "63x64 pixels; at least 64" in str(refused.value)


def test_nothing_is_said_where_all_is_used(tmp_path):
    write(tmp_path / "a.png", PNG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder_photos(tmp_path, 64, 5)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(EmptyFolderError, match="no image"):
        folder_photos(tmp_path, 64)


def test_the_largest_centred_square_is_cut():
    pixels = torch.arange(3 * 4 * 8, dtype=torch.uint8).reshape(3, 4, 8)
    assert torch.equal(square(pixels, 4), pixels[:, :, 2:6])
