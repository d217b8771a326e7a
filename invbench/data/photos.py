"""Square crops of the photographs that come with scikit-image and matplotlib; no download."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import skimage.data
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from invbench.data import Photo
from invbench.errors import MissingDataError
from invbench.escaping import counted
from invbench.images import usual_pillow

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

SOURCES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "astronaut": skimage.data.astronaut,
    "chelsea": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "rocket": skimage.data.rocket,
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    "hubble": skimage.data.hubble_deep_field,
    "ihc": skimage.data.immunohistochemistry,
    "retina": skimage.data.retina,
    "hopper": lambda: np.array(Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False))),
}

# Side as a fraction of the short side, and where the free space lies (0: left, top; 1: right,
# bottom). The whole photograph first, then details.
CROPS: tuple[tuple[float, float, float], ...] = (
    (1.00, 0.50, 0.50),
    (0.65, 0.25, 0.25),
    (0.65, 0.75, 0.75),
    (0.43, 0.50, 0.50),
    (0.65, 0.75, 0.25),
    (0.65, 0.25, 0.75),
    (0.43, 0.20, 0.60),
    (0.43, 0.80, 0.40),
    (0.43, 0.50, 0.10),
)


def photos(size: int, count: int | None = None) -> list[Photo]:
    """Return the first ``count`` crops at ``size`` x ``size``, in an order that mixes sources.

    Crop c of every photograph comes before crop c + 1 of any, so that few images are already
    varied. Ids are ``<source>-<crop>``, the group is the source.

    Raises:
        MissingDataError: if there are fewer crops, or a crop would have to be enlarged.

    Example:
        >>> [photo.id for photo in photos(64, 2)]
        ['astronaut-0', 'chelsea-0']
    """
    total = len(SOURCES) * len(CROPS)
    if count is None:
        count = total
    if not 0 < count <= total:
        raise MissingDataError(
            f"{counted(count, 'image')} asked for; the embedded photographs give {total}"
        )
    names = list(SOURCES)
    picks = [(names[index % len(names)], index // len(names)) for index in range(count)]
    with usual_pillow():
        return [Photo(f"{name}-{crop}", name, _crop(name, crop, size)) for name, crop in picks]


def _crop(name: str, crop: int, size: int) -> Tensor:
    source = _source(name)
    fraction, across, down = CROPS[crop]
    side = round(fraction * min(source.size))
    if side < size:
        raise MissingDataError(f"{name}-{crop} has {side} pixels a side; {size} are asked for")
    left, top = round(across * (source.width - side)), round(down * (source.height - side))
    square = source.crop((left, top, left + side, top + side))
    resized = square.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


@cache
def _source(name: str) -> Image.Image:
    return Image.fromarray(SOURCES[name]())
