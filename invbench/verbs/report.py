"""``invbench report``: a run for people to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.runs import RunStore
    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "report", run)
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help=".md, .html or .csv; repeatable",
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write a run as Markdown, as one HTML file or as a table of comma-separated values."""
    from invbench.errors import InvalidOptionError
    from invbench.files import atomic_write
    from invbench.runs import RunStore

    unknown = [
        path.name for path in arguments.output if path.suffix not in {".md", ".html", ".csv"}
    ]
    if unknown:
        raise InvalidOptionError(f"{', '.join(unknown)}: a report ends in .md, .html or .csv")
    store = RunStore(arguments.folder)
    for path in arguments.output:
        text = _write(store, path.suffix)
        with atomic_write(path) as stream:
            stream.write(text.encode())
        say(str(path))
    return ExitCode.OK


def _write(store: RunStore, suffix: str) -> str:
    from invbench.report import csv_report, markdown_report, read_records, summarize
    from invbench.report.html import html_report

    if suffix == ".csv":
        return csv_report(read_records(store))
    return (markdown_report if suffix == ".md" else html_report)(summarize(store))
