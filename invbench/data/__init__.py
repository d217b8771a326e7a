"""On which images? Sets of target images; each image has an id and belongs to a group.

A `DataSet` has a name and images. The images of a group are crops of one photograph; they always
stay on the same side of a split between calibration and test.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["DataSet", "Photo", "digest"]


@dataclass(frozen=True, eq=False)
class Photo:
    """One target image.

    Attributes:
        id: unique in its data set; its seeds are made from it, and runs are compared by it.
        group: the source photograph.
        pixels: uint8 ``[3, H, W]``.
    """

    id: str
    group: str
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class DataSet:
    """Targets to measure on.

    Attributes:
        name: of the data set, for records.
        photos: at least one, all of one size.
    """

    name: str
    photos: Sequence[Photo]

    @property
    def groups(self) -> list[str]:
        """Return the source photograph of each image."""
        return [photo.group for photo in self.photos]

    def identity(self) -> dict[str, Any]:
        """Return what identifies the images, down to their pixels, for the record."""
        return {
            "name": self.name,
            "sha256": digest(self.photos),
            "size": self.photos[0].pixels.shape[-1],
            "image_ids": [photo.id for photo in self.photos],
            "groups": self.groups,
        }


def digest(photos: Sequence[Photo]) -> str:
    """Return the SHA-256 of ids and pixels in order; two runs compare only if it agrees."""
    state = sha256()
    for photo in photos:
        state.update(f"{photo.id} {photo.group} {tuple(photo.pixels.shape)}".encode())
        state.update(photo.pixels.numpy().tobytes())
    return state.hexdigest()
