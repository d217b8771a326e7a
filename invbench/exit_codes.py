"""What the command line's exit status means."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Status of every verb; `pytest` keeps its own."""

    OK = 0
    FAILED = 1  # a check failed, a regression was found, or files had to be left out
    USAGE = 2  # unknown name, bad argument, what does not fit together
    INCOMPARABLE = 3  # nothing was measured, or runs that do not compare
    MISSING = 4  # data, weights, a run or room on the disk are not there, or are damaged
    FAULT = 5  # an error that nobody foresaw, in invbench or in code that it was given
