"""``invbench score``: samples that lie on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options, read_options
from invbench.verbs import LPIPS_OPTIONS, say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "score", run)
    parser.add_argument("folder", type=Path, help="samples: FOLDER/<model>/<image id>/*.png")
    parser.add_argument(
        "--task", dest="task_text", required=True, help="as --invbench-task takes it"
    )
    parser.add_argument(
        "--observations", type=Path, required=True, metavar="DIR", help="<image id>.png"
    )
    parser.add_argument("--targets", type=Path, metavar="DIR", help="<image id>.png, for coverage")
    parser.add_argument("--output", type=Path, required=True, metavar="RESULTS.json")
    add_options(parser.add_argument, only=LPIPS_OPTIONS)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Score samples that lie on disk; what cannot be scored is named and left out."""
    from invbench.evaluation import Question, score_folder
    from invbench.report import disk_table
    from invbench.suite.own_tasks import read_task
    from invbench.suite.resolve import Suite, load_metrics

    task = read_task(arguments.task_text)
    suite = Suite(read_options(arguments))
    question = Question(
        task=task,
        observations=arguments.observations,
        targets=arguments.targets,
        metrics=load_metrics(suite.options, suite.device, offline=suite.options.offline),
    )
    scores = score_folder(arguments.folder, question)
    scores.write(arguments.output)
    for line in disk_table(scores.means()):
        say(line)
    for flaw in scores.flaws:
        sys.stderr.write(f"{flaw.where}: {flaw.error}: {flaw.message}\n")
    if not any(scores.results.values()):
        return ExitCode.INCOMPARABLE
    return ExitCode.FAILED if scores.flaws else ExitCode.OK
