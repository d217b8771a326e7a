"""What does a run print under pytest? Its progress, and what it ends with; ``-q`` is quiet."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from invbench.errors import FolderWarning, InvalidRecordError
from invbench.escaping import counted, error_text, terminal_lines
from invbench.report import WIDTH, room, run_table, verdict_lines
from invbench.suite.columns import chosen_columns
from invbench.suite.progress import LineDisplay, NoDisplay, TerminalDisplay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from invbench.suite.progress import Display
    from invbench.suite.session import Session


def is_quiet(config: pytest.Config) -> bool:
    """Tell whether ``-q`` was given."""
    return config.get_verbosity() < 0


def choose_display(config: pytest.Config) -> Display:
    """Choose where progress is shown: in a line of the terminal, by lines now and then, nowhere.

    What a test prints would run into a line of the terminal, so without capturing lines are kept.
    """
    if is_quiet(config) or hasattr(config, "workerinput"):
        return NoDisplay()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and config.option.capture != "no":
        return TerminalDisplay(lambda text: _uncaptured(config, text))
    return LineDisplay(lambda line: _uncaptured(config, line, as_line=True))


@contextmanager
def collected(remarks: list[str]) -> Iterator[None]:
    """Collect what is warned of folders of photographs, to be said in lines of our own."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", FolderWarning)
        yield
    for warning in said:
        if warning.category is FolderWarning:
            remarks += [text for text in [str(warning.message)] if text not in remarks]
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def escape_report(report: pytest.TestReport) -> None:
    """Escape what a report shows of an error and of what was printed, which anybody may choose."""
    shown = report.longrepr
    native = [(getattr(shown, "reprtraceback", None), getattr(shown, "reprcrash", None), None)]
    for trace, crash, _ in getattr(shown, "chain", native):
        for entry in trace.reprentries if trace else ():
            _escape_entry(entry)
        if crash:
            crash.message = terminal_lines(crash.message)
    report.sections = [(name, terminal_lines(text)) for name, text in report.sections]


def _escape_entry(entry: Any) -> None:
    """Escape the lines of one function, and what it says of arguments, variables and the error."""
    entry.lines = [terminal_lines(line) for line in entry.lines]
    if arguments := getattr(entry, "reprfuncargs", None):
        arguments.args = [(name, terminal_lines(text)) for name, text in arguments.args]
    if variables := getattr(entry, "reprlocals", None):
        variables.lines = [terminal_lines(line) for line in variables.lines]
    if place := getattr(entry, "reprfileloc", None):
        place.message = terminal_lines(place.message)


def closing_lines(session: Session, *, quiet: bool) -> Iterator[str]:
    """Lay out the run's table, and say what is not in it; or say what is not well alone."""
    records = []
    for name in session.store.case_ids():
        try:
            record = session.store.read_case(name)
        except InvalidRecordError as error:
            yield error_text(error)
        else:
            records += [record] if record else []
    if quiet:
        yield from verdict_lines(records)
    else:
        columns = chosen_columns(session.suite.options)
        yield from run_table(records, columns, width=room(WIDTH))
        for record in records:
            if record.status == "declined":
                yield f"{record.case_id}: declined: {record.reason}"
        skipped = sum(record.status == "skipped" for record in records)
        if skipped:
            yield f"{counted(skipped, 'case')} skipped"
    yield from session.remarks
    if session.kept:
        yield f"{counted(len(session.kept), 'case')} kept from an earlier session"
    yield f"records: {session.store.folder}"


def _uncaptured(config: pytest.Config, text: str, *, as_line: bool = False) -> None:
    """Write past the capturing of the test that is going on."""
    capturing = config.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled() if capturing else nullcontext():
        if as_line:
            config.pluginmanager.getplugin("terminalreporter").write_line(text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()
