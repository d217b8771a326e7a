"""``invbench uncertainty``: where the samples of each method disagree, in one figure a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.escaping import counted
from invbench.exit_codes import ExitCode
from invbench.suite import add_options, read_options
from invbench.verbs import add_picture_options, say, verb

if TYPE_CHECKING:
    import argparse

    from invbench.data import DataSet
    from invbench.evaluation import Settings, Subject
    from invbench.problems import Problem
    from invbench.report.figures import IntervalImages
    from invbench.uncertainty import Interval
    from invbench.verbs import AddParser

SHOWN = 4


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "uncertainty", run)
    add_picture_options(parser)
    add_options(parser.add_argument, only=("images", "samples"))
    parser.add_argument(
        "--arrays", action="store_true", help="save means and interval sizes beside each figure"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Draw the calibrated intervals of every method as light upon its mean samples."""
    from invbench.errors import MissingCheckpointError, MissingDataError
    from invbench.files import make_folder
    from invbench.report.figures import draw_uncertainty, save_arrays
    from invbench.suite.checks import check_data
    from invbench.suite.resolve import Suite

    suite = Suite(read_options(arguments))
    check_data(suite, suite.tasks)
    make_folder(arguments.output)
    for problem in map(suite.problem, suite.tasks):
        subjects = suite.subjects(problem.name, arguments.model)
        if not subjects:
            raise MissingCheckpointError(
                f"no weights for {problem.name}; give --checkpoints, or --sampler of your own"
            )
        data = suite.data_set(problem.name)
        if len(set(data.groups)) < 2:
            raise MissingDataError(
                f"{problem.name}: one photograph, and intervals are calibrated on others; give "
                "more by --images or --data"
            )
        methods = {
            model: interval_images(subject, problem, data, suite.settings)
            for model, subject in subjects.items()
        }
        path = arguments.output / f"uncertainty-{problem.name}.png"
        shown = [photo.id for photo in data.photos[:SHOWN]]
        scale = draw_uncertainty(path, methods, title=problem.name, image_ids=shown)
        if arguments.arrays:
            save_arrays(path.with_suffix(".npz"), methods)
        say(f"{path}: {counted(len(methods), 'method')}, full brightness {scale:.3f}")
    return ExitCode.OK


def interval_images(
    subject: Subject, problem: Problem, data: DataSet, settings: Settings
) -> IntervalImages:
    """Calibrate the intervals of each photograph on the others, and keep the first few.

    Args:
        subject: whose samples they are.
        problem: what the sampler has to solve.
        data: images of at least two photographs.
        settings: as in the suite, whose samples these are.

    Raises:
        InvalidSplitError: for fewer than two photographs.
    """
    import numpy as np
    import torch

    from invbench.evaluation import calibrate_on_others, draw_samples, observe
    from invbench.report.figures import IntervalImages
    from invbench.uncertainty import Additive, interval, risk_curve

    needed = []
    found: list[tuple[Additive, Interval]] = []
    for photo in data.photos:
        observed = observe(photo, problem, settings.device)
        samples = draw_samples(subject.sampler, observed, settings)
        scaling, bands = Additive(samples.mean(dim=0)), interval(samples)
        needed.append(scaling.needed_factors(bands, observed.target).flatten().cpu().numpy())
        if len(found) < SHOWN:
            found.append((scaling, bands))

    curve = risk_curve(np.stack(needed), scaling="additive")
    crossed = calibrate_on_others(curve, data.groups)
    sizes = []
    for (scaling, bands), factor in zip(found, crossed.factors(len(data.photos)), strict=False):
        scaled = scaling.scaled(bands, float(factor))
        sizes.append(scaled.upper - scaled.lower)
    means = torch.stack([scaling.center for scaling, _ in found])
    return IntervalImages(means.cpu().numpy(), torch.stack(sizes).cpu().numpy())
