"""A run as comma-separated values: a line for each case, every number in full."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from invbench.escaping import csv_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.runs import CaseRecord

INTERVAL = ("level", "rule", "coverage", "ideal_coverage", "mean_width", "winkler")
THROUGHPUT = ("samples_per_second", "nfe", "peak_allocated_bytes", "environment_key")


def csv_report(records: Sequence[CaseRecord]) -> str:
    """Return the table; a cell is empty where nothing was measured."""
    rows = [numbers_of(record) for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(csv_cell, ["case", "status", *columns, "reason"]))
    for record, row in zip(records, rows, strict=True):
        numbers = [row.get(name) for name in columns]
        writer.writerow(map(csv_cell, [record.case_id, record.status, *numbers, record.reason]))
    return stream.getvalue()


def numbers_of(record: CaseRecord) -> dict[str, object]:
    """Return every number of a record under the name of its column.

    Example:
        >>> from invbench.runs import CaseRecord
        >>> numbers_of(CaseRecord(case_id="a-sr16", identity={}, status="skipped"))
        {}
    """
    row: dict[str, object] = {}
    if record.validity:
        row["images"] = next(iter(record.validity.values())).n_images
        row["samples"] = record.identity.get("sampling", {}).get("n_samples")
    for name, metric in record.validity.items():
        row |= {name: metric.mean, f"{name}_stderr": metric.stderr}
    if record.noise_fit:
        row |= {"chi_squared": record.noise_fit.value, "noise_fit": record.noise_fit.verdict}
    row |= {f"target_{name}": metric.mean for name, metric in record.target.items()}
    if record.interval:
        row |= {name: getattr(record.interval, name) for name in INTERVAL}
        row |= {name: score["value"] for name, score in record.interval.scores.items()}
    row |= {{"width": "mean_width"}.get(name, name): m.mean for name, m in record.spread.items()}
    row |= {f"{name}_skill": skill.value for name, skill in record.skill.items()}
    if record.throughput:
        row |= {name: getattr(record.throughput, name) for name in THROUGHPUT}
    return row
