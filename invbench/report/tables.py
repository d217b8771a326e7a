"""Tables of a run in plain text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invbench.runs import CaseRecord

HEADINGS = (
    "case",
    "psnr",
    "ssim",
    "lpips",
    "coverage",
    "ideal",
    "band",
    "spread",
    "width",
    "samples/s",
    "verdict",
)


def run_table(records: Sequence[CaseRecord]) -> list[str]:
    """Lay out a line for each case: validity, coverage, an ideal sampler's coverage, width, speed.

    Next to the ideal coverage stands the band in which an ideal sampler's lies, and whether the
    samples' spread is calibrated: coverage within the band, or under or over it.

    An LPIPS made with other weights than the official ones is headed by its own name.
    """
    measured = [record for record in records if record.validity]
    return align([headings(records), *(case_row(record) for record in measured)])


def headings(records: Sequence[CaseRecord]) -> tuple[str, ...]:
    """Return the headings of `case_row`."""
    names = {name for record in records for name in record.validity if name.startswith("lpips")}
    return tuple(names.pop() if len(names) == 1 and h == "lpips" else h for h in HEADINGS)


def disk_table(means: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Lay out a line for each model, with the mean of every score."""
    columns = list(dict.fromkeys(name for scores in means.values() for name in scores))
    rows = [
        (model, *(_number(scores.get(name), 4) for name in columns))
        for model, scores in means.items()
    ]
    return align([("model", *columns), *rows])


def align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align columns: the first to the left, all others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def case_row(record: CaseRecord) -> tuple[str, ...]:
    """Return the cells of one case, with a dash for everything that was not measured."""
    scores = {name.partition("_")[0]: metric.mean for name, metric in record.validity.items()}
    interval, speed = record.interval, record.throughput
    return (
        record.case_id,
        _psnr(record),
        _number(scores.get("ssim"), 3),
        _number(scores.get("lpips"), 4),
        _number(interval.coverage if interval else None, 3),
        _number(interval.ideal_coverage if interval else None, 3),
        _band(interval.coverage_band if interval else None),
        (interval.verdict if interval else None) or "-",
        _number(interval.mean_width if interval else None, 3),
        _number(speed.samples_per_second if speed else None, 1),
        record.status,
    )


def _psnr(record: CaseRecord) -> str:
    """Show a mean PSNR, and the share of samples that were infinite and entered it at a cap."""
    metric = record.validity.get("psnr")
    if metric is None or not metric.n_nonfinite:
        return _number(metric.mean if metric else None, 2)
    n_samples = record.identity.get("sampling", {}).get("n_samples", 1)
    return f"{_number(metric.mean, 2)} ({metric.n_nonfinite / n_samples / metric.n_images:.0%} inf)"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _band(band: tuple[float, float] | None) -> str:
    return "-" if band is None else f"{band[0]:.3f}-{band[1]:.3f}"
