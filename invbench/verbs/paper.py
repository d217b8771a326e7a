"""``invbench paper``: a run beside the study's table."""

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
    parser = verb(add_parser, "paper", run)
    parser.add_argument("folder", type=Path, help="folder of a run")
    parser.add_argument(
        "--table",
        type=Path,
        default=Path("fixtures/paper_table1.toml"),
        metavar="FILE",
        help="the study's values",
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print a run's scores beside the study's, as Markdown, and how their orders agree."""
    from invbench.errors import MissingDataError
    from invbench.report import read_records
    from invbench.report.paper import paper_report, read_paper
    from invbench.runs import RunStore

    records = read_records(RunStore(arguments.folder))
    if not any(record.validity for record in records):
        raise MissingDataError(f"{arguments.folder}: no case was measured")
    for line in paper_report(records, read_paper(arguments.table)):
        say(line)
    return ExitCode.OK
