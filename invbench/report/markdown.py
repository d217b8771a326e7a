"""A run as Markdown, as GitHub shows it in the summary of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invbench.escaping import markdown
from invbench.report.markdown_tables import markdown_table
from invbench.report.summary import SPEED_HEADINGS, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def markdown_report(summary: Summary) -> str:
    """Return the report: the verdict, the cases, what failed and why, what was skipped, where."""
    blocks = [f"# invbench: {markdown(summary.title)}", f"**{markdown(summary.verdict)}**"]
    blocks.append("\n".join(f"- {markdown(q)} {markdown(a)}" for q, a in summary.headline))
    if summary.rows:
        bold = [status not in ("passed", "measured") for _, status in summary.rows]
        blocks.append(_table(summary.headings, [cells for cells, _ in summary.rows], bold))
    for table in summary.shared:
        blocks += [f"## {markdown(table.title)}", _table(table.headings, table.rows)]
    blocks += [
        _list("Failed", (f"{case}: {reason}" for case, reason in summary.failures)),
        _list("Skipped", (f"{reason}: {', '.join(cases)}" for reason, cases in summary.skips)),
        _list("Remarks", summary.remarks),
    ]
    if summary.speed:
        blocks += ["## Speed, in fresh processes", _table(SPEED_HEADINGS, summary.speed)]
    blocks.append(_list("Environment", (f"{name}: {value}" for name, value in summary.facts)))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], bold: Sequence[bool] = ()
) -> str:
    """Lay out a table: the first column to the left, all others to the right."""
    rule = f"| --- |{' ---: |' * (len(headings) - 1)}"
    return markdown_table([headings, *rows], rule, bold)


def _list(heading: str, items: Iterable[str]) -> str:
    lines = [f"- {markdown(item)}" for item in items]
    return "\n".join([f"## {heading}", "", *lines]) if lines else ""
