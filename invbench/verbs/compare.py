"""``invbench compare``: is a run worse than a baseline?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invbench.suite import add_options
from invbench.verbs import say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.exit_codes import ExitCode
    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "compare", run)
    parser.add_argument("baseline", type=Path, help="folder of a run, or file of a baseline")
    parser.add_argument("candidate", type=Path, help="folder of a run, or file of a baseline")
    add_options(parser.add_argument, only=("gate", "alpha"))
    parser.add_argument(
        "--allow-missing", action="store_true", help="accept that cases of the baseline are gone"
    )
    parser.add_argument("--timing", action="store_true", help="compare throughput, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Compare two runs image by image; the exit status says whether one is worse."""
    from invbench.files import atomic_write
    from invbench.gate import compare, compare_timings, read_snapshot, write_report
    from invbench.report import GATE_WIDTH, gate_lines, gate_markdown, room

    baseline, candidate = read_snapshot(arguments.baseline), read_snapshot(arguments.candidate)
    alpha = arguments.alpha
    report = compare(
        baseline,
        candidate,
        mode=arguments.gate,
        alpha=alpha,
        allow_missing=arguments.allow_missing,
        speeds=compare_timings(baseline, candidate, alpha=alpha) if arguments.timing else (),
    )
    for line in gate_lines(report, width=room(GATE_WIDTH)):
        say(line)
    if arguments.json:
        write_report(report, arguments.json)
    if arguments.markdown:
        with atomic_write(arguments.markdown) as stream:
            stream.write(gate_markdown(report).encode())
    return report.exit_code
