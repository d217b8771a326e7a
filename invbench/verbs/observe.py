"""``invbench observe``: photographs become what samplers elsewhere are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.suite import add_options, at_least_one, read_options
from invbench.verbs import TASK_HELP, say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.verbs import AddParser


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "observe", run)
    parser.add_argument("--task", dest="task_text", required=True, help=TASK_HELP)
    parser.add_argument(
        "--images", dest="photographs", type=Path, required=True, metavar="DIR", help="to observe"
    )
    parser.add_argument(
        "--size",
        type=at_least_one,
        help="side of the square targets, in pixels (default: the profile's)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    add_options(parser.add_argument, only=("profile", "device"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write the targets and observations of photographs, as `invbench score` reads them."""
    from invbench.data.folder import folder_photos
    from invbench.data.layout import OBSERVATIONS, TARGETS
    from invbench.errors import ExistingRunError
    from invbench.evaluation import observe
    from invbench.files import is_there
    from invbench.images import to_uint8, write_png
    from invbench.suite.own_tasks import read_task_of_files
    from invbench.suite.resolve import Suite

    task = read_task_of_files(arguments.task_text)
    suite = Suite(replace(read_options(arguments), task=[arguments.task_text]))
    size = arguments.size or suite.size(task.name)
    folders = [arguments.output / name for name in (OBSERVATIONS, TARGETS)]
    for folder in folders:
        if is_there(folder):
            raise ExistingRunError(f"{folder}: is there already; name another folder")
    photos, problem = folder_photos(arguments.photographs, size), task.problem((size, size))
    for photo in photos:
        observed = observe(photo, problem, suite.device)
        for folder, image in zip(folders, (observed.observation, observed.target), strict=True):
            write_png(folder / f"{photo.id}.png", to_uint8(image))
    say(f"{arguments.output}: observations and targets of {counted(len(photos), 'photograph')}")
    side = problem.observation_shape[-1]
    if size % side:
        say(
            f"{size} is no multiple of {side}: all of each target is seen, {size / side:.4g} times "
            "smaller; a whole number of times needs another --size"
        )
    return ExitCode.OK
