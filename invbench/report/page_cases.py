"""What a page says of one case: its numbers, charts, pictures and images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invbench.report.charts import case_charts
from invbench.report.tables import case_row, headings, notes

if TYPE_CHECKING:
    from invbench.report.charts import Chart
    from invbench.report.page_pictures import Shown
    from invbench.runs import CaseRecord

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class CaseSection:
    """What a page says of one case.

    Attributes:
        case_id: of the case.
        status: of its record.
        facts: its row of numbers, as heading and cell.
        notes: what the numbers leave open.
        charts: of its intervals.
        shown: its pictures.
        worst: id of the image whose samples are the least valid.
        headings: of the table of its images.
        rows: an image each, the least valid on top.
    """

    case_id: str
    status: str
    facts: Rows
    notes: tuple[str, ...]
    charts: tuple[Chart, ...]
    shown: tuple[Shown, ...]
    worst: str
    headings: tuple[str, ...]
    rows: Rows


def case_section(record: CaseRecord, shown: tuple[Shown, ...]) -> CaseSection:
    """Collect what a page says of a measured case, of which some pictures are shown."""
    names, rows = _images(record)
    return CaseSection(
        case_id=record.case_id,
        status=record.status,
        facts=tuple(zip(headings([record])[1:], case_row(record)[1:], strict=True)),
        notes=tuple(notes(record)),
        charts=tuple(case_charts(record)),
        shown=shown,
        worst=rows[0][0] if rows else "",
        headings=names,
        rows=rows,
    )


def _images(record: CaseRecord) -> tuple[tuple[str, ...], Rows]:
    """Return headings and rows of a case's images, by the first score, the worst on top."""
    ids = record.identity["task"].get("dataset", {}).get("image_ids", ())
    columns = {name: metric.per_image for name, metric in record.validity.items()}
    first = next(iter(record.validity.values()))
    if record.interval:
        columns["coverage"] = record.interval.coverage_per_image
        columns["width"] = record.interval.width_per_image
        columns["winkler"] = record.interval.winkler_per_image
    if "psnr_of_mean" in record.target:
        columns["error of the mean"] = record.target["psnr_of_mean"].per_image
    whole = {name: values for name, values in columns.items() if len(values) == len(ids)}
    if not whole:
        return (), ()
    sign = 1 if first.higher_is_better else -1
    order = sorted(range(len(ids)), key=lambda k: sign * _or_worst(first.per_image[k], sign))
    rows = (
        (ids[k], *("-" if x is None else f"{x:.4g}" for x in (v[k] for v in whole.values())))
        for k in order
    )
    return ("image", *whole), tuple(rows)


def _or_worst(value: float | None, sign: int) -> float:
    return sign * float("-inf") if value is None else value
