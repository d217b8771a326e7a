"""One walk finds the images of a folder, and lists at once what is wrong with the rest."""

from __future__ import annotations

import pytest
from mixed_folder import encoded, picture, write, write_mixed_folder

from invbench.errors import EmptyFolderError
from invbench.images import find_images

PNG = encoded(picture(side=8), "PNG")


def test_a_folder_of_all_kinds_is_sorted_out(tmp_path):
    said = write_mixed_folder(tmp_path)
    found = find_images(tmp_path)
    by_name = {"twice.jpg": "one id", "lost.png": "nowhere", "pipe.png": "a fifo"}
    assert {flaw.where for flaw in found.flaws} == {*by_name, "phone.heic"}
    for flaw in found.flaws:
        assert said[flaw.where] in flaw.message
    assert found.links == ("linked.png",)
    assert not any("checkpoint" in name or name.startswith(".") for name in found.files)
    assert "README" not in found.files


def test_ids_are_paths_without_the_suffix_in_order_of_the_paths(tmp_path):
    for name in ("b/2.png", "b/10.png", "b-1.png", "a.b.png", "c.JPeG"):
        write(tmp_path / name, PNG)
    assert list(find_images(tmp_path).files) == ["a.b", "b/10", "b/2", "b-1", "c"]


def test_two_files_of_one_id_are_named_and_neither_is_taken(tmp_path):
    for name in ("x/a.jpg", "x/a.png", "y/a.png"):
        write(tmp_path / name, PNG)
    found = find_images(tmp_path)
    assert list(found.files) == ["y/a"]
    assert "x/a.jpg and x/a.png have one id, x/a" in str(found.flaws[0])


def test_ids_that_some_disks_take_for_one_are_named(tmp_path):
    for name in ("a.png", "A.png"):
        write(tmp_path / name, PNG)
    found = find_images(tmp_path)
    assert found.files == {}
    assert "A.png and a.png have ids that differ in capitals alone" in str(found.flaws[0])


def test_names_that_look_alike_are_told_apart(tmp_path):
    for name in ("caf\u00e9.png", "cafe\u0301.png"):
        write(tmp_path / name, PNG)
    (flaw,) = find_images(tmp_path).flaws
    assert "'cafe\\u0301.png' and caf\u00e9.png have one id" in str(flaw)


def test_a_name_is_one_id_however_its_letters_are_composed(tmp_path):
    for name in ("caf\u00e9.png", "e\u0301t\u00e9.png"):
        write(tmp_path / name, encoded(picture(), "PNG"))
    assert set(find_images(tmp_path).files) == {"caf\u00e9", "\u00e9t\u00e9"}
    write(tmp_path / "cafe\u0301.png", encoded(picture(1), "PNG"))
    found = find_images(tmp_path)
    assert set(found.files) == {"\u00e9t\u00e9"}
    assert "have one id" in str(found.flaws[0])


def test_links_are_followed_and_said_and_circles_named(tmp_path):
    write(tmp_path / "elsewhere" / "sea" / "1.png", PNG)
    folder = tmp_path / "photos"
    write(folder / "a.png", PNG)
    (folder / "sea").symlink_to(tmp_path / "elsewhere" / "sea")
    (tmp_path / "elsewhere" / "sea" / "back").symlink_to(folder)
    found = find_images(folder)
    assert list(found.files) == ["a", "sea/1"]
    assert found.links == ("sea",)
    assert [str(flaw) for flaw in found.flaws] == ["sea/back: is a link to a folder above it"]


def test_folders_of_other_programs_are_passed_over(tmp_path):
    for name in (
        "__MACOSX/a.png",
        "@eaDir/a.jpg/thumb.jpg",
        "#recycle/b.png",
        "$Recycle.Bin/c.png",
        "RECYCLER/d.png",
        "@Recycle/e.png",
        "#snapshot/f.png",
        ".hidden/a.png",
        "Thumbs.db",
    ):
        write(tmp_path / name, PNG)
    found = find_images(tmp_path)
    assert (found.files, found.flaws) == ({}, ())


def test_names_that_cannot_be_printed_are_named(tmp_path):
    write(tmp_path / "red\x1b[31m.png", PNG)
    write(tmp_path / "caf\u00e9.png", PNG)
    found = find_images(tmp_path)
    assert list(found.files) == ["caf\u00e9"]
    assert str(found.flaws[0]) == r"'red\x1b[31m.png': its name cannot be printed; rename it"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EmptyFolderError, match="no such folder"):
        find_images(tmp_path / "nowhere")
