"""``invbench score``: samples that lie on disk become a run."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options, read_options
from invbench.verbs import LPIPS_OPTIONS, TASK_HELP, say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from invbench.runs import CaseRecord
    from invbench.verbs import AddParser

COLUMNS = ("psnr", "ssim", "lpips", "coverage", "ideal_coverage", "crps_skill", "mean_width")
WITHOUT_TARGETS = ("null_space_width", "duplicate_fraction")
COUNTS = ("images", "samples")
PROFILE = "folder"  # no size of the suite's was asked for


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "score", run)
    parser.add_argument("folder", type=Path, help="samples: FOLDER/<model>/<image id>/*.png")
    parser.add_argument("--task", dest="task_text", required=True, help=TASK_HELP)
    parser.add_argument(
        "--observations", type=Path, required=True, metavar="DIR", help="<image id>.png"
    )
    parser.add_argument("--targets", type=Path, metavar="DIR", help="<image id>.png, for coverage")
    parser.add_argument(
        "--no-skill",
        action="store_true",
        help="do not draw the reference's samples, which takes seconds for images of 512x512",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="RUN", help="folder of the run (results/<time>)"
    )
    add_options(
        parser.add_argument, only=(*LPIPS_OPTIONS, "groups", "fresh", "pictures", "columns")
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Score samples that lie on disk as a run; what cannot be scored is named and left out."""
    from invbench.data.layout import find_samples
    from invbench.evaluation import Question, score_samples
    from invbench.models import Case
    from invbench.runs import RunStore
    from invbench.suite.columns import check_columns, chosen_columns
    from invbench.suite.description import default_results, describe
    from invbench.suite.loading import load_metrics
    from invbench.suite.names import check_model_folders
    from invbench.suite.own_tasks import read_task_of_files
    from invbench.suite.resolve import Suite

    options = read_options(arguments)
    check_columns(options)
    suite = Suite(options)
    models = find_samples(arguments.folder)
    check_model_folders(arguments.folder, models)
    task = read_task_of_files(arguments.task_text)
    question = Question(
        task=task,
        observations=arguments.observations,
        targets=arguments.targets,
        metrics=load_metrics(options, suite.device, offline=options.offline),
        groups=options.groups,
        device=suite.device,
        skill=not arguments.no_skill,
        n_pictures=options.pictures,
    )
    evaluations = score_samples(models, question)  # before a run that is there is replaced
    cases = tuple(Case(model, task.name).id for model in models)
    store = RunStore(arguments.output or default_results())
    records = []
    with store.begin(fresh=options.fresh, remedy=", or delete the run by --fresh") as claim:
        facts = describe(suite, store.run_id, sys.argv, cases)
        store.write_run(asdict(replace(facts, profile=PROFILE, expected_cases=cases)))
        for evaluation in evaluations:
            claim.check()
            store.write_pictures(evaluation.record.case_id, evaluation.pictures)
            store.write_case(evaluation.record, evaluation.scores)
            records.append(evaluation.record)
    for line in lines(records, chosen_columns(options)):
        say(line)
    say(f"records: {store.folder}")
    if not any(record.validity for record in records):
        return ExitCode.INCOMPARABLE
    return ExitCode.FAILED if any(record.left_out for record in records) else ExitCode.OK


def lines(records: Sequence[CaseRecord], columns: Sequence[str] = ()) -> list[str]:
    """Lay out what was scored; below it what was not, also of models of which nothing was.

    Args:
        records: of the models.
        columns: that were chosen; by default those that matter most, with the numbers of images and
            samples where the models differ in them.
    """
    from invbench.report import not_scored, run_table

    failed = [record for record in records if not record.validity]
    nothing = [f"{record.case_id}: {text}" for record in failed for text in not_scored(record)]
    return run_table(records, columns or _main_columns(records)) + nothing


def _main_columns(records: Sequence[CaseRecord]) -> list[str]:
    from invbench.report import numbers_of

    rows = [numbers_of(record) for record in records if record.validity]
    differing = [name for name in COUNTS if len({row[name] for row in rows}) > 1]
    main = COLUMNS if any("coverage" in row for row in rows) else (*COLUMNS, *WITHOUT_TARGETS)
    names = dict.fromkeys(name for row in rows for name in row)

    def is_main(name: str) -> bool:
        return name in main or (name.startswith("lpips") and not name.endswith("_stderr"))

    return [*differing, *filter(is_main, names)]
