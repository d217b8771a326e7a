"""A run as comma-separated values: a line for each case, every number in full."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invbench.runs import CaseRecord

INTERVAL = ("level", "rule", "coverage", "ideal_coverage", "mean_width", "winkler")
THROUGHPUT = ("samples_per_second", "nfe", "peak_allocated_bytes", "environment_key")


def csv_report(records: Sequence[CaseRecord]) -> str:
    """Return the table; a cell is empty where nothing was measured."""
    metrics = list(dict.fromkeys(name for record in records for name in record.validity))
    means = [column for name in metrics for column in (name, f"{name}_stderr")]
    against = [f"target_{name}" for name in dict.fromkeys(n for r in records for n in r.target)]
    skills = [f"{name}_skill" for name in dict.fromkeys(n for r in records for n in r.skill)]
    columns = ["case", "status", *means, *against, *INTERVAL, *skills, *THROUGHPUT, "reason"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for record in records:
        row: dict[str, object] = {"case": record.case_id, "status": record.status}
        row["reason"] = record.reason
        for name, metric in record.validity.items():
            row |= {name: metric.mean, f"{name}_stderr": metric.stderr}
        row |= {f"target_{name}": metric.mean for name, metric in record.target.items()}
        row |= {f"{name}_skill": skill.value for name, skill in record.skill.items()}
        for part, names in ((record.interval, INTERVAL), (record.throughput, THROUGHPUT)):
            if part is not None:
                row |= {name: getattr(part, name) for name in names}
        writer.writerow(row)
    return stream.getvalue()
