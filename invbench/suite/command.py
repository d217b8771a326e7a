"""`invbench run` inside pytest: options that nobody knows, and what a status means."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from signal import SIGINT
from typing import TYPE_CHECKING

import pytest

from invbench.errors import MISSING_OR_DAMAGED, UnknownNameError
from invbench.escaping import error_text
from invbench.exit_codes import ExitCode
from invbench.suite.options import Options

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from invbench.errors import InvbenchError

NAME = "invbench-command"
STATUS: dict[int, int] = {
    pytest.ExitCode.INTERRUPTED: 128 + SIGINT,
    pytest.ExitCode.INTERNAL_ERROR: ExitCode.FAULT,
    pytest.ExitCode.USAGE_ERROR: ExitCode.USAGE,
    pytest.ExitCode.NO_TESTS_COLLECTED: ExitCode.INCOMPARABLE,
}


class Command:
    """A plugin that gives pytest's statuses the meaning that they have for every verb."""

    __name__ = NAME  # under which pytest registers it

    def __init__(self) -> None:
        self._missing = False
        self._unread = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(
        self, parser: pytest.Parser, args: list[str]
    ) -> Generator[None]:
        """Refuse an option that neither we nor pytest and its plugins have."""
        yield
        _, unknown = parser.parse_known_and_unknown_args(args)
        if unknown:
            raise pytest.UsageError("\n".join(error_text(_unknown(one)) for one in unknown))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell pytest's usage error from what is missing, which has the same number."""
        self._missing |= session.exitstatus is ExitCode.MISSING

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that tests cannot be read, after which pytest ends as if it were interrupted."""
        self._unread |= report.failed

    def refused(self, found: Sequence[InvbenchError]) -> None:
        """Note why there will be no run."""
        self._missing = all(isinstance(error, MISSING_OR_DAMAGED) for error in found)

    def status(self, given: int) -> int:
        """Return the status of the verb, for that of pytest."""
        if given == pytest.ExitCode.INTERRUPTED and self._unread:
            return ExitCode.FAULT
        return ExitCode.MISSING if self._missing else STATUS.get(given, given)


def _unknown(argument: str) -> UnknownNameError:
    option = argument.partition("=")[0]
    known = [f"--{field.name.replace('_', '-')}" for field in fields(Options)]
    nearest = get_close_matches(option, known, n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "see `invbench run --help`"
    return UnknownNameError(f"unknown option {option!r}; {hint}")
