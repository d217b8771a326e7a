"""A folder that one process writes to, and no other."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from typing import TYPE_CHECKING, Self
from weakref import finalize

from invbench.errors import ExistingRunError, StorageError
from invbench.files.writing import cannot_write

if TYPE_CHECKING:
    from pathlib import Path


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
