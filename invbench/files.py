"""Files that are whole: written whole or not at all, read whole or refused by name."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, ENAMETOOLONG, ENOSPC, ENOTDIR, EPERM, EROFS
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from secrets import token_hex
from typing import IO, TYPE_CHECKING, Any, Self
from weakref import finalize

import numpy as np

from invbench.errors import ExistingRunError, InvbenchError, MissingDataError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

ROOM = 1 << 26  # bytes that any archive may inflate to
RATIO = 64  # times an archive's own size that it may inflate to beyond that
MEMBERS = 20_000  # of any archive; of weights and scores there are hundreds
PORTION = 1 << 20  # bytes inflated at a time
ADVICE = {
    **dict.fromkeys((ENOSPC, EDQUOT, EFBIG), "make room, or name another place; "),
    **dict.fromkeys((EACCES, EPERM, EROFS), "get permission, or name another place; "),
    **dict.fromkeys((EEXIST, ENOTDIR, EISDIR, ENAMETOOLONG), "name another place; "),
}  # by what a system says when a file cannot be written


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary stream whose content becomes ``path`` when the block ends without error.

    The bytes go to a neighbour ``.<name>.<random>.part`` first, are flushed to the disk and then
    renamed, so a reader sees the old file or the new one. The neighbour is made anew under a name
    that nobody can foresee, so nothing that lies there is written to. Missing parent folders are
    made.

    Raises:
        StorageError: if anything on that way fails; the old file is untouched.

    Example:
        >>> from pathlib import Path; import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "new" / "answer.txt"
        >>> with atomic_write(path) as stream:
        ...     _ = stream.write(b"42")
        >>> path.read_text()
        '42'
    """
    partial = path.with_name(f".{path.name}.{token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as stream:  # a new file, never what a link leads to
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        if isinstance(error, InvbenchError):  # of the block's own
            raise
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # an unreachable folder was reported above
            partial.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder that results will be written to, before the work for them is done.

    Raises:
        StorageError: if it cannot be made or written to.
    """
    with atomic_write(folder / ".probe") as stream:
        stream.write(b"probe")
    (folder / ".probe").unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error that says why a file cannot be written."""
    advice = ADVICE.get(error.errno or 0, "")
    return StorageError(
        f"{path}: cannot be written ({error.strerror or error}); {advice}"
        "what was stored before is intact"
    )


@dataclass(frozen=True)
class Claim:
    """A folder that this process alone writes to, until it ends or drops the claim."""

    folder: Path
    descriptor: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def drop(self) -> None:
        """Let other processes claim the folder."""
        with suppress(OSError):  # a file system without locks
            flock(self.descriptor, LOCK_UN)

    def check(self) -> None:
        """Refuse to go on in a folder that is no longer the one that was claimed.

        Raises:
            StorageError: if it was removed, or another one is in its place.
        """
        try:
            same = os.path.samestat(self.folder.stat(), os.fstat(self.descriptor))
        except OSError:
            same = False
        if not same:
            raise StorageError(
                f"{self.folder}: was removed or replaced in the middle of this run, and what was "
                "stored there with it; start again"
            )


def claim_folder(folder: Path, *, alone: bool = True) -> Claim:
    """Make a folder, if it is not there, and keep other processes from claiming it.

    A process that is killed holds no claim. On file systems without locks nobody is kept out.

    Args:
        folder: to write to.
        alone: whether others are kept out; a part of a process that has claimed it is not.

    Raises:
        ExistingRunError: if another process has claimed it.
        StorageError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    claim = Claim(folder, descriptor)
    finalize(claim, os.close, descriptor)
    try:
        if alone:
            flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError as error:
        raise ExistingRunError(
            f"{folder}: another process is writing to it; wait for its end, or name another folder"
        ) from error
    except OSError:
        pass  # a file system without locks
    return claim


def is_there(path: Path) -> bool:
    """Tell whether a file, folder or anything else is there.

    Raises:
        MissingDataError: if that cannot be told, as below a folder that may not be entered.
    """
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Tell whether a regular file is there; raises as `is_there` does."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there; raises as `is_there` does."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a NUL in its name
        return None
    except OSError as error:
        raise MissingDataError(f"{path}: cannot be opened ({error.strerror})") from error


def read_bytes(
    path: Path, damaged: type[InvbenchError], *, most: int | None = None, hint: str = ""
) -> bytes:
    """Return the content of a regular file.

    Args:
        path: of the file.
        damaged: the error for one that cannot be read, is no regular file or is too large.
        most: bytes that are read; more are refused.
        hint: what to do where there is no such file.

    Raises:
        MissingDataError: if there is no such file.
        InvbenchError: see ``damaged``.
    """
    require_regular(path, damaged, hint=hint)
    try:
        size = path.stat().st_size
        content = path.read_bytes() if most is None or size <= most else None
    except OSError as error:
        raise damaged(f"{path}: cannot be read ({error.strerror or error})") from error
    if content is None:
        raise damaged(f"{path}: has {size:,} bytes; at most {most:,} are read")
    return content


def require_regular(path: Path, damaged: type[InvbenchError], *, hint: str = "") -> None:
    """Refuse what is not there or no regular file: opening a fifo would wait for ever.

    Raises:
        MissingDataError: if there is no such file.
        InvbenchError: ``damaged``, for a folder, device, fifo or socket.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingDataError(f"{path}: no such file{hint}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise damaged(f"{path}: cannot be read ({reason})") from error
    if not regular:
        raise damaged(f"{path}: is no regular file")


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
