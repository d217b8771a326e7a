"""``invbench run``: the suite itself, from any folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.suite import PREFIX, add_options, as_arguments, read_options, suite_folder
from invbench.verbs import verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options; pytest's own pass through."""
    parser = verb(add_parser, "run", run, allow_abbrev=False)
    parser.epilog = "All options of pytest are passed on to it: -k chimle, -x, -q, -n 4 ..."
    parser.set_defaults(others=[])
    add_options(parser.add_argument)


def run(arguments: argparse.Namespace) -> int:
    """Measure cases and hold them against limits and a baseline, as `pytest benchmarks/` does."""
    import pytest

    from invbench.suite.command import Command

    benchmarks = suite_folder() / "benchmarks"
    settings = ["-c", str(benchmarks / "pytest.toml"), str(benchmarks), f"{PREFIX}command"]
    command = Command()
    given = [*settings, *as_arguments(read_options(arguments)), *arguments.others]
    return command.status(pytest.main(given, plugins=[command]))
