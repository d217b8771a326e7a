"""The gate judges the whole run: it comes last, and what it found is shown at the end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invbench.escaping import terminal
from invbench.gate import GateReport
from invbench.report import GATE_WIDTH, gate_lines, room

if TYPE_CHECKING:
    from collections.abc import Generator

REPORTS = pytest.StashKey[list[GateReport]]()
LINES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the gate's items after all others, whose order is kept."""
    items.sort(key=lambda item: item.path.name == "test_gate.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the file of what was skipped without the folder that the suite was installed to."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (Path(path).name, line, reason)
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder that pytest-benchmark always makes, unless something was saved there."""
    with suppress(OSError):
        Path(config.getoption("benchmark_storage").removeprefix("file://")).rmdir()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the rows that are not simply fine, and what follows; with -q that alone if all is."""
    stash = terminalreporter.config.stash
    reports, lines = stash.get(REPORTS, []), stash.get(LINES, [])
    quiet = terminalreporter.config.get_verbosity() < 0
    if (reports or lines) and not quiet:
        terminalreporter.section("gate")
    found = []
    for report in reports:
        said = gate_lines(report, every_row=False, width=room(GATE_WIDTH))
        found += said[-1:] if quiet and report.passed else said
    for line in found + lines:
        terminalreporter.write_line(terminal(line))


@pytest.fixture(scope="session")
def publish(pytestconfig: pytest.Config):
    """Give the function that has a report shown at the end."""
    return pytestconfig.stash.setdefault(REPORTS, []).append


@pytest.fixture(scope="session")
def announce(pytestconfig: pytest.Config):
    """Give the function that has a line shown at the end."""
    return pytestconfig.stash.setdefault(LINES, []).append
