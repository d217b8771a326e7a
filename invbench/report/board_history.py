"""How the numbers of each model changed from run to run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from invbench.report.tables import HEADINGS, case_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invbench.report.board_runs import BoardRun
    from invbench.runs import CaseRecord

WIDTH, HEIGHT, MARGIN = 300, 90, 8  # of a chart, in CSS pixels
CHARTED: dict[str, Callable[[CaseRecord], float | None]] = {
    "psnr, dB": lambda record: record.validity["psnr"].mean if "psnr" in record.validity else None,
    "coverage": lambda record: record.interval.coverage if record.interval else None,
    "skill": lambda record: record.skill["crps"].value if "crps" in record.skill else None,
    "samples/s": lambda record: record.throughput.samples_per_second if record.throughput else None,
}


@dataclass(frozen=True)
class Series:
    """One number over runs, as a chart.

    Attributes:
        name: of the number.
        points: x, y and words of each run that has it, in the chart's pixels.
        sizes: images x samples of each point; only neighbours of one size are joined by a line.
        low: the least value, at the bottom.
        high: the largest, at the top.
    """

    name: str
    points: tuple[tuple[float, float, str], ...]
    sizes: tuple[str, ...]
    low: str
    high: str

    @property
    def path(self) -> str:
        """The lines between points as SVG wants them."""
        joined = [b == a for a, b in pairwise(("", *self.sizes))]
        return " ".join(
            f"{'L' if line else 'M'}{x:.1f} {y:.1f}"
            for line, (x, y, _) in zip(joined, self.points, strict=True)
        )

    @property
    def said(self) -> str:
        """The chart in words, for those who cannot see it."""
        return f"{self.name} over runs: " + "; ".join(words for _, _, words in self.points)


@dataclass(frozen=True)
class CaseHistory:
    """A case in all runs that have it, oldest first.

    Attributes:
        case_id: of the case.
        rows: the run, cells under `HEADINGS` but the first, status and reason.
        charts: of numbers that two runs or more have.
    """

    case_id: str
    headings: tuple[str, ...]
    rows: tuple[tuple[BoardRun, str, tuple[str, ...], str], ...]
    charts: tuple[Series, ...]


def histories(runs: Sequence[BoardRun]) -> dict[str, list[CaseHistory]]:
    """Return the history of each model's cases, both in alphabetical order; runs oldest first."""
    found: dict[str, dict[str, list[tuple[BoardRun, CaseRecord]]]] = {}
    for run in runs:
        for record in run.records:
            task = str(record.identity.get("task", {}).get("name", ""))
            model = record.case_id.removesuffix(f"-{task}")
            found.setdefault(model, {}).setdefault(record.case_id, []).append((run, record))
    return {
        model: [_history(case_id, cases[case_id]) for case_id in sorted(cases)]
        for model, cases in sorted(found.items())
    }


def _history(case_id: str, seen: Sequence[tuple[BoardRun, CaseRecord]]) -> CaseHistory:
    rows = tuple(
        (run, size(record), case_row(record)[1:], record.reason or "") for run, record in seen
    )
    charts = (_series(name, number, seen) for name, number in CHARTED.items())
    return CaseHistory(case_id, HEADINGS[1:], rows, tuple(one for one in charts if one))


def size(record: CaseRecord) -> str:
    """Say of how many images and samples the numbers are, which two runs must share to compare."""
    images = len((record.identity.get("task", {}).get("dataset") or {}).get("image_ids", ()))
    samples = record.identity.get("sampling", {}).get("n_samples", "-")
    return f"{images} x {samples}"


def _series(
    name: str,
    number: Callable[[CaseRecord], float | None],
    seen: Sequence[tuple[BoardRun, CaseRecord]],
) -> Series | None:
    values = [
        (place, value, run)
        for place, (run, record) in enumerate(seen)
        if (value := number(record)) is not None and math.isfinite(value)
    ]
    if len(values) < 2:
        return None
    low, high = min(v for _, v, _ in values), max(v for _, v, _ in values)
    step = (WIDTH - 2 * MARGIN) / (len(seen) - 1)
    scale = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    points = tuple(
        (
            MARGIN + place * step,
            HEIGHT - MARGIN - (value - low) * scale if high > low else HEIGHT / 2,
            f"{run.created} {run.commit}: {value:.4g}",
        )
        for place, value, run in values
    )
    sizes = tuple(size(seen[place][1]) for place, _, _ in values)
    return Series(name, points, sizes, f"{low:.4g}", f"{high:.4g}")
