"""Training pairs in memory: targets and what the operator makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from invbench.data.folder import folder_photos
from invbench.errors import InvbenchError, MissingDataError
from invbench.escaping import counted
from invbench.images import from_uint8

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from invbench.problems import Task


class InvalidOptionsError(InvbenchError, ValueError):
    """Training options contradict each other or the data."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Targets of one size; their observations are computed when asked for.

    Attributes:
        task: whose operator makes the observations.
        targets: uint8 ``[N, 3, S, S]``.
        device: where batches go.
    """

    task: Task
    targets: Tensor
    device: torch.device

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self.targets)

    def batch(
        self, size: int, generator: torch.Generator, *, flip: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Draw ``size`` targets without replacement, mirrored left-right half of the time.

        Returns:
            target ``[size, 3, S, S]`` and observation ``[size, c, h, w]``, float in [0, 1]. The
            operator sees the mirrored image, as it would a new photograph.
        """
        picked = torch.randperm(len(self.targets), generator=generator)[:size]
        mirrored = torch.rand(len(picked), generator=generator) < 0.5
        pixels = self.targets[picked]
        if flip:
            pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
        target = from_uint8(pixels)
        observation = self.task.operator(target)
        return target.to(self.device), observation.to(self.device)


def require_batch(pairs: Pairs, batch_size: int, *, multiple: int = 1) -> None:
    """Refuse a batch size that the data or the method cannot fill.

    Raises:
        MissingDataError: if there are fewer targets than that.
        InvalidOptionsError: if it is no positive multiple of ``multiple``.
    """
    if batch_size <= 0 or batch_size % multiple:
        raise InvalidOptionsError(
            f"batch_size {batch_size}: must be a positive multiple of {multiple}"
        )
    if len(pairs) < batch_size:
        raise MissingDataError(
            f"{counted(len(pairs), 'target')} cannot fill a batch of {batch_size}; "
            "give more images or a smaller batch_size"
        )


def load_pairs(
    folder: Path,
    *,
    task: Task,
    size: int,
    device: torch.device,
    hold_out: float = 0.0,
    at_least: int = 2,
) -> tuple[Pairs, Pairs]:
    """Read a folder of photographs as training and validation pairs.

    For colorization, photographs without colour are left out: they would teach gray. The last
    ``hold_out`` fraction in order of path is kept for validation, by whole sub-folders.

    Raises:
        EmptyFolderError, UnreadableImageError: see `data.folder.folder_photos`.
        MissingDataError: if fewer than ``at_least`` images remain that are not held out.
    """
    photos = folder_photos(folder, size, groups="folder")
    if task.name == "colorization":
        photos = [photo for photo in photos if _has_colour(photo.pixels)]
    groups = list(dict.fromkeys(photo.group for photo in photos))
    kept = set(groups[: len(groups) - round(hold_out * len(groups))])
    sides = [
        [photo.pixels for photo in photos if (photo.group in kept) is training]
        for training in (True, False)
    ]
    if len(sides[0]) < at_least:
        raise MissingDataError(
            f"{folder}: {counted(len(sides[0]), 'image')} of use; give at least {at_least}"
        )
    shape = sides[0][0].shape
    train, validation = (
        torch.stack(side) if side else torch.empty(0, *shape, dtype=torch.uint8) for side in sides
    )
    return Pairs(task, train, device), Pairs(task, validation, device)


def _has_colour(pixels: Tensor) -> bool:
    return not (torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2]))
