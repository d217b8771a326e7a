"""What pytest's exit status becomes where something was not there, or not whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invbench.errors import InvalidRecordError, StorageError
from invbench.exit_codes import ExitCode

if TYPE_CHECKING:
    from invbench.suite.session import Session


class Status:
    """Gives a session that failed, or skipped all, for want of something the status of that."""

    def __init__(self, run: Session) -> None:
        self.run = run
        self.failed = 0
        self.lacking = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count failures, those of other processes as well."""
        self.failed += report.failed
        self.lacking += report.failed and getattr(report, "invbench_lacking", False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Change the status, which would be that of a check that failed, or of success."""
        failed = session.exitstatus == pytest.ExitCode.TESTS_FAILED
        passed = session.exitstatus == pytest.ExitCode.OK
        if (failed and self.failed == self.lacking) or (
            passed and (_skipped_all(self.run) or lost(self.run))
        ):
            session.exitstatus = ExitCode.MISSING


def _skipped_all(session: Session) -> bool:
    """Tell whether a run that was begun has nothing but cases without weights."""
    if not session.claims:
        return False
    try:
        records = [session.store.read_case(name) for name in session.store.case_ids()]
    except InvalidRecordError:
        return False
    return bool(records) and all(record and record.status == "skipped" for record in records)


def lost(session: Session) -> StorageError | None:
    """Return what is to be said if the folder of a run that was begun is no longer its own."""
    try:
        if session.claims:
            session.check_folder()
    except StorageError as error:
        return error
    return None
