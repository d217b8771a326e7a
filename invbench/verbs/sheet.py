"""``invbench sheet``: samples of all methods side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.suite import at_least_one, read_options
from invbench.verbs import add_picture_options, say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.data import Photo
    from invbench.evaluation import Settings, Subject
    from invbench.problems import Problem
    from invbench.report.contact_sheet import SheetRow
    from invbench.verbs import AddParser

INPUTS = 4
SAMPLES = 3


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "sheet", run)
    add_picture_options(parser)
    parser.add_argument(
        "--tile", type=at_least_one, default=96, help="largest side of a picture, in pixels"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Draw a few samples of every method and sampler and lay them out, a picture a task."""
    from invbench.files import atomic_write, make_folder
    from invbench.models import MODELS
    from invbench.report.contact_sheet import contact_sheet, encode_png
    from invbench.suite.checks import check_data
    from invbench.suite.resolve import Suite

    options = replace(read_options(arguments), samples=SAMPLES)
    suite = Suite(options)
    check_data(suite, suite.tasks)
    columns = arguments.model or [*MODELS, *suite.own]
    make_folder(arguments.output)
    for problem in map(suite.problem, suite.tasks):
        subjects = suite.subjects(problem.name, arguments.model)
        photos = suite.data_set(problem.name).photos[:INPUTS]
        rows = draw_rows(subjects, problem, photos, suite.settings)
        sheet = contact_sheet(rows, columns, n_samples=SAMPLES, tile=arguments.tile)
        content = encode_png(sheet)
        path = arguments.output / f"samples-{problem.name}.png"
        with atomic_write(path) as stream:
            stream.write(content)
        say(
            f"{path}: {len(subjects)} of {counted(len(columns), 'method')}, "
            f"{len(content) / 1000:.0f} kB"
        )
    return ExitCode.OK


def draw_rows(
    subjects: Mapping[str, Subject], problem: Problem, photos: Sequence[Photo], settings: Settings
) -> Sequence[SheetRow]:
    """Draw samples of every photograph with every sampler, the same ones as the suite's."""
    from invbench.evaluation import draw_samples, observe
    from invbench.report.contact_sheet import SheetRow

    rows = []
    for photo in photos:
        observed = observe(photo, problem, settings.device)
        pictures = {
            model: [_picture(one) for one in draw_samples(subject.sampler, observed, settings)]
            for model, subject in subjects.items()
        }
        observation, target = _picture(observed.compared), _picture(observed.target)
        rows.append(SheetRow(photo.id, observation, target, pictures))
    return rows


def _picture(image: Tensor) -> NDArray[np.uint8]:
    """Turn ``[c, H, W]`` in [0, 1] into an array ``[H, W, 3]``; gray is replicated."""
    from invbench.images import to_uint8

    pixels: NDArray[np.uint8] = to_uint8(image).expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()
    return pixels
