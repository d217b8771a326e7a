"""What do people read? Tables and figures made from records. No torch here.

`html`, `figures`, `contact_sheet` and `paper` are imported by name: they need a template engine or
matplotlib, which a table in the terminal should not wait for.
"""

from __future__ import annotations

from invbench.report.gate_tables import gate_lines, gate_markdown
from invbench.report.markdown import markdown_report
from invbench.report.spreadsheet import csv_report
from invbench.report.summary import SPEED_HEADINGS, read_records, speed_rows, summarize
from invbench.report.tables import align, disk_table, run_table

__all__ = [
    "SPEED_HEADINGS",
    "align",
    "csv_report",
    "disk_table",
    "gate_lines",
    "gate_markdown",
    "markdown_report",
    "read_records",
    "run_table",
    "speed_rows",
    "summarize",
]
