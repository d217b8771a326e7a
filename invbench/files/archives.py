"""Archives that cannot fill the memory: what they inflate to is bounded by their own size."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOM = 1 << 26  # bytes that any archive may inflate to
RATIO = 64  # times an archive's own size that it may inflate to beyond that
MEMBERS = 20_000  # of any archive; of weights and scores there are hundreds
PORTION = 1 << 20  # bytes inflated at a time


def read_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays in the bytes of an ``.npz`` file, every one held against its checksum.

    Raises:
        ValueError: if it is damaged, is no such file, holds objects, or one name twice, or
            inflates to more than `ROOM` and `RATIO` times its size.
    """
    left = max(ROOM, RATIO * len(content))
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if len(archive.namelist()) != int.from_bytes(content[-12:-10], "little"):
                raise ValueError("its directory does not list what it counts")
            for name in named_once(archive):
                member = _inflate(archive, name, left)
                left -= len(member)
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(
                    io.BytesIO(member), allow_pickle=False
                )
    except (*ARCHIVE_ERRORS, MemoryError, TypeError, SyntaxError) as error:
        raise ValueError(f"no whole .npz file: {error}") from error
    return arrays


ARCHIVE_ERRORS = (
    *(EOFError, LookupError, NotImplementedError, OSError, OverflowError, RuntimeError),
    *(ValueError, zipfile.BadZipFile, zlib.error),
)
"""What `zipfile` raises of a damaged archive."""


def named_once(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of an archive's members.

    Raises:
        BadZipFile: if two have one name, of which one reader takes the first, another the last; if
            there are more than `MEMBERS`.
    """
    names = archive.namelist()
    if len(names) > MEMBERS:
        raise zipfile.BadZipFile(f"it has {len(names):,} members; at most {MEMBERS:,} are read")
    if len({name.casefold() for name in names}) != len(names):
        raise zipfile.BadZipFile("two of its members have one name")
    return names


def _inflate(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member to its very end, where its checksum is looked at."""
    content = bytearray()
    with archive.open(name) as stream:
        while portion := stream.read(PORTION):
            content += portion
            if len(content) > most:
                raise ValueError(f"{name} inflates to more than {RATIO} times the file's size")
    return bytes(content)
