"""Charts as SVG that stands inside a page and takes its colours. No torch here."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from invbench.escaping import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from invbench.runs import CaseRecord

INK, ACCENT = "#012345", "#543210"  # stand for the page's colours, which a reader's theme chooses
_COLOURS = {INK: "currentColor", ACCENT: "var(--link)", "#000000": "currentColor"}
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 8.0,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Chart:
    """A drawing and what it says.

    Attributes:
        title: what is drawn, in a few words.
        said: the same in sentences with numbers, for those who cannot see it.
        svg: the drawing.
    """

    title: str
    said: str
    svg: Markup


def case_charts(record: CaseRecord) -> list[Chart]:
    """Draw what the intervals of a case are worth, as far as it was measured.

    Returns:
        Coverage against nominal level, the rank histogram, and the width of each image's
        intervals against the error of the mean of its samples.
    """
    interval = record.interval
    if interval is None:
        return []
    charts = []
    if len(interval.rank_histogram) > 2:
        charts.append(_reliability(record.case_id, interval.rank_histogram))
        charts.append(_ranks(record.case_id, interval.rank_histogram))
    errors = _errors(record)
    if len(errors) == len(interval.width_per_image) > 1:
        charts.append(_width_against_error(record.case_id, interval.width_per_image, errors))
    return charts


def coverage_by_level(rank_histogram: Sequence[float]) -> list[tuple[float, float]]:
    """Return what central intervals of every nominal level cover, from the widest.

    The interval between the j-th least and the j-th largest of K samples holds the target if
    j to K - j of them lie below it, which has the probability (K + 1 - 2 j) / (K + 1) for a target
    that is like the samples.

    Args:
        rank_histogram: share of targets by the number of samples below them, K+1 shares.

    Returns:
        Nominal level and covered share, for j = 0 to K / 2.

    Example:
        >>> coverage_by_level([0.25, 0.5, 0.25])
        [(1.0, 1.0), (0.3333333333333333, 0.5)]
    """
    n = len(rank_histogram)
    return [
        ((n - 2 * j) / n, float(np.sum(rank_histogram[j : n - j]))) for j in range((n + 1) // 2)
    ]


def speed_chart(points: Sequence[tuple[str, float, float]], task: str) -> Chart:
    """Draw validity against speed.

    Args:
        points: model, samples a second and PSNR of its reobservations in dB.
        task: id.
    """
    said = "; ".join(f"{name} {psnr:.1f} dB at {speed:.3g}/s" for name, speed, psnr in points)

    def draw(axes: Axes) -> None:
        speeds, values = [point[1] for point in points], [point[2] for point in points]
        axes.scatter(speeds, values, color=ACCENT, s=22)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")  # not as powers of ten
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25, y=0.12)
        axes.set(xlabel="samples a second", ylabel="psnr, dB")
        for name, speed, psnr in points:
            axes.annotate(
                plain(name),
                (speed, psnr),
                xytext=(5, 3),
                textcoords="offset points",
                parse_math=False,
            )

    title = f"{task}: validity against speed"
    return _chart(title, f"PSNR and samples a second: {said}", draw, size=(5.2, 3.2))


def _reliability(case_id: str, rank_histogram: Sequence[float]) -> Chart:
    pairs = coverage_by_level(rank_histogram)
    shown = "; ".join(f"{covered:.2f} at {level:.2f}" for level, covered in pairs[1:-1])

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axes.plot(*zip(*pairs, strict=True), color=ACCENT, marker=".", linewidth=1.2)
        axes.set(xlabel="nominal level", ylabel="covered", xlim=(0, 1.02), ylim=(0, 1.02))

    said = f"Covered by intervals of {case_id}: {shown}"
    return _chart("coverage against nominal level", said, draw)


def _ranks(case_id: str, rank_histogram: Sequence[float]) -> Chart:
    n = len(rank_histogram)
    said = (
        f"Of the targets of {case_id}, {rank_histogram[0]:.0%} lie below all samples and "
        f"{rank_histogram[-1]:.0%} above all; {1 / n:.0%} each were ideal"
    )

    def draw(axes: Axes) -> None:
        axes.bar(range(n), rank_histogram, width=0.85, color=ACCENT)
        axes.axhline(1 / n, color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="samples below the target", ylabel="share of values")

    return _chart("rank of the target among the samples", said, draw)


def _width_against_error(case_id: str, widths: Sequence[float], errors: Sequence[float]) -> Chart:
    correlation = float(np.corrcoef(widths, errors)[0, 1]) if np.ptp(widths) * np.ptp(errors) else 0
    said = (
        f"Images of {case_id}: widths of {min(widths):.3f} to {max(widths):.3f}, errors of "
        f"{min(errors):.3f} to {max(errors):.3f}, correlation {correlation:.2f}"
    )

    def draw(axes: Axes) -> None:
        axes.scatter(errors, widths, color=ACCENT, s=14)
        axes.set(xlabel="rms error of the mean", ylabel="mean width")
        axes.set(xlim=(0, 1.1 * max(errors) or 1), ylim=(0, 1.1 * max(widths) or 1))

    return _chart("width against error, by image", said, draw)


def _errors(record: CaseRecord) -> list[float]:
    """Return the rms error of each image's mean, of which the record has the PSNR."""
    metric = record.target.get("psnr_of_mean")
    values = metric.per_image if metric else ()
    return [10 ** (-value / 20) for value in values if value is not None]


def _chart(
    title: str,
    said: str,
    draw: Callable[[Axes], None],
    *,
    size: tuple[float, float] = (2.6, 1.9),
) -> Chart:
    """Draw on axes of a size in inches."""
    with mpl.rc_context(_STYLE):
        mpl.rcParams["svg.hashsalt"] = said  # names in it are then those of no other drawing
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return Chart(title, said, _for_page(file.getvalue(), said))


def _for_page(text: str, said: str) -> Markup:
    """Return matplotlib's SVG without what a page's policy forbids or a page does not need.

    Inline styles become attributes, since a policy that allows one style sheet allows no other
    style; names that nothing refers to go, since two drawings may not share them.
    """
    root = ET.fromstring(text)  # noqa: S314  of matplotlib
    referred = set(re.findall(r"#([\w-]+)", text))
    for element in list(root.iter()):
        for child in list(element):
            if child.tag.endswith(("metadata", "}style")):
                element.remove(child)
        element.tag = element.tag.rpartition("}")[2]
        if element.get("id") not in referred:
            element.attrib.pop("id", None)
        for name in list(element.attrib):
            if name.startswith("{"):
                element.set(name.rpartition("}")[2], element.attrib.pop(name))
        for declaration in element.attrib.pop("style", "").split(";"):
            name, _, value = (part.strip() for part in declaration.partition(":"))
            if name and name != "font-family":
                element.set(name, _COLOURS.get(value, value))
    for name in ("version", "width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": plain(said)}
    root.set("class", "chart")
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  escaped by its writer
