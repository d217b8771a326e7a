"""``invbench uncertainty``: where the samples of each method disagree, in one figure a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options
from invbench.verbs import add_picture_options, say, verb
from invbench.verbs.sheet import load_samplers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import torch

    from invbench.data import Photo
    from invbench.models import Sampler
    from invbench.report.figures import IntervalImages
    from invbench.uncertainty import Interval
    from invbench.verbs import AddParser

SHOWN = 4


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "uncertainty", run)
    add_picture_options(parser)
    parser.add_argument("--images", type=int, help="to calibrate on (default: the profile's)")
    parser.add_argument("--samples", type=int, help="an image (default: the profile's)")
    parser.add_argument(
        "--arrays", action="store_true", help="save means and interval sizes beside each figure"
    )
    add_options(parser.add_argument, only=("profile", "device", "seed"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Draw the calibrated intervals of every method as light upon its mean samples."""
    from invbench.data.photos import photos
    from invbench.errors import MissingCheckpointError
    from invbench.machine import resolve_device
    from invbench.problems import TASKS, get_profile, get_task
    from invbench.report.figures import draw_uncertainty, save_arrays

    device, profile = resolve_device(arguments.device), get_profile(arguments.profile)
    n_samples = arguments.samples or profile.n_samples
    for task in map(get_task, arguments.task or TASKS):
        samplers = load_samplers(arguments.checkpoints, task.name, profile, device)
        if not samplers:
            raise MissingCheckpointError(
                f"{arguments.checkpoints}: no weights for {task.name}; give --checkpoints"
            )
        images = photos(profile.sizes[task.name], arguments.images or profile.n_images)
        methods = {
            model: interval_images(
                sampler,
                task.name,
                images,
                device,
                n_samples=n_samples,
                chunk_size=profile.chunk_size,
                seed=arguments.seed,
            )
            for model, sampler in samplers.items()
        }
        path = arguments.output / f"uncertainty-{task.name}.png"
        shown = [photo.id for photo in images[:SHOWN]]
        scale = draw_uncertainty(path, methods, title=task.name, image_ids=shown)
        if arguments.arrays:
            save_arrays(path.with_suffix(".npz"), methods)
        say(f"{path}: {len(methods)} methods, full brightness {scale:.3f}")
    return ExitCode.OK


def interval_images(
    sampler: Sampler,
    task: str,
    images: Sequence[Photo],
    device: torch.device,
    *,
    n_samples: int,
    chunk_size: int,
    seed: int,
) -> IntervalImages:
    """Calibrate the intervals of each photograph on the others, and keep the first few.

    Args:
        sampler: whose samples they are.
        task: task id.
        images: of at least two photographs.
        device: where the sampler is.
        n_samples: samples an image.
        chunk_size: samples drawn in one call of the sampler.
        seed: as in the suite, whose samples these are.

    Raises:
        InvalidSplitError: for fewer than two photographs.
    """
    import numpy as np
    import torch

    from invbench.evaluation import calibrate_on_others, draw
    from invbench.images import from_uint8
    from invbench.problems import get_task
    from invbench.report.figures import IntervalImages
    from invbench.uncertainty import Additive, interval, risk_curve

    operator, needed = get_task(task).operator, []
    found: list[tuple[Additive, Interval]] = []
    for photo in images:
        target = from_uint8(photo.pixels.to(device))
        samples = draw(
            sampler,
            operator(target)[None],
            task=task,
            image_ids=[photo.id],
            size=(target.shape[-2], target.shape[-1]),
            n_samples=n_samples,
            seed=seed,
            chunk_size=chunk_size,
        )[0]
        scaling, bands = Additive(samples.mean(dim=0)), interval(samples)
        needed.append(scaling.needed_factors(bands, target).flatten().cpu().numpy())
        if len(found) < SHOWN:
            found.append((scaling, bands))

    curve = risk_curve(np.stack(needed), scaling="additive")
    crossed = calibrate_on_others(curve, [photo.group for photo in images])
    sizes = []
    for (scaling, bands), factor in zip(found, crossed.factors(len(images)), strict=False):
        scaled = scaling.scaled(bands, float(factor))
        sizes.append(scaled.upper - scaled.lower)
    means = torch.stack([scaling.center for scaling, _ in found])
    return IntervalImages(means.cpu().numpy(), torch.stack(sizes).cpu().numpy())
