"""``invbench paper``: runs and baselines beside the study's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import suite_folder
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser

TABLE = suite_folder() / "fixtures" / "paper_table1.toml"


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "paper", run)
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder of a run, or file of a baseline; each is laid out on its own",
    )
    parser.add_argument(
        "--table", type=Path, default=TABLE, metavar="FILE", help="the study's values"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print scores beside the study's, as Markdown, how their orders agree, and what holds."""
    from invbench.errors import MissingDataError
    from invbench.escaping import markdown
    from invbench.gate import read_snapshot
    from invbench.report.paper import paper_report, read_paper

    paper = read_paper(arguments.table)
    for path in arguments.runs:
        cases = read_snapshot(path).cases
        if not any(record.validity for record in cases.values()):
            raise MissingDataError(f"{path}: no case was measured")
        if len(arguments.runs) > 1:
            say(f"# {markdown(path.name)}")
        for line in paper_report(cases, paper):
            say(line)
    return ExitCode.OK
