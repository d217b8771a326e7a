"""Files that are read whole or refused by name."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from invbench.errors import MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

    from invbench.errors import InvbenchError

SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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
        kind = special_kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingDataError(f"{path}: no such file{hint}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise damaged(f"{path}: cannot be read ({reason})") from error
    if kind:
        raise damaged(f"{path}: is {kind}, no regular file")


def special_kind(mode: int) -> str | None:
    """Say what a path is by its mode, or return None for a regular file.

    >>> special_kind(stat.S_IFIFO), special_kind(stat.S_IFREG)
    ('a fifo', None)
    """
    return None if stat.S_ISREG(mode) else SPECIAL.get(stat.S_IFMT(mode), "of no known kind")
