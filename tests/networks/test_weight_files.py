"""Files of tensors are read whole or refused by name, in memory that their size bounds."""

from __future__ import annotations

import codecs
import io
import json
import os
import resource
import zipfile

import numpy as np
import pytest
import torch

from invbench.errors import CorruptCheckpointError, MissingDataError
from invbench.models.checkpoints import load_weights, read_card
from invbench.networks.weight_files import (
    UnsafeCheckpointError,
    read_tensors,
    require_weights,
)


def saved(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("kind", ["fifo", "folder", "/dev/zero", "a link to /dev/zero"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind, suffix):
    path = tmp_path / f"a{suffix}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(CorruptCheckpointError, match="no regular file"):
        read_tensors(path)


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingDataError, match="no such file"):
        read_tensors(tmp_path / "a.pt")


def test_a_flipped_bit_in_the_numbers_is_seen(tmp_path):
    path = saved(tmp_path / "a.pt", {"w": torch.arange(4096.0)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match="CRC-32"):
        read_tensors(path)


def test_a_compressed_archive_is_refused_before_it_inflates(tmp_path):
    plain = saved(tmp_path / "plain.pt", {"w": torch.zeros(1 << 20)})
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "a.pt", "w") as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(CorruptCheckpointError, match="compressed"):
        read_tensors(tmp_path / "a.pt")


def test_an_array_that_says_it_is_huge_is_refused(tmp_path):
    head = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(head, shape)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", head.getvalue() + bytes(1 << 20))
    with pytest.raises(CorruptCheckpointError):
        read_tensors(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (lambda: torch.zeros(3, device="meta"), "without values"),
        (lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8), "quantized"),
        (lambda: torch.zeros(3, dtype=torch.complex64), "complex"),
        (lambda: torch.zeros(1).expand(3_000_000_000), "repeats numbers"),
        (lambda: torch.tensor([1.0, torch.nan]), "not finite"),
        (lambda: torch.tensor([1e39], dtype=torch.float64), "not finite"),
        (lambda: torch.zeros(2).to(torch.float8_e4m3fn), "cannot be computed with"),
        (lambda: torch.zeros([1] * 65), "cannot be computed with"),
    ],
    ids=[
        *("sparse", "rows", "meta", "quantized", "complex", "expanded", "nan"),
        *("beyond float32", "float8", "many dimensions"),
    ],
)
def test_what_cannot_be_weights_is_named(make, said):
    with pytest.raises(CorruptCheckpointError, match=f"file: b is {said}|file: b {said}"):
        require_weights({"a": torch.zeros(2), "b": make()}, "file")


def test_views_of_one_tensor_are_weights():
    whole = torch.arange(12.0).reshape(3, 4)
    require_weights({"a": whole[1:], "b": whole.T, "c": torch.zeros(0)}, "file")


class Asks:
    """A pickle that has something called with some arguments."""

    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


def hexed(times):
    """Return what doubles some bytes so often."""
    found = Asks(codecs.encode, "a", "utf8")
    for _ in range(times):
        found = Asks(codecs.encode, found, "hex")
    return found


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: Asks(bytearray, 1 << 30), UnsafeCheckpointError),
        (lambda: hexed(30), UnsafeCheckpointError),
        (lambda: Asks(torch.FloatTensor, 1 << 28), CorruptCheckpointError),
        (lambda: [Asks(torch.FloatTensor, 1 << 10) for _ in range(10)], CorruptCheckpointError),
    ],
    ids=["zeros", "codecs", "tensor", "tensors"],
)
def test_a_small_file_gets_no_large_memory(tmp_path, make, kind, zipped):
    path = tmp_path / "a.pt"
    torch.save({"w": make()}, path, _use_new_zipfile_serialization=zipped)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(kind, match=r"bytearray|encode|more bytes than it has"):
        read_tensors(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 17  # kilobytes


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a/data.pkl", "a/DATA.PKL"])
def test_one_name_twice_is_refused(tmp_path, other):
    path = saved(tmp_path / "a.pt", {"w": torch.zeros(3)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(other, archive.read("a/data.pkl"))
    with pytest.raises(CorruptCheckpointError, match="two of its members have one name"):
        read_tensors(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_array_twice_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("w.npy", archive.read("w.npy"))
    with pytest.raises(CorruptCheckpointError, match="two of its members have one name"):
        read_tensors(tmp_path / "a.npz")


def test_tensors_that_share_numbers_are_counted_once(tmp_path):
    whole = torch.arange(1 << 16, dtype=torch.float32)
    content = {"parts": [whole[i:] for i in range(9)], "sparse": torch.eye(3).to_sparse()}
    for zipped in (True, False):
        torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_tensors(tmp_path / "a.pt")["parts"][0], whole)


@pytest.mark.parametrize("read", [read_tensors, load_weights, read_card])
def test_a_list_of_more_tensors_than_a_network_has_is_refused_unread(tmp_path, read):
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{number}": empty for number in range(40_000)}).encode()
    path = tmp_path / "many.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CorruptCheckpointError, match="save the weights of one network alone"):
        read(path)


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_archives_of_far_too_many_members_are_refused(tmp_path, suffix):
    path = tmp_path / f"many{suffix}"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_001):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(CorruptCheckpointError, match=r"20,001 members; at most 20,000 are read"):
        read_tensors(path)
