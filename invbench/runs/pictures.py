"""Pictures that a run keeps of its first images, for people to look at. No torch here.

A file holds one image of one case: panels of one size side by side, 8 bits and lossless. Any viewer
shows it; what the panels are stands in a text chunk of the PNG.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from invbench.errors import InvalidRecordError
from invbench.files import atomic_write, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

LARGEST_SIDE = 256  # of a panel; larger images are shown reduced
MAPS = ("width", "error")  # panels that are no images: a fraction of 1 at each pixel, as gray
CHUNK = "invbench"


@dataclass(frozen=True, eq=False)
class Picture:
    """What a run shows of one image.

    Attributes:
        image_id: of the image.
        panels: name -> ``[H, W, 3]``, 8 bits, in the order of the file: "observation" at the
            image's size, "target" where there is one, "sample 1" and others, "mean" of all
            samples, and the maps "width" of the 5-95 % interval and "error" of the mean, both
            averaged over channels.
    """

    image_id: str
    panels: Mapping[str, NDArray[np.uint8]]


def write_picture(path: Path, picture: Picture) -> None:
    """Write the panels side by side as a PNG; see `Picture`.

    Raises:
        StorageError: if the file cannot be written.
    """
    about = PngImagePlugin.PngInfo()
    about.add_itxt(CHUNK, json.dumps({"image": picture.image_id, "panels": list(picture.panels)}))
    strip = np.concatenate([_reduce(panel) for panel in picture.panels.values()], axis=1)
    encoded = io.BytesIO()
    Image.fromarray(strip).save(encoded, format="PNG", pnginfo=about)
    with atomic_write(path) as stream:
        stream.write(encoded.getvalue())


def read_picture(path: Path) -> Picture:
    """Read what `write_picture` wrote.

    Raises:
        InvalidRecordError: if the file is damaged, or is no such picture.
    """
    try:
        strip, about = _open(path)
        names, image_id = [str(name) for name in about["panels"]], str(about["image"])
        panels = np.split(strip, len(names), axis=1)
    except InvalidRecordError:
        raise
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, SyntaxError) as error:
        raise InvalidRecordError(
            f"{path}: no picture of a run ({type(error).__name__}: {error}); delete it, no number "
            "depends on it"
        ) from error
    return Picture(image_id, dict(zip(names, panels, strict=True)))


def _open(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Read the pixels of a file of ours, and what it says that they are."""
    content = io.BytesIO(read_bytes(path, InvalidRecordError))
    with Image.open(content, formats=("PNG",)) as image:
        about = json.loads(image.info[CHUNK])
        most = (LARGEST_SIDE * len(about["panels"]), LARGEST_SIDE)
        if image.mode != "RGB" or image.width > most[0] or image.height > most[1]:
            raise ValueError(f"{image.mode}, {image.width}x{image.height}")
        return np.array(image), about


def _reduce(panel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average blocks so that no side is longer than `LARGEST_SIDE`; cut off what fills no block."""
    block = -(-max(panel.shape[:2]) // LARGEST_SIDE)
    if block == 1:
        return panel
    rows, columns = (side // block for side in panel.shape[:2])
    whole = panel[: rows * block, : columns * block]
    means = whole.reshape(rows, block, columns, block, 3).mean(axis=(1, 3))
    reduced: NDArray[np.uint8] = np.rint(means).astype(np.uint8)
    return reduced
