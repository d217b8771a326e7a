"""Figures that show where a method's samples disagree, and by how much. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from invbench.errors import InvalidImagesError
from invbench.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Scaling = Literal["common", "image"]

DIM = 0.4  # share of the mean image's brightness that is kept
PERCENTILE = 99.0  # of interval sizes, shown as the full brightness


@dataclass(frozen=True, eq=False)
class IntervalImages:
    """The mean of one method's samples of several images, and the size of their intervals.

    Attributes:
        mean: mean of the samples, ``[N, 3, H, W]`` in [0, 1].
        size: length of the calibrated interval of every value, ``[N, 3, H, W]``, not negative.
    """

    mean: NDArray[np.floating]
    size: NDArray[np.floating]

    def __post_init__(self) -> None:
        mean, size = np.asarray(self.mean), np.asarray(self.size)
        if mean.ndim != 4 or mean.shape[1] != 3 or 0 in mean.shape or size.shape != mean.shape:
            raise InvalidImagesError(
                f"mean {mean.shape}, size {size.shape}; expected both [N, 3, H, W], not empty"
            )
        if not (mean.min() >= 0 and mean.max() <= 1):
            raise InvalidImagesError("mean: values are NaN or leave [0, 1]")
        if not (size.min() >= 0 and np.isfinite(size).all()):
            raise InvalidImagesError("size: values are negative or not finite")


def common_scale(methods: Mapping[str, IntervalImages]) -> float:
    """Return the interval size that is shown at full brightness for all methods alike.

    It is the 99th percentile over the pixels of all methods, after averaging channels. If every
    method had a scale of its own, all would look equally uncertain.

    Raises:
        InvalidImagesError: if there is no method.

    Example:
        >>> mean = np.full((1, 3, 2, 2), 0.5)
        >>> narrow, wide = (IntervalImages(mean, np.full_like(mean, s)) for s in (0.1, 0.3))
        >>> round(common_scale({"a": narrow, "b": wide}), 2)
        0.3
    """
    if not methods:
        raise InvalidImagesError("no methods; expected at least one")
    sizes = [images.size.mean(axis=1).ravel() for images in methods.values()]
    return float(np.percentile(np.concatenate(sizes), PERCENTILE))


def highlight(
    mean: NDArray[np.floating], size: NDArray[np.floating], scale: float
) -> NDArray[np.float64]:
    """Show interval sizes as light upon the dimmed mean image.

    Args:
        mean: ``[3, H, W]`` in [0, 1].
        size: ``[3, H, W]``; averaged over channels.
        scale: the size shown at full brightness; at 0 nothing is added.

    Returns:
        ``[H, W, 3]`` in [0, 1]: 0.4 mean + 0.6 size / scale, the latter at most 0.6.
    """
    light = np.clip(size.mean(axis=0) / scale, 0, 1) if scale > 0 else np.zeros(mean.shape[1:])
    shown = DIM * np.moveaxis(mean, 0, -1) + (1 - DIM) * light[..., None]
    return np.clip(shown, 0, 1).astype(np.float64)


def draw_uncertainty(
    path: Path,
    methods: Mapping[str, IntervalImages],
    *,
    title: str,
    image_ids: Sequence[str] = (),
    scaling: Scaling = "common",
) -> float | None:
    """Draw the uncertainty of several methods on the images of one task, a row for each method.

    Args:
        path: where to save it; the suffix says the format, such as ``.png`` or ``.pdf``.
        methods: method name -> its images; all of the same images.
        title: of the figure, such as the task.
        image_ids: headings of the columns.
        scaling: ``common``: one scale for the whole figure, which is printed under it; ``image``:
            each picture has its own, as Conffusion's, which hides how methods differ.

    Returns:
        The common scale, or None if there is none.

    Raises:
        InvalidImagesError: if methods show different numbers or sizes of images, or there is none.
        StorageError: if it cannot be written.
    """
    # Not pyplot: it keeps figures alive and may open windows
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = common_scale(methods)
    shapes = {name: images.mean.shape for name, images in methods.items()}
    if len(set(shapes.values())) > 1:
        raise InvalidImagesError(f"methods show different images: {shapes}")
    n_images = next(iter(shapes.values()))[0]
    if image_ids and len(image_ids) != n_images:
        raise InvalidImagesError(f"{len(image_ids)} image ids for {n_images} images")

    figure = Figure(figsize=(1.6 * n_images + 1, 1.6 * len(methods) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(methods), n_images, squeeze=False)
    for row, (name, images) in zip(axes, methods.items(), strict=True):
        row[0].set_ylabel(name, parse_math=False)
        for axis, mean, size in zip(row, images.mean, images.size, strict=True):
            own = float(np.percentile(size.mean(axis=0), PERCENTILE))
            axis.imshow(highlight(mean, size, scale if scaling == "common" else own))
            axis.set(xticks=[], yticks=[])
    for axis, image_id in zip(axes[0], image_ids, strict=False):
        axis.set_title(image_id, fontsize="small", parse_math=False)
    figure.suptitle(title, parse_math=False)
    figure.supxlabel(scale_note(scale if scaling == "common" else None), fontsize="small")
    with atomic_write(path) as stream:
        figure.savefig(stream, dpi=150, format=path.suffix.removeprefix("."))
    return scale if scaling == "common" else None


def save_arrays(path: Path, methods: Mapping[str, IntervalImages]) -> None:
    """Save what a figure shows, as ``<method>.mean`` and ``<method>.size`` of a NumPy archive.

    Raises:
        StorageError: if it cannot be written.
    """
    arrays = {
        f"{name}.{part}": getattr(images, part)
        for name, images in methods.items()
        for part in ("mean", "size")
    }
    with atomic_write(path) as stream:
        np.savez_compressed(stream, **arrays)


def scale_note(scale: float | None) -> str:
    """Say what brightness means in a figure."""
    if scale is None:
        return "brighter: wider interval; each picture has its own scale"
    return f"brighter: wider interval; full brightness: {scale:.3f} of the range, in all pictures"
