"""Named errors. Each says what was wrong and what to do about it."""

from __future__ import annotations

from difflib import get_close_matches
from traceback import extract_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class InvbenchError(Exception):
    """Base of every error that invbench raises on purpose."""


def fault_in(error: BaseException) -> str:
    """Say what code that was given to us raised, and in which line of which file."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):  # which has it in its message
        return said
    frame = extract_tb(error.__traceback__)[-1]
    return f"{said}, at {frame.filename}:{frame.lineno}"


class InvalidImagesError(InvbenchError, ValueError):
    """Images break the convention: float32, [..., C, H, W], finite, in [0, 1].

    Attributes:
        rule: which rule is broken, if one of these: "tensor", "shape", "dtype", "finite", "range".
    """

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class InvalidSamplesError(InvalidImagesError):
    """A sampler returned something that is not a batch of images of the right shape."""


class UnreadableImageError(InvbenchError, OSError):
    """An image file is missing, damaged, or of a kind that has no unambiguous RGB reading."""


class EmptyFolderError(InvbenchError, OSError):
    """A folder holds no image to work on."""


class MissingDataError(InvbenchError, LookupError):
    """Ids, files or weights that the work needs are not there."""


class UnknownNameError(InvbenchError, LookupError):
    """A name is not in the registry it was looked up in."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Build the error that lists the nearest known names, or all of them.

        >>> str(UnknownNameError.among("model", "chimel", ["chimle", "ddrm"]))
        "unknown model 'chimel'; did you mean chimle?"
        """
        known = sorted(known)
        nearest = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"known: {', '.join(known)}"
        return cls(f"unknown {kind} {name!r}; {hint}")


class MissingPackageError(InvbenchError, ImportError):
    """A library that an adapter is for is not installed; the message says how to install it."""


class MissingCheckpointError(MissingDataError):
    """No trained weights were found for a model and task."""


class CorruptCheckpointError(InvbenchError, OSError):
    """A checkpoint file is truncated, damaged or of no known format."""


class ForeignCheckpointError(InvbenchError, ValueError):
    """A checkpoint belongs to another model, task or configuration."""


class StorageError(InvbenchError, OSError):
    """A result could not be written; everything stored before is intact."""


class InvalidSamplerError(InvbenchError, TypeError):
    """A sampler, or the factory that makes it, does not have the form that the suite can call."""


class InvalidTaskError(InvbenchError, TypeError):
    """What an option names as a task does not make one."""


class UnsupportedProblemError(InvbenchError):
    """Raised by a sampler's factory: the sampler is not made for this problem.

    The case is then left out of the run, with a line that says so; it is no failure.
    """


class InvalidRecordError(InvbenchError, ValueError):
    """A stored record is damaged or does not follow its schema."""


class InvalidOptionError(InvbenchError, ValueError):
    """An option has a value of the wrong form, or contradicts another."""


class ExistingRunError(InvbenchError, FileExistsError):
    """A folder for records already holds a run."""


class ConflictingRunsError(InvbenchError, ValueError):
    """Runs that were made under different conditions cannot become one."""


class DidNotConvergeError(InvbenchError, ArithmeticError):
    """An iteration ended before it had reached its tolerance."""


class LostWorkerError(InvbenchError, RuntimeError):
    """A worker died before its work was done, and so did those that took its place."""


class RemoteError(InvbenchError, RuntimeError):
    """An error on another machine that has no name here; the message holds what was said there."""


class FolderWarning(UserWarning):
    """Not every image of a folder is used, or links were followed to some."""


class ExecutionWarning(UserWarning):
    """Workers differ from each other, or there are none that have what is asked for."""


class ResumeWarning(UserWarning):
    """Something stored by an earlier session could not be used."""


class RandomLpipsWarning(UserWarning):
    """LPIPS had to be made with random weights."""


MISSING_OR_DAMAGED = (
    CorruptCheckpointError,
    EmptyFolderError,
    InvalidRecordError,
    MissingDataError,
    StorageError,
    UnreadableImageError,
)
"""What says nothing of the quality of a model: their exit status is one of their own."""
