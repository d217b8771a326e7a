"""``invbench merge``: shards become one run."""

from __future__ import annotations

import sys
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
    parser = verb(add_parser, "merge", run)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the new run"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Put runs of parts of the suite, or of its shards, together as a new run."""
    from invbench.errors import ConflictingRunsError
    from invbench.escaping import error_text
    from invbench.runs import RunStore, merge

    try:
        count = merge([RunStore(folder) for folder in arguments.runs], RunStore(arguments.output))
    except ConflictingRunsError as error:
        sys.stderr.write(f"invbench: {error_text(error)}\n")
        return ExitCode.INCOMPARABLE
    say(f"{arguments.output}: {counted(count, 'case')}")
    return ExitCode.OK
