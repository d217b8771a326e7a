"""Curves of a training run: its losses, and the validity of what it generates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from invbench.files import atomic_write
from invbench.training.logs import read_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

TIME = ("step", "minutes")
SCORES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "width": "width",
    "crps": "CRPS",
    "skill": "CRPS skill",
}
"""What `validation.validate` scores, and how it is called in a plot."""


def plot_run(folder: Path) -> Path:
    """Draw what ``log.jsonl`` in a run's folder holds as ``curves.png`` beside it.

    Losses come first, on a logarithmic axis where all are positive; then each validation score.

    Returns:
        The file's path.

    Raises:
        StorageError: if it cannot be written.
    """
    lines = read_log(folder)
    scores = [name for name in SCORES if any(name in line for line in lines)]
    losses = dict.fromkeys(n for line in lines for n in line if n not in (*TIME, *SCORES))
    figure = Figure(figsize=(4 * (1 + len(scores)), 3), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    first, *others = figure.subplots(1, 1 + len(scores), squeeze=False)[0]
    for name in losses:
        _draw(first, lines, name)
    if lines and all(line[name] > 0 for line in lines for name in losses if name in line):
        first.set_yscale("log")
    if losses:
        first.legend(fontsize="x-small")
    first.set_title(f"{folder.name}: losses", fontsize="small")
    for axes, name in zip(others, scores, strict=True):
        _draw(axes, lines, name, marker=".")
        axes.set_title(SCORES[name], fontsize="small")
    _finish([first, *others])
    path = folder / "curves.png"
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png")
    return path


def _draw(
    axes: Axes, lines: Sequence[dict[str, float]], name: str, marker: str | None = None
) -> None:
    points = [(line["step"], line[name]) for line in lines if name in line]
    axes.plot(*zip(*points, strict=True), label=name, marker=marker, linewidth=1)


def _finish(every: Iterable[Axes]) -> None:
    for axes in every:
        axes.set_xlabel("steps", fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.grid(visible=True, alpha=0.3)
