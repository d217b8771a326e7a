"""The pytest plugin: options, fixtures and the closing table. It wires; the library works."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invbench.errors import MissingCheckpointError
from invbench.options import Options, add_options
from invbench.report.tables import run_table
from invbench.store import RunStore
from invbench.suite import Suite, default_results

if TYPE_CHECKING:
    from invbench.cases import Case
    from invbench.models import Sampler

PREFIX = "--invbench-"
_SUITE = pytest.StashKey[Suite]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of `options.Options`."""
    add_options(parser.getgroup("invbench").addoption, prefix=PREFIX)


def pytest_configure(config: pytest.Config) -> None:
    """Collect the options into a suite; nothing is loaded yet."""
    chosen = {
        option.name: config.getoption(PREFIX + option.name.replace("_", "-"))
        for option in fields(Options)
    }
    options = Options(**chosen)
    shared = getattr(config, "workerinput", {}).get("invbench_results")
    folder = Path(shared) if shared else options.results or default_results(config.rootpath)
    config.stash[_SUITE] = Suite(options, config.rootpath, RunStore(folder))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Have every xdist worker write to the same folder."""
    node.workerinput["invbench_results"] = str(node.config.stash[_SUITE].store.folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a ``case`` all of them."""
    if "case" in metafunc.fixturenames:
        cases = metafunc.config.stash[_SUITE].cases
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.fixture(scope="session")
def suite(pytestconfig: pytest.Config) -> Suite:
    """Give the run's suite, its folder begun."""
    run = pytestconfig.stash[_SUITE]
    if not hasattr(pytestconfig, "workerinput"):
        run.store.write_run(run.describe(sys.argv))
    return run


@pytest.fixture
def sampler(case: Case, suite: Suite) -> tuple[Sampler, dict[str, Any]]:
    """Build the case's sampler; without weights skip, or fail if they are required."""
    try:
        return suite.sampler(case)
    except MissingCheckpointError as error:
        suite.skip(case, str(error))
        if suite.requires(case):
            pytest.fail(f"required: {error}", pytrace=False)
        pytest.skip(str(error))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of all cases of the run."""
    config = terminalreporter.config
    store = config.stash[_SUITE].store
    records = [record for name in store.case_ids() if (record := store.read_case(name))]
    if not records:
        return
    terminalreporter.section("invbench")
    for line in run_table(records):
        terminalreporter.write_line(line)
    skipped = sum(record.status == "skipped" for record in records)
    if skipped:
        terminalreporter.write_line(f"{skipped} cases skipped")
    terminalreporter.write_line(f"records: {store.folder}")
