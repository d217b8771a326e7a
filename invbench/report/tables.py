"""Tables of a run in plain text, for a terminal."""

from __future__ import annotations

import shutil
import statistics
import sys
import textwrap
from typing import TYPE_CHECKING

from invbench.report.spreadsheet import numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from invbench.runs import (
        Breach,
        CalibrationVerdict,
        CaseRecord,
        NoiseFitRecord,
        ThroughputRecord,
    )

HEADINGS = (
    "case",
    "psnr",
    "ssim",
    "lpips",
    "coverage",
    "ideal",
    "band",
    "skill",
    "width",
    "samples/s",
    "1st call",
    "limits",
    "calibration",
    "contract",
    "verdict",
)


def notes(record: CaseRecord) -> list[str]:
    """Say what the cells of a case leave open: what else is known of its data, and its faults."""
    fit = record.noise_fit
    fits = [_noise_fit(fit)] if fit and fit.verdict == "fits" else []
    return [*record.remarks, *fits, *faults(record)]


def faults(record: CaseRecord) -> list[str]:
    """Say what is not well with a case beside its status: what breaches were seen, what changed."""
    said = not_scored(record)
    said += [f"{breach.name}: {breach.seen}" for breach in record.contract or ()]
    if record.noise_fit and record.noise_fit.verdict != "fits":
        said.append(_noise_fit(record.noise_fit))
    spread, speed = record.calibration, record.throughput
    if spread and spread.expected not in (None, spread.verdict):
        said.append(
            f"calibration is {spread.verdict}, declared {spread.expected}; "
            "if that is to stay, declare it in the limits file"
        )
    if speed and speed.keeps_results:
        said.append(
            f"a repeated input takes {speed.saved_by_repeating:.0%} less time than a new one, so "
            "results are kept; samples/s is of new ones"
        )
    return said


def _noise_fit(fit: NoiseFitRecord) -> str:
    """Say chi-squared, where an exact sampler's lies, and what follows."""
    meaning = {
        "fits": "fits the noise",
        "below": "below: samples reproduce noise",
        "above": "above: samples miss what was measured",
    }
    interval = "" if fit.low is None else f" [{fit.low:.3f}, {fit.high:.3f}]"
    low, high = fit.band
    return (
        f"chi-squared {fit.value:.3f}{interval}, an exact sampler's in {low:.3f}-{high:.3f}: "
        f"{meaning[fit.verdict]}"
    )


def not_scored(record: CaseRecord) -> list[str]:
    """Say what was left out, once for each reason."""
    places: dict[str, list[str]] = {}
    for what in record.left_out:
        where, _, reason = what.partition(": ")
        places.setdefault(reason, []).append(where)
    return [f"not scored: {', '.join(names)}: {reason}" for reason, names in places.items()]


def chosen_table(
    records: Sequence[CaseRecord], columns: Sequence[str], *, width: int | None = None
) -> list[str]:
    """Lay out columns that a user chose, named as in the table of comma-separated values."""
    numbers = [numbers_of(record) for record in records]
    rows = [
        (record.case_id, *(_cell(row.get(name)) for name in columns), record.status)
        for record, row in zip(records, numbers, strict=True)
    ]
    known = dict.fromkeys(name for row in numbers for name in row)
    unknown = [name for name in columns if name not in known]
    lines = align([("case", *columns, "verdict"), *rows], width=width)
    if unknown and records:
        lines.append(f"no column {', '.join(unknown)}; there are {', '.join(known)}")
    return lines


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def headings(records: Sequence[CaseRecord]) -> tuple[str, ...]:
    """Return the headings of `case_row`."""
    names = {name for record in records for name in record.validity if name.startswith("lpips")}
    return tuple(names.pop() if len(names) == 1 and h == "lpips" else h for h in HEADINGS)


def align(rows: Sequence[tuple[str, ...]], *, width: int | None = None) -> list[str]:
    """Align columns: the first to the left, all others to the right.

    Args:
        rows: of cells.
        width: of the lines; columns stand closer if they would be longer.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    narrow = width is not None and sum(widths) + 2 * (len(widths) - 1) > width
    lines = []
    for row in rows:
        cells = [
            cell.rjust(size) if index else cell.ljust(size)
            for index, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((" " if narrow else "  ").join(cells).rstrip())
    return lines


def fitted(
    columns: Mapping[str, Sequence[str]], hidden_first: Iterable[str], width: int
) -> tuple[list[str], list[str]]:
    """Align as many columns as fit, and name those that do not.

    Args:
        columns: name -> cells, the heading first.
        hidden_first: names of what may be left out, the least important first.
        width: that lines are to have at most.
    """
    chosen, hidden = dict(columns), []
    lines = align(list(zip(*chosen.values(), strict=True)), width=width)
    for name in hidden_first:
        if name in chosen and max(map(len, lines)) > width:
            del chosen[name]
            hidden.append(name)
            lines = align(list(zip(*chosen.values(), strict=True)), width=width)
    return lines, hidden


def room(most: int) -> int:
    """Return how wide lines may be: as the terminal, if there is one that is narrower."""
    return min(most, shutil.get_terminal_size().columns) if sys.stdout.isatty() else most


def wrapped(text: str, width: int) -> list[str]:
    """Break a line where it is too long, but for words."""
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def case_row(record: CaseRecord) -> tuple[str, ...]:
    """Return the cells of one case, with a dash for everything that was not measured."""
    scores = {name.partition("_")[0]: metric.mean for name, metric in record.validity.items()}
    interval, speed = record.interval, record.throughput
    kept = all(check.passed for check in record.checks)
    return (
        record.case_id,
        _psnr(record),
        _number(scores.get("ssim"), 3),
        _number(scores.get("lpips"), 4),
        _number(interval.coverage if interval else None, 3),
        _number(interval.ideal_coverage if interval else None, 3),
        _band(interval.coverage_band if interval else None),
        _signed(record.skill["crps"].value if "crps" in record.skill else None),
        _number(_width(record), 3),
        _number(speed.samples_per_second if speed else None, 1),
        _first_call(speed),
        ("kept" if kept else "broken") if record.checks else "none",
        calibration_cell(record.calibration),
        "-" if record.contract is None else _names(record.contract) or "kept",
        record.status,
    )


def world_table(records: Sequence[CaseRecord]) -> list[str]:
    """Lay out what samples of a known law differ by from exact ones; none for photographs."""
    rows = [
        (
            record.case_id,
            name,
            _number(one.value, 3),
            _band((one.low, one.high)),
            "inside" if one.inside else "OUTSIDE",
        )
        for record in records
        for name, one in record.world.items()
    ]
    return align([("against exact samples", "", "here", "exact", ""), *rows]) if rows else []


def reference_rows(records: Sequence[CaseRecord]) -> list[tuple[str, ...]]:
    """Return the cells of the references that the records were held against and that have none."""
    ids = {record.case_id for record in records}
    rows = {}
    for record in records:
        name = f"reference-{record.identity.get('task', {}).get('name')}"
        if record.reference and name not in ids:
            interval = record.interval
            cells = {
                "case": name,
                "psnr": _number(record.reference.get("psnr"), 2),
                "coverage": _number(record.reference.get("coverage"), 3),
                "ideal": _number(interval.ideal_coverage if interval else None, 3),
                "skill": _signed(0.0),
                "verdict": "reference",
            }
            rows[name] = tuple(cells.get(heading, "-") for heading in HEADINGS)
    return list(rows.values())


def _width(record: CaseRecord) -> float | None:
    if record.interval:
        return record.interval.mean_width
    return record.spread["width"].mean if "width" in record.spread else None


def _psnr(record: CaseRecord) -> str:
    """Show a mean PSNR, and the share of samples that were infinite and entered it at a cap."""
    metric = record.validity.get("psnr")
    if metric is None or not metric.n_nonfinite:
        return _number(metric.mean if metric else None, 2)
    n_samples = record.identity.get("sampling", {}).get("n_samples", 1)
    return f"{_number(metric.mean, 2)} ({metric.n_nonfinite / n_samples / metric.n_images:.0%} inf)"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def first_call_factor(speed: ThroughputRecord | None) -> float:
    """Return how many times as long the first call took as the median round; 0 if not known."""
    if speed is None or speed.first_call_s is None:
        return 0.0
    return speed.first_call_s / max(statistics.median(speed.seconds_per_round), 1e-9)


def _first_call(speed: ThroughputRecord | None) -> str:
    if speed is None or speed.first_call_s is None:
        return "-"
    return f"{first_call_factor(speed):.1f}x"


def calibration_cell(found: CalibrationVerdict | None) -> str:
    """Say the verdict, why there is none, or that it is as declared."""
    if found is None:
        return "-"
    if found.verdict == "not tested":
        return f"not tested ({found.reason})"
    if found.expected == found.verdict != "calibrated":
        return f"{found.verdict} (declared)"
    return found.verdict


def _names(breaches: Sequence[Breach]) -> str:
    return ", ".join(breach.name for breach in breaches)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _band(band: tuple[float, float] | None) -> str:
    return "-" if band is None else f"{band[0]:.3f}-{band[1]:.3f}"
