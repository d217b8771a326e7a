"""``invbench sheet``: samples of all methods side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.exit_codes import ExitCode
from invbench.suite import add_options
from invbench.verbs import add_picture_options, say, verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from invbench.models import Sampler
    from invbench.problems import Profile
    from invbench.report.contact_sheet import SheetRow
    from invbench.verbs import AddParser

INPUTS = 4
SAMPLES = 3


def add(add_parser: AddParser) -> None:
    """Add the verb and its options."""
    parser = verb(add_parser, "sheet", run)
    add_picture_options(parser)
    parser.add_argument("--tile", type=int, default=96, help="largest side of a picture, in pixels")
    add_options(parser.add_argument, only=("profile", "device", "seed"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Draw a few samples of every method and lay them out, a picture a task."""
    from invbench.files import atomic_write
    from invbench.machine import resolve_device
    from invbench.models import MODELS
    from invbench.problems import TASKS, get_profile
    from invbench.report.contact_sheet import contact_sheet, encode_png

    device, profile = resolve_device(arguments.device), get_profile(arguments.profile)
    for task in arguments.task or TASKS:
        samplers = load_samplers(arguments.checkpoints, task, profile, device)
        rows = draw_rows(samplers, task, profile.sizes[task], device, seed=arguments.seed)
        sheet = contact_sheet(rows, MODELS, n_samples=SAMPLES, tile=arguments.tile)
        content = encode_png(sheet)
        path = arguments.output / f"samples-{task}.png"
        with atomic_write(path) as stream:
            stream.write(content)
        say(f"{path}: {len(samplers)} of {len(MODELS)} methods, {len(content) / 1000:.0f} kB")
    return ExitCode.OK


def load_samplers(
    folder: Path, task: str, profile: Profile, device: torch.device
) -> dict[str, Sampler]:
    """Load the samplers of all methods that have weights in a folder."""
    from invbench.errors import MissingCheckpointError
    from invbench.models import MODELS, get_method, load_checkpoint

    configuration, samplers = profile.configuration, {}
    for model in MODELS:
        method = get_method(model)
        path = folder / f"{method.stem(task, configuration)}.safetensors"
        try:
            samplers[model], _ = load_checkpoint(
                path, method=method, task=task, configuration=configuration, device=device
            )
        except MissingCheckpointError:
            continue
    return samplers


def draw_rows(
    samplers: Mapping[str, Sampler], task: str, size: int, device: torch.device, *, seed: int
) -> Sequence[SheetRow]:
    """Draw the samplers' samples of scikit-image's first photographs, seeded as in the suite."""
    from invbench.data.photos import photos
    from invbench.evaluation import draw
    from invbench.images import from_uint8
    from invbench.problems import get_task
    from invbench.report.contact_sheet import SheetRow

    operator, rows = get_task(task).operator, []
    for photo in photos(size, INPUTS):
        target = from_uint8(photo.pixels.to(device))
        observation = operator(target)
        samples = {
            model: draw(
                sampler,
                observation[None],
                task=task,
                image_ids=[photo.id],
                size=(size, size),
                n_samples=SAMPLES,
                seed=seed,
            )[0]
            for model, sampler in samplers.items()
        }
        pictures = {model: [_picture(one) for one in found] for model, found in samples.items()}
        rows.append(SheetRow(photo.id, _picture(observation), _picture(target), pictures))
    return rows


def _picture(image: Tensor) -> NDArray[np.uint8]:
    """Turn ``[c, H, W]`` in [0, 1] into an array ``[H, W, 3]``; gray is replicated."""
    from invbench.images import to_uint8

    pixels: NDArray[np.uint8] = to_uint8(image).expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()
    return pixels
