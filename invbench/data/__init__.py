"""On which images? Sets of targets; each has an id and the group it must not be parted from.

A data set is a sequence of `Photo`; images of one group (crops of one photograph) always stay on
the same side of a split between calibration and test.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["Photo", "digest"]


@dataclass(frozen=True, eq=False)
class Photo:
    """One target image.

    Attributes:
        id: unique in its data set; seeds and pairing hang on it.
        group: the source photograph.
        pixels: uint8 ``[3, H, W]``.
    """

    id: str
    group: str
    pixels: Tensor


def digest(photos: Sequence[Photo]) -> str:
    """Return the SHA-256 of ids and pixels in order; two runs compare only if it agrees."""
    state = sha256()
    for photo in photos:
        state.update(f"{photo.id} {photo.group} {tuple(photo.pixels.shape)}".encode())
        state.update(photo.pixels.numpy().tobytes())
    return state.hexdigest()
