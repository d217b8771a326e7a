"""The pytest plugin: options, fixtures and the closing table. It wires; the library works."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invbench.errors import (
    MISSING_OR_DAMAGED,
    InvalidOptionError,
    InvbenchError,
    MissingCheckpointError,
    UnsupportedProblemError,
)
from invbench.escaping import error_text, terminal, terminal_lines
from invbench.executors import LOCAL
from invbench.machine import lasting_facts
from invbench.models import Case
from invbench.runs import RunStore
from invbench.suite import PREFIX, Options, add_options, under_pytest
from invbench.suite.checks import flaws, flaws_of_arguments, flaws_of_data
from invbench.suite.command import NAME
from invbench.suite.description import default_results
from invbench.suite.output import (
    choose_display,
    closing_lines,
    collected,
    escape_report,
    is_quiet,
)
from invbench.suite.progress import Progress
from invbench.suite.remote import Remote
from invbench.suite.resolve import Suite
from invbench.suite.session import Session
from invbench.suite.status import Status, lost

if TYPE_CHECKING:
    import warnings
    from collections.abc import Generator, Iterator, Sequence

    from invbench.evaluation import Subject

COMMAND = f"{PREFIX}command"  # given by `invbench run`, whose options have no prefix
ACTIONS = {"ExecutionWarning": "default", "ResumeWarning": "default", "FolderWarning": "ignore"}
"""Of our warnings; what is said of folders `_begin` has collected."""
_SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of `suite.options.Options`."""
    group = parser.getgroup("invbench")
    add_options(group.addoption, prefix=PREFIX)
    group.addoption(COMMAND, action="store_true", help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Collect the options into a session; nothing is loaded yet."""
    for warning, action in ACTIONS.items():
        config.addinivalue_line("filterwarnings", f"{action}::invbench.errors.{warning}")
    chosen = {
        option.name: config.getoption(PREFIX + option.name.replace("_", "-"))
        for option in fields(Options)
    }
    options = Options(**chosen)
    worker = getattr(config, "workerinput", {})
    shared = worker.get("invbench_results")
    folder = Path(shared) if shared else options.results or default_results()
    number = int(worker["workerid"].removeprefix("gw")) if worker else None
    suite = Suite(options, worker=number)
    remote = None if options.executor == LOCAL else Remote(options, folder)
    progress = Progress(choose_display(config))
    session = Session(suite, RunStore(folder), remote=remote, progress=progress)
    config.stash[_SESSION] = session
    if is_quiet(config):
        config.option.benchmark_quiet = True
    if remote is not None:
        config.add_cleanup(remote.close)
    config.pluginmanager.register(Status(session), "invbench-status")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse options that name nothing, all of them at once, before any work."""
    if hasattr(session.config, "workerinput"):
        return  # the process that started this one has looked
    found = flaws(session.config.stash[_SESSION].suite)
    if session.config.getoption("numprocesses", None):
        if session.config.stash[_SESSION].remote:
            found += [InvalidOptionError("-n starts processes beside the executor's; choose one")]
        found += flaws_of_arguments(map(str, session.config.invocation_params.args))
    _refuse(session.config, found)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Have every xdist worker write to the same folder."""
    node.workerinput["invbench_results"] = str(node.config.stash[_SESSION].store.folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a ``case`` all of them."""
    if "case" in metafunc.fixturenames:
        cases = metafunc.config.stash[_SESSION].suite.cases
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep this shard's part of the cases that were selected."""
    with _usage_errors(config):
        shard = config.stash[_SESSION].suite.shard
    selected = _selected(items)
    others = set(selected) - set(shard.select(selected))
    if others:
        config.hook.pytest_deselected(items=[item for item in items if _case_id(item) in others])
        items[:] = [item for item in items if _case_id(item) not in others]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the run's folder, so that one that cannot be written to ends it before any sampling."""
    config = session.config
    aside = hasattr(config, "workerinput") or config.option.collectonly
    if not (aside or session.testsfailed):
        _begin(config, _selected(session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids: list[str]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Begin the run's folder when the first worker has collected."""
    if node.gateway.id == "gw0":
        names = {name.partition("[")[2].removesuffix("]") for name in ids}
        cases = node.config.stash[_SESSION].suite.cases
        _begin(node.config, [case.id for case in cases if case.id in names])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test failed for want of what is not there or not whole; escape its error."""
    report = yield
    escape_report(report)
    error = call.excinfo and call.excinfo.value
    report.__dict__["invbench_lacking"] = report.failed and isinstance(error, MISSING_OR_DAMAGED)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Escape what is warned of, before pytest keeps it for the end."""
    text = str(warning_message.message)
    if text != (shown := terminal_lines(text)):
        warning_message.message = shown


@pytest.fixture(scope="session")
def session(pytestconfig: pytest.Config) -> Session:
    """Give the run's session; its folder was begun when the cases were collected."""
    return pytestconfig.stash[_SESSION]


@pytest.fixture
def subject(case: Case, session: Session, pytestconfig: pytest.Config) -> Subject:
    """Build the case's sampler.

    Without weights skip, or fail if they are required; skip also what the sampler is not made for.
    """
    try:
        return session.subject(case)
    except UnsupportedProblemError as error:
        session.leave_out(case, "declined", str(error))
        pytest.skip(_told(pytestconfig, terminal(f"declined: {error}")))
    except MissingCheckpointError as error:
        session.leave_out(case, "skipped", str(error))
        if session.suite.requires(case):
            pytest.fail(_told(pytestconfig, terminal(f"required: {error}")), pytrace=False)
        pytest.skip(_told(pytestconfig, terminal(str(error))))
    except Exception as error:
        session.leave_out(case, "error", f"{type(error).__name__}: {error}")
        raise


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add the facts that a timing depends on; pytest-benchmark warns where two files differ."""
    with _usage_errors(config):
        machine_info["invbench"] = lasting_facts(config.stash[_SESSION].suite.device)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Say in pytest-benchmark's file which run its timings belong to."""
    output_json["invbench"] = {"run_id": config.stash[_SESSION].store.run_id}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
) -> None:
    """Print the table of all cases of the run."""
    config = terminalreporter.config
    session = config.stash[_SESSION]
    if loss := lost(session):
        terminalreporter.write_line(error_text(loss))
        return
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        terminalreporter.write_line("no case is selected; `invbench list` names them all")
        return
    if not session.store.case_ids() or exitstatus == pytest.ExitCode.USAGE_ERROR:
        return
    quiet = is_quiet(config)
    if not quiet:
        terminalreporter.section("invbench")
    for line in closing_lines(session, quiet=quiet):
        terminalreporter.write_line(_told(config, terminal(line)))


def _begin(config: pytest.Config, selected: Sequence[str]) -> None:
    """Read the photographs of the selected cases, then make the run's folder ready."""
    if selected:
        session = config.stash[_SESSION]
        cases = [case for case in session.suite.cases if case.id in set(selected)]
        with collected(session.remarks):
            found = flaws_of_data(session.suite, [case.task for case in cases])
        _refuse(config, found)
        with _usage_errors(config):
            session.begin(sys.argv, selected)


def _refuse(config: pytest.Config, found: Sequence[InvbenchError]) -> None:
    if found:
        if command := config.pluginmanager.get_plugin(NAME):
            command.refused(found)
        raise pytest.UsageError(_told(config, "\n".join(map(error_text, found)))) from found[0]


def _selected(items: Sequence[pytest.Item]) -> list[str]:
    """Return the ids of the cases that tests are about, in the order of the tests."""
    return list(dict.fromkeys(name for item in items if (name := _case_id(item))))


def _case_id(item: pytest.Item) -> str | None:
    """Return the id of the case that a test is about, if it is about one."""
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    return case.id if isinstance(case, Case) else None


@contextmanager
def _usage_errors(config: pytest.Config) -> Iterator[None]:
    """Have pytest report a named error as wrong usage, status 4, before any test runs."""
    try:
        yield
    except InvbenchError as error:
        _refuse(config, [error])


def _told(config: pytest.Config, message: str) -> str:
    """Return a message with options under the names that the user gives them by."""
    return message if config.getoption(COMMAND) else under_pytest(message)
