"""``invbench limits``: what a run measured becomes what later runs must keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "limits", run)
    parser.add_argument("folder", type=Path, help="folder of a run")
    parser.add_argument("file", type=Path, help="limits file, which states the slack")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write what a run measured into a limits file; other cases keep what stands there."""
    from invbench.gate import write_limits
    from invbench.runs import RunStore

    written = write_limits(arguments.file, RunStore(arguments.folder))
    say(f"{arguments.file}: limits of {counted(written, 'case')}")
    return ExitCode.OK
