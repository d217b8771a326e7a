"""A file is written whole or not at all, and read whole or refused."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import zipfile
from typing import ClassVar

import numpy as np
import pytest

from invbench.errors import ExistingRunError, InvalidRecordError, StorageError
from invbench.files import PORTION, ROOM, atomic_write, claim_folder, read_bytes, read_npz


def test_the_old_file_stays_when_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as stream:
        stream.write(b"half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_and_loses_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(StorageError, match="No space left"), atomic_write(path) as stream:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_file_appears_only_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_text() == "new"


class TestNames:
    def test_a_link_in_the_place_of_a_half_written_file_is_not_followed(self, tmp_path):
        victim = tmp_path / "victim"
        victim.write_text("precious")
        for name in (f".a.txt.{os.getpid()}.part", ".a.txt.part"):
            (tmp_path / name).symlink_to(victim)
        with atomic_write(tmp_path / "a.txt") as stream:
            stream.write(b"new")
        assert victim.read_text() == "precious"

    def test_nobody_can_foresee_where_the_bytes_go(self, tmp_path):
        names = set()
        for _ in range(3):
            with atomic_write(tmp_path / "a.txt"):
                names |= {path.name for path in tmp_path.glob(".*.part")}
        assert len(names) == 3

    def test_a_file_has_the_rights_that_any_other_has(self, tmp_path):
        (tmp_path / "plain").write_text("")
        with atomic_write(tmp_path / "a.txt") as stream:
            stream.write(b"new")
        assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


class TestClaim:
    def test_another_process_is_kept_out_until_the_first_drops_its_claim(self, tmp_path):
        def claimed_elsewhere():
            process = multiprocessing.get_context("fork").Process(target=_claim, args=(tmp_path,))
            process.start()
            process.join()
            return process.exitcode

        claim = claim_folder(tmp_path)
        assert claimed_elsewhere() == REFUSED
        claim_folder(tmp_path, alone=False).check()  # a part of the same run is not kept out
        del claim
        assert claimed_elsewhere() == 0

    @pytest.mark.parametrize("again", [False, True])
    def test_a_folder_that_is_gone_or_another_is_noticed(self, tmp_path, again):
        folder = tmp_path / "run"
        claim = claim_folder(folder)
        claim.check()
        folder.rmdir()
        if again:
            folder.mkdir()
        with pytest.raises(StorageError, match="removed or replaced"):
            claim.check()

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="cannot be written"):
            claim_folder(tmp_path / "file" / "run")

    def test_is_dropped_at_the_end_of_a_block_though_something_remembers_it(self, tmp_path):
        with claim_folder(tmp_path) as remembered, pytest.raises(ExistingRunError):
            claim_folder(tmp_path)
        claim_folder(tmp_path).check()
        remembered.check()


class TestNpz:
    ARRAYS: ClassVar = {"a": np.linspace(0, 1, 50), "b": np.ones((3, 4))}

    def content(self, **arrays):
        stream = io.BytesIO()
        np.savez_compressed(stream, **(arrays or self.ARRAYS))
        return stream.getvalue()

    def test_no_flipped_bit_changes_what_is_read(self):
        whole = self.content()
        refused = 0
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << place % 8
            try:
                found = read_npz(bytes(damaged))
            except ValueError:
                refused += 1
                continue
            assert found.keys() == self.ARRAYS.keys()
            assert all(np.array_equal(found[name], self.ARRAYS[name]) for name in found)
        assert refused > len(whole) / 2

    def test_what_inflates_beyond_measure_is_refused(self):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", bytes(ROOM + PORTION))
        with pytest.raises(ValueError, match="inflates"):
            read_npz(stream.getvalue())

    def test_objects_are_never_loaded(self):
        with pytest.raises(ValueError, match="Object arrays"):
            read_npz(self.content(a=np.array([None, "x"], dtype=object)))


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(InvalidRecordError, match="no regular file"):
        read_bytes(tmp_path / "a", InvalidRecordError)


def test_a_file_larger_than_is_read_is_refused(tmp_path):
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InvalidRecordError, match="at most 1,000"):
        read_bytes(tmp_path / "a", InvalidRecordError, most=1000)


REFUSED = 7


def _claim(folder):
    try:
        claim_folder(folder)
    except ExistingRunError:
        os._exit(REFUSED)
    os._exit(0)
