"""A run's pictures as a page shows them: every panel inside the page, in bounded bytes."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from invbench.report.figures import IntervalImages, common_scale, highlight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from invbench.runs import Picture

LARGEST_BYTES = 5_000_000  # of all pictures of a page; base64 makes a third more of them
QUALITY = 92  # of JPEG, without subsampling of colour
LEVELS = 255


@dataclass(frozen=True)
class Panel:
    """One picture in a page.

    Attributes:
        name: what it shows.
        source: the picture itself, as the address of an image.
        width: in its own pixels.
        height: likewise.
    """

    name: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """What a page shows of an image of a case."""

    image_id: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Album:
    """The pictures of all cases.

    Attributes:
        cases: case id -> what is shown of it.
        scales: task -> interval width at full brightness.
        note: how they were made to fit, and nothing if they are as the run has them.
    """

    cases: Mapping[str, tuple[Shown, ...]]
    scales: Mapping[str, float]
    note: str


def make_album(
    pictures: Mapping[str, Sequence[Picture]],
    tasks: Mapping[str, str],
    *,
    largest_bytes: int = LARGEST_BYTES,
) -> Album:
    """Prepare pictures for a page: lossless if they fit, else as JPEG, else fewer of them.

    The map of interval widths is laid upon the dimmed mean, brighter where the interval is wider,
    on one scale for all cases of a task, as in the study's Figures 1 to 3.

    Args:
        pictures: case id -> what the run kept of it.
        tasks: case id -> task.
        largest_bytes: of all together.
    """
    scales = interval_scales(pictures, tasks)
    panels = {
        case: [(kept.image_id, _panels(kept, scales.get(tasks[case]))) for kept in of_case]
        for case, of_case in pictures.items()
    }
    most = max(map(len, panels.values()), default=0)
    for count, lossless in [(most, True), *((n, False) for n in range(most, 0, -1))]:
        cases = {
            case: tuple(_shown(image_id, named, lossless) for image_id, named in of_case[:count])
            for case, of_case in panels.items()
        }
        size = sum(
            len(one.source) for of_case in cases.values() for x in of_case for one in x.panels
        )
        if size * 3 / 4 <= largest_bytes:
            break
    else:
        return Album(dict.fromkeys(panels, ()), scales, "left out, since they do not fit")
    note = "" if lossless else f"JPEG of quality {QUALITY}; the run has them lossless"
    return Album(cases, scales, note if count == most else f"{count} of {most} images; {note}")


def interval_scales(
    pictures: Mapping[str, Sequence[Picture]], tasks: Mapping[str, str]
) -> dict[str, float]:
    """Return the width that is shown at full brightness in all pictures of a task, by task."""
    of_task: dict[str, dict[str, IntervalImages]] = {}
    for case, of_case in pictures.items():
        for number, kept in enumerate(of_case):
            if {"mean", "width"} <= kept.panels.keys():
                mean, width = (_channels(kept.panels[name])[None] for name in ("mean", "width"))
                images = of_task.setdefault(tasks[case], {})
                images[f"{case} {number}"] = IntervalImages(mean, width)
    return {task: common_scale(images) for task, images in of_task.items()}


def _panels(kept: Picture, scale: float | None) -> dict[str, NDArray[np.uint8]]:
    panels = dict(kept.panels)
    if scale is not None and {"mean", "width"} <= panels.keys():
        mean, width = (_channels(panels[name]) for name in ("mean", "width"))
        panels["width"] = np.rint(highlight(mean, width, scale) * LEVELS).astype(np.uint8)
    return panels


def _channels(panel: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Turn ``[H, W, 3]`` in levels into ``[3, H, W]`` in [0, 1]."""
    return np.moveaxis(panel, -1, 0) / LEVELS


def _shown(image_id: str, panels: Mapping[str, NDArray[np.uint8]], lossless: bool) -> Shown:
    return Shown(image_id, tuple(_panel(name, panels[name], lossless) for name in panels))


def _panel(name: str, pixels: NDArray[np.uint8], lossless: bool) -> Panel:
    kind = "png" if lossless else "jpeg"
    options = {} if lossless else {"quality": QUALITY, "subsampling": 0}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind, optimize=True, **options)
    source = f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
    return Panel(name, source, pixels.shape[1], pixels.shape[0])
