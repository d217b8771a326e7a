"""Observations and targets that lie on disk, paired with samples by image id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from invbench.data import Photo
from invbench.data.folder import group_of
from invbench.errors import EmptyFolderError, UnreadableImageError
from invbench.images import find_images, from_uint8, read_image
from invbench.metrics import psnr
from invbench.operators import Masking, PillowJpeg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from invbench.data.folder import Grouping
    from invbench.images import ImageFiles
    from invbench.metrics import Metric
    from invbench.problems import Task
    from invbench.uncertainty import Rule

NEAR_AGAIN = 36.0  # dB; on the grid of JPEG the median is infinite, off it below 27
NEAR_TARGET = 40.0  # dB; antialiased interpolation in floats reaches 50, without antialiasing 19


@dataclass(frozen=True, kw_only=True)
class Question:
    """What samples on disk are compared with, and how.

    Attributes:
        task: the samples are reobserved by its operator.
        observations: folder of ``<image id>.png``, which the samplers were given.
        metrics: compare reobservations with observations.
        targets: folder of ``<image id>.png``; without it there is no coverage.
        groups: see `data.folder.folder_photos`.
        device: where scores are computed.
        rule: how the interval's quantiles are estimated.
        skill: whether to score the reference sampler as well, where there are targets.
        n_pictures: of how many images of each model, the first, pictures are kept, and of the
            worst; see `pictures.Gallery`.
    """

    task: Task
    observations: Path
    metrics: Sequence[Metric]
    targets: Path | None = None
    groups: Grouping = "image"
    device: torch.device = torch.device("cpu")
    rule: Rule = "linear"
    skill: bool = True
    n_pictures: int = 0


@dataclass(frozen=True, eq=False)
class Partners:
    """What samples are paired with.

    Attributes:
        observations: image id -> an 8-bit image, whose group is that of its photograph.
        targets: image id -> the same; empty if there are no targets.
        missing: image id -> why it has no partner.
        remarks: what is odd about them.
        ids: of all observations, those without samples included.
    """

    observations: Mapping[str, Photo]
    targets: Mapping[str, Photo]
    missing: Mapping[str, str]
    remarks: Sequence[str]
    ids: Sequence[str] = field(default_factory=list)

    def of(self, image_ids: Iterable[str]) -> list[Photo]:
        """Return the targets of some images, or their observations where there are no targets."""
        return [(self.targets or self.observations)[name] for name in image_ids]


def read_partners(question: Question, image_ids: Iterable[str]) -> Partners:
    """Read the observations and targets of the images that have samples.

    Raises:
        EmptyFolderError: if a folder is missing, or holds no image.
    """
    channels = question.task.operator.observation_shape(64, 64)[0]
    folders = {"observations": (question.observations, channels)}
    if question.targets is not None:
        folders["targets"] = (question.targets, 3)
    found = {name: _find(folder) for name, (folder, _) in folders.items()}
    read: dict[str, dict[str, Photo]] = {name: {} for name in ("observations", "targets")}
    missing: dict[str, str] = {}
    for image_id in image_ids:
        try:
            for name, (folder, depth) in folders.items():
                pixels = _read(found[name], folder, image_id, depth)
                group = group_of(image_id, question.groups)
                read[name][image_id] = Photo(image_id, group, pixels)
        except UnreadableImageError as error:
            missing[image_id] = str(error)
    links = [f"{name}/{link}" for name, files in found.items() for link in files.links]
    remarks = [f"followed links: {', '.join(links)}"] if links else []
    for one in read.values():
        for image_id in missing:
            one.pop(image_id, None)
    return Partners(
        read["observations"],
        read["targets"],
        missing,
        remarks + _doubts(question.task, read["observations"], read["targets"]),
        list(found["observations"].files),
    )


def _find(folder: Path) -> ImageFiles:
    found = find_images(folder)
    if not found.files and not found.flaws:
        raise EmptyFolderError(f"{folder}: no image; expected <image id>.png")
    return found


def _read(found: ImageFiles, folder: Path, image_id: str, channels: int) -> Tensor:
    path = found.files.get(image_id)
    if path is None:
        flaws = (flaw for flaw in found.flaws if flaw.where.rpartition(".")[0] == image_id)
        reason = next(map(str, flaws), f"no {image_id}.png")
        raise UnreadableImageError(f"{folder.name}: {reason}")
    return read_image(path, channels=channels)


def _doubts(
    task: Task, observations: Mapping[str, Photo], targets: Mapping[str, Photo]
) -> list[str]:
    """Say if the observations do not look like the task's, by the median over images.

    JPEG gives an image of its own back nearly unchanged, but not if it was moved off the grid of
    its blocks or made with another quality, and a mask gives back what it has made. Scores of
    validity would be bounded by that.
    """
    said = []
    seen = {name: from_uint8(photo.pixels) for name, photo in observations.items()}
    again = _median(task, seen, seen) if isinstance(task.operator, PillowJpeg | Masking) else None
    if again is not None and again < NEAR_AGAIN:
        moved = "moved off the grid of JPEG's blocks, or "
        said.append(
            f"F(observation) is far from the observation (median {again:.1f} dB): "
            f"{moved if isinstance(task.operator, PillowJpeg) else ''}not made by {task.name}"
        )
    made = _median(task, {name: from_uint8(one.pixels) for name, one in targets.items()}, seen)
    if made is not None and made < NEAR_TARGET:
        said.append(
            f"F(target) is far from the observation (median {made:.1f} dB): not made by {task.name}"
        )
    return said


def _median(
    task: Task, images: Mapping[str, Tensor], observations: Mapping[str, Tensor]
) -> float | None:
    """Return the median PSNR of what a task makes of images and their observations."""
    values = []
    for name, image in images.items():
        made, observation = task.operator(image), observations[name]
        if made.shape == observation.shape:
            values.append(float(psnr(made[None], observation)[0]))
    return float(np.median(values)) if values else None
