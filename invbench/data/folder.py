"""A user's own photographs, from a folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image

from invbench.data import Photo
from invbench.errors import (
    EmptyFolderError,
    FolderWarning,
    UnreadableImageError,
)
from invbench.escaping import counted
from invbench.images import Flaw, declared_size, find_images, read_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from invbench.images import ImageFiles

Grouping = Literal["image", "folder"]


def folder_photos(
    folder: Path, size: int, count: int | None = None, *, groups: Grouping = "image"
) -> list[Photo]:
    """Read the images below a folder as ``size`` x ``size`` targets, in order of their paths.

    Each image is cut to its largest centred square and reduced with Pillow's LANCZOS filter; a
    square image of the right size is used unchanged. Its id is its path below the folder without
    the suffix. See `images.find_images` for what counts as an image.

    Args:
        folder: of photographs.
        size: of the targets, in pixels.
        count: how many at most; all by default. No file is read after these, and what cannot be
            used there is only said. If one before them cannot be used, their headers are read, too.
        groups: whether each image is a photograph of its own, or those of a sub-folder are one.

    Raises:
        EmptyFolderError: if there is no image.
        UnreadableImageError: naming every file that cannot be used, if one comes before the last
            that is.
    """
    found = find_images(folder)
    flaws = list(found.flaws)
    photos: list[Photo] = []
    rest = iter(found.files.items())
    for name, path in rest:
        try:
            pixels = square(read_image(path), size)
        except UnreadableImageError as error:
            flaws.append(Flaw.of(error, path, folder))
        else:
            photos.append(Photo(name, group_of(name, groups), pixels))
        if len(photos) == count:
            break
    behind: list[Flaw] = []
    if photos and len(photos) == count:
        last = found.files[photos[-1].id].relative_to(folder).parts
        behind = [flaw for flaw in flaws if Path(flaw.where).parts > last]
    if len(behind) < len(flaws):
        flaws += _flawed_headers(rest, folder, size)
        raise UnreadableImageError(_listed(folder, flaws))
    if not photos:
        raise EmptyFolderError(f"{folder}: no image")
    for remark in _remarks(found, len(photos), behind):
        warnings.warn(f"{folder}: {remark}", FolderWarning, stacklevel=2)
    return photos


def _flawed_headers(files: Iterable[tuple[str, Path]], folder: Path, size: int) -> Iterator[Flaw]:
    """Yield what the headers of further files tell, so that one listing has all of a folder."""
    for _, path in files:
        try:
            _refuse_small(*declared_size(path), size)
        except UnreadableImageError as error:
            yield Flaw.of(error, path, folder)


def _remarks(found: ImageFiles, used: int, behind: Sequence[Flaw]) -> Iterator[str]:
    """Yield what the user should know of a folder whose images are used, as far as needed."""
    if found.links:
        yield f"followed {counted(len(found.links), 'link')}: {', '.join(found.links)}"
    if used < len(found.files):
        yield (
            f"the first {used} of {len(found.files)} images are used; those behind them were not "
            "opened"
        )
    if behind:
        listed = "; ".join(map(str, behind))
        yield f"behind those that are used lie some that cannot be: {listed}"


def group_of(image_id: str, groups: Grouping) -> str:
    """Return the photograph that an image is of; one in no sub-folder is always its own.

    >>> group_of("alps/3", "image"), group_of("alps/3", "folder"), group_of("3", "folder")
    ('alps/3', 'alps', '3')
    """
    folder, _, _ = image_id.rpartition("/")
    return folder if folder and groups == "folder" else image_id


def square(pixels: Tensor, size: int) -> Tensor:
    """Cut the largest centred square of uint8 ``[3, H, W]`` and reduce it to ``size``.

    Raises:
        UnreadableImageError: if it would have to be enlarged.
    """
    height, width = pixels.shape[-2:]
    _refuse_small(width, height, size)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = pixels[:, top : top + side, left : left + side]
    if side == size:
        return pixels.contiguous()
    resized = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize(
        (size, size), Image.Resampling.LANCZOS
    )
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def _refuse_small(width: int, height: int, size: int) -> None:
    if min(width, height) < size:
        raise UnreadableImageError(f"{width}x{height} pixels; at least {size} are needed")


def _listed(folder: Path, flaws: Sequence[Flaw]) -> str:
    lines = [f"{folder}: remove or mend what cannot be used ({len(flaws)})"]
    return "\n  ".join([*lines, *map(str, flaws)])
