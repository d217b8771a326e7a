"""What do people read? Tables and figures made from records. No torch here.

`tables` has the columns of a case, `closing` what a run ends with in a terminal. `html`, `figures`,
`contact_sheet` and `paper` are not imported here, since they need a template engine or matplotlib,
which a table in the terminal should not wait for: write ``from invbench.report.html import
html_report``.
"""

from __future__ import annotations

from invbench.report.closing import ALL, WIDTH, run_table, verdict_lines
from invbench.report.gate_tables import GATE_WIDTH, gate_lines, gate_markdown
from invbench.report.markdown import markdown_report
from invbench.report.spreadsheet import csv_report, numbers_of
from invbench.report.summary import SPEED_HEADINGS, read_records, speed_rows, summarize
from invbench.report.tables import align, not_scored, room

__all__ = [
    "ALL",
    "GATE_WIDTH",
    "SPEED_HEADINGS",
    "WIDTH",
    "align",
    "csv_report",
    "gate_lines",
    "gate_markdown",
    "markdown_report",
    "not_scored",
    "numbers_of",
    "read_records",
    "room",
    "run_table",
    "speed_rows",
    "summarize",
    "verdict_lines",
]
