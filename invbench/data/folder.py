"""A user's own photographs, from a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from invbench.data import Photo
from invbench.errors import EmptyFolderError, MissingDataError, UnreadableImageError
from invbench.images import IMAGE_SUFFIXES, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def folder_photos(folder: Path, size: int, count: int | None = None) -> list[Photo]:
    """Read the images below a folder as ``size`` x ``size`` targets, sorted by path.

    Each image is cut to its largest centred square and reduced with Pillow's LANCZOS filter; a
    square image of the right size is used unchanged. Its id is its path below the folder without
    the suffix. Its group is its sub-folder; an image in no sub-folder is a group of its own.

    Raises:
        EmptyFolderError: if there is no image.
        MissingDataError: if there are fewer than ``count``.
        UnreadableImageError: naming the first file that cannot be read or is too small.
    """
    if not folder.is_dir():
        raise EmptyFolderError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise EmptyFolderError(f"{folder}: no image; looked for {', '.join(IMAGE_SUFFIXES)}")
    if count is not None and len(paths) < count:
        raise MissingDataError(f"{folder}: {len(paths)} images, {count} are asked for")
    return [_photo(folder, path, size) for path in paths[:count]]


def _photo(folder: Path, path: Path, size: int) -> Photo:
    relative = path.relative_to(folder).with_suffix("")
    group = relative.parent if relative.parent.parts else relative
    return Photo(relative.as_posix(), group.as_posix(), square(read_image(path), size, name=path))


def square(pixels: Tensor, size: int, *, name: object = "image") -> Tensor:
    """Cut the largest centred square of uint8 ``[3, H, W]`` and reduce it to ``size``.

    Raises:
        UnreadableImageError: if it would have to be enlarged.
    """
    height, width = pixels.shape[-2:]
    side = min(height, width)
    if side < size:
        raise UnreadableImageError(f"{name}: {width}x{height} pixels; at least {size} are needed")
    top, left = (height - side) // 2, (width - side) // 2
    pixels = pixels[:, top : top + side, left : left + side]
    if side == size:
        return pixels.contiguous()
    resized = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize(
        (size, size), Image.Resampling.LANCZOS
    )
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()
