"""``invbench validate``: is what lies on disk a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "validate", run)
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="run, or file of one")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Check runs against their schema, records against their scores; name every problem by file."""
    from invbench.runs import validate

    problems = [problem for path in arguments.paths for problem in validate(path)]
    for problem in problems:
        say(f"{problem.path}: {problem.error}: {problem.message}")
    if not problems:
        say(f"{', '.join(str(path) for path in arguments.paths)}: valid")
    return ExitCode.FAILED if problems else ExitCode.OK
