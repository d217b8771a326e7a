"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from errno import (
    EACCES,
    EDQUOT,
    EEXIST,
    EFBIG,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    EPERM,
    EROFS,
)
from secrets import token_hex
from typing import IO, TYPE_CHECKING

from invbench.errors import InvbenchError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADVICE = {
    **dict.fromkeys((ENOSPC, EDQUOT, EFBIG), "make room, or name another place; "),
    **dict.fromkeys((EACCES, EPERM, EROFS), "get permission, or name another place; "),
    **dict.fromkeys((EEXIST, ENOENT, ENOTDIR, EISDIR, ENAMETOOLONG), "name another place; "),
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
