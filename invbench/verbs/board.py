"""``invbench board``: many runs as one static site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.suite import add_options
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "board", run)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, or of several runs"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the site"
    )
    add_options(parser.add_argument, only=("alpha",))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write a static site of many runs; a damaged run is named and left out, and fails."""
    from invbench.gate import check_alpha
    from invbench.report.board import write_board

    check_alpha(arguments.alpha)
    board = write_board(arguments.runs, arguments.output, alpha=arguments.alpha)
    for refused in board.refused:
        for problem in refused.problems:
            say(f"{refused.name}: not shown: {problem}")
    say(f"{board.index}: {counted(len(board.runs), 'run')}")
    return ExitCode.FAILED if board.refused else ExitCode.OK
