"""Writing files so that a full disk or a killed process never leaves half of one."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from invbench.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary stream whose content becomes ``path`` when the block ends without error.

    The bytes go to a neighbour ``.<name>.<pid>.part`` first, are flushed to the disk and then
    renamed, so a reader sees the old file or the new one. Missing parent folders are made.

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
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free space or permission is missing, what was stored before is intact"
        ) from error
    finally:
        with suppress(OSError):  # an unreachable folder was reported above
            partial.unlink(missing_ok=True)
