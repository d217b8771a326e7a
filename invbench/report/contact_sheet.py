"""Contact sheets: pictures that show the samples of all methods side by side.

Each input takes a block of rows, one for each sample. The columns are the observation, the target,
and the methods. Pictures are arrays of 8-bit RGB.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from invbench.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

GAP = 2
HEADING = 16
PAPER = (255, 255, 255)
INK = (40, 40, 40)
NOTHING = (225, 225, 225)
COLOURS = (256, 128, 64, 32)


@dataclass(frozen=True)
class SheetRow:
    """The pictures that a sheet shows of one input.

    Attributes:
        name: of the input.
        observation: ``[h, w, 3]``, enlarged to the tile by repeating pixels.
        target: ``[H, W, 3]``.
        samples: model -> pictures ``[H, W, 3]``; the place of a model without samples stays empty.
    """

    name: str
    observation: Picture
    target: Picture
    samples: Mapping[str, Sequence[Picture]]


def contact_sheet(
    rows: Sequence[SheetRow], models: Sequence[str], *, n_samples: int, tile: int = 96
) -> Image.Image:
    """Lay out a sheet: a column for each model, and ``n_samples`` rows for each input.

    Args:
        rows: the inputs.
        models: in the order of their columns; the place of a model without samples says so.
        n_samples: rows of an input.
        tile: largest side of a picture, in pixels; smaller pictures are shown as they are.
    """
    tile = min(tile, *(max(row.target.shape[:2]) for row in rows))
    columns = ("observation", "target", *models)
    step, block = tile + GAP, n_samples * (tile + GAP) + GAP
    sheet = Image.new("RGB", (len(columns) * step, HEADING + len(rows) * block), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for index, name in enumerate(columns):
        draw.text((index * step, 1), name, fill=INK, font=font)
    for number, row in enumerate(rows):
        top = HEADING + number * block
        sheet.paste(_fit(row.observation, tile, Image.Resampling.NEAREST), (0, top))
        sheet.paste(_fit(row.target, tile, Image.Resampling.LANCZOS), (step, top))
        draw.text((0, top + step), row.name, fill=INK, font=font)
        for column, model in enumerate(models, start=2):
            left, pictures = column * step, row.samples.get(model, ())
            for place in range(n_samples):
                corner = (left, top + place * step)
                if place < len(pictures):
                    sheet.paste(_fit(pictures[place], tile, Image.Resampling.LANCZOS), corner)
                else:
                    box = (*corner, left + tile - 1, corner[1] + tile - 1)
                    draw.rectangle(box, fill=NOTHING)
                    draw.text((left + 3, corner[1] + 2), "no weights", fill=INK, font=font)
    return sheet


def encode_png(image: Image.Image, *, most_bytes: int = 1_000_000) -> bytes:
    """Return a PNG of at most ``most_bytes``, with fewer colours where that is needed.

    Raises:
        StorageError: if it is larger even with few colours.
    """
    for colours in (None, *COLOURS):
        stream = io.BytesIO()
        shown = image if colours is None else image.quantize(colours)
        shown.save(stream, format="PNG", optimize=True)
        if stream.tell() <= most_bytes:
            return stream.getvalue()
    raise StorageError(
        f"a sheet of {image.width}x{image.height} pixels does not fit {most_bytes} bytes; "
        "choose smaller tiles"
    )


def _fit(picture: Picture, tile: int, how: Image.Resampling) -> Image.Image:
    """Scale a picture so that its longer side is that of a tile."""
    image = Image.fromarray(picture)
    side = max(image.size)
    if side == tile:
        return image
    size = (max(1, image.width * tile // side), max(1, image.height * tile // side))
    return image.resize(size, how)
