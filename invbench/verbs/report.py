"""``invbench report``: a run for people to read."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.verbs import say, verb
from invbench.verbs.paper import TABLE

if TYPE_CHECKING:
    import argparse

    from invbench.gate import GateReport, Snapshot
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
        help=".html, .md, .csv or .tex; repeatable",
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="RUN", help="folder of a run, or file of a baseline"
    )
    parser.add_argument(
        "--table", type=Path, default=TABLE, metavar="FILE", help="the study's values"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write a run as a page with pictures, as Markdown, as numbers or as tables for a paper."""
    from invbench.errors import InvalidOptionError
    from invbench.files import atomic_write
    from invbench.runs import RunStore

    unknown = [path.name for path in arguments.output if path.suffix not in FORMATS]
    if unknown:
        raise InvalidOptionError(f"{', '.join(unknown)}: a report ends in {', '.join(FORMATS)}")
    report = _Report(RunStore(arguments.folder), arguments.table, arguments.baseline)
    for path in arguments.output:
        text = FORMATS[path.suffix](report)
        with atomic_write(path) as stream:
            stream.write(text.encode())
        say(str(path))
    return ExitCode.OK


class _Report:
    """A run and what it is held against, read when a format asks for it."""

    def __init__(self, store: RunStore, table: Path, baseline: Path | None) -> None:
        from invbench.report.paper import read_paper

        self.store = store
        self.paper = read_paper(table)
        self._baseline = baseline

    @cached_property
    def baseline(self) -> Snapshot | None:
        from invbench.gate import read_snapshot

        return read_snapshot(self._baseline) if self._baseline else None

    @cached_property
    def gate(self) -> GateReport | None:
        from invbench.gate import compare, compare_timings, read_snapshot

        if self.baseline is None:
            return None
        candidate = read_snapshot(self.store.folder)
        cases = list(candidate.cases)  # what else the baseline has is not this run's concern
        speeds = compare_timings(self.baseline, candidate, cases=cases)
        return compare(self.baseline, candidate, cases=cases, speeds=speeds)


def _html(report: _Report) -> str:
    from invbench.report.html import html_report

    return html_report(report.store, paper=report.paper, gate=report.gate, baseline=report.baseline)


def _markdown(report: _Report) -> str:
    from invbench.report import gate_markdown, markdown_report, summarize

    text = markdown_report(summarize(report.store, gate=report.gate))
    return text if report.gate is None else f"{text}\n{gate_markdown(report.gate)}"


def _csv(report: _Report) -> str:
    from invbench.report import csv_report, read_records

    return csv_report(read_records(report.store))


def _latex(report: _Report) -> str:
    from invbench.report import read_records
    from invbench.report.latex import latex_report
    from invbench.report.page_tasks import score_tables

    return latex_report(score_tables(read_records(report.store), report.paper))


FORMATS = {".html": _html, ".md": _markdown, ".csv": _csv, ".tex": _latex}
